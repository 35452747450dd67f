"""`docs/dspy.md`, followed from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.openai_server import OpenAIServer
from support.pages import DOCS, follow


def test_the_page_can_be_followed(desk: Path, server: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    from ipo_prompts.metrics.template import problem

    page, _ = follow(DOCS / "dspy.md")
    program, data = page["program"], page["data"]
    # Compile and evaluate: the library's own way and the reward agree on the sealed pictures.
    accuracy = page["reward"].score([program.template], page["test"])[0].value
    assert page["result"].score == round(100 * accuracy, 2)
    assert len(page["result"].results) == len(data.test)
    assert page["student"].template == page["BASELINE"]
    # Other models: each was asked by its name, the describer with four pictures.
    assert {asked.body["model"] for asked in server.asked} == {"gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"}
    assert [len(asked.pictures) for asked in server.asked if asked.body["model"] == "gpt-4o"] == [1] * 4
    assert len(page["asked"].search.steps) == 2
    # A list of one's own asks nothing.
    assert page["listed"].search.ended == "the list of templates is used up"
    assert page["listed"].search.proposed == 3
    # DSPy keeps replies: the same search again asks nothing.
    before = len(server.asked)
    again = page["optimizer"].compile(page["student"], trainset=page["trainset"], valset=page["valset"])
    assert again.template == program.template
    assert len(server.asked) == before
    # Save and load.
    assert page["loaded"].templates == program.templates
    # Several templates.
    assert len(page["mean"].templates) == len(page["vote"].programs) == 3
    # Inside a larger program.
    assert page["told"].label in data.class_names
    assert page["told"].answer == "In a house."
    assert page["again"].classify.templates == program.templates
    # DSPy's own optimizers: each found a template that can be used, of those that it was told to write.
    for name in ("by_copro", "by_gepa", "by_mipro"):
        assert problem(page[name].template) is None
        assert page[name].template != page["BASELINE"]
    # As strategies: as many templates as asked for, none only looked at.
    assert (page["name"], page["found"].search.proposed, page["found"].search.scored_only) == ("copro", 8, 0)
    assert sorted(path.name for path in desk.iterdir()) == ["explain.json", "logs", "program.json", "runs"]
    assert capsys.readouterr().out.count("n = 272") == 6
