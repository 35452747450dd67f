"""`docs/how-to/dspy.md`, followed from top to bottom, and GEPA without a language model."""

from __future__ import annotations

import logging
from pathlib import Path

import dspy
import pytest
from dspy.teleprompt.gepa import InstructionProposer
from dspy.utils import DummyLM

from ipo_prompts import TemplateClassifier, draw, load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE, problem
from ipo_prompts.programs.for_dspy import PROPOSE, with_feedback
from support.openai_server import OpenAIServer
from support.pages import DOCS, follow


def test_gepa_can_be_tried_with_a_dummy(
    clip: Clip, desk: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dspy")  # the command line, which other tests call, silences DSPy's messages
    data = draw(load_data("embedded", seed=0), shots=1, val_shots=1, seed=0)
    examples = data.examples("train")[:4], data.examples("val")[:4]
    dspy.GEPA(
        metric=with_feedback,
        reflection_lm=DummyLM([{"new_instruction": "a sketch of a <CLASS>."}] * 50, adapter=dspy.JSONAdapter()),
        instruction_proposer=InstructionProposer(base_instructions=PROPOSE, max_chars=300),
        max_metric_calls=30,
        num_threads=1,
    ).compile(TemplateClassifier(clip, data.class_names), trainset=examples[0], valset=examples[1])
    assert "Proposed new text for self: a sketch of a <CLASS>." in capfd.readouterr().err


def test_the_page_can_be_followed(desk: Path, server: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    page, _ = follow(DOCS / "how-to/dspy.md")
    program, data = page["program"], page["data"]
    # Compile and evaluate: the library's own way and the reward agree on the test images.
    accuracy = page["reward"].score([program.template], page["test"])[0].value
    assert page["result"].score == round(100 * accuracy, 2)
    assert len(page["result"].results) == len(data.test)
    assert page["student"].template == BASELINE
    # Other models: each was asked by its name, the describer with four images.
    assert {asked.body["model"] for asked in server.asked} == {"gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"}
    assert [len(asked.images) for asked in server.asked if asked.body["model"] == "gpt-4o"] == [1] * 4
    # A list and a describer of one's own ask nothing.
    assert page["tried"].ended == "the list of templates is used up"
    assert page["tried"].proposed == 3 and "pixels" in page["tried"].descriptions[0]
    assert page["whole"].search.stopped is None
    # Save and load.
    assert page["loaded"].template == program.template
    # Inside a larger program.
    assert page["told"].label in data.class_names
    assert page["told"].answer == "In a house."
    # Each of DSPy's optimizers found a template that can be used, of those that it was told to write.
    for name in ("by_copro", "by_gepa"):
        assert problem(page[name].template) is None
        assert page[name].template != BASELINE
    assert sorted(path.name for path in desk.iterdir()) == ["explain.json", "logs", "program.json"]
    assert capsys.readouterr().out.count("n = 272") == 1
