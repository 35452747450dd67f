"""How a small model is asked: for plain lines under a grammar, one a template."""

from collections.abc import Callable
from typing import Any

import dspy
import pytest

from ipo_prompts.metrics.template import key, problem
from ipo_prompts.programs.lm.local import LinesAdapter, local_lm
from ipo_prompts.programs.strategies.writer import Writer
from ipo_prompts.signatures.propose import ProposeDomain
from support.scored import Valued, bench, scored, templates

Make = Callable[..., tuple[Any, Any]]
QUESTION = """\
task: pictures of pets, such as a corgi

image descriptions:
soft light
and grey

scored templates:
accuracy 30.00 %, loss 1.0000: a photo of a <CLASS>.
accuracy 40.00 %, loss 0.9000: a wild sketch of a <CLASS>."""


def ask(lm: Any, count: int = 2, seed: int = 7) -> list[str]:
    if lm.model.startswith("scripted"):
        lm.model = "local/scripted"
    task = "pictures of pets, such as a corgi"
    made = bench(Valued(names=()), count, seed, task, descriptions=("soft light\nand grey",))
    made.everything.add(scored("a wild sketch of a <CLASS>.", 0.4, 0.9))
    with dspy.context(lm=lm):
        Writer().ask(made)
    return templates(made.proposed)


def test_one_question_a_step_asks_for_a_template_a_line(scripted: Make) -> None:
    lm, engine = scripted("a dark <CLASS> at night.\nan old <CLASS> on paper.")
    assert ask(lm) == ["a dark <CLASS> at night.", "an old <CLASS> on paper."]
    (request,) = engine.requests
    assert request.messages[-1].text == QUESTION
    assert "coin" in request.messages[0].text and "\n" in request.messages[1].text, "a worked example comes first"
    extensions = request.config.extensions
    assert extensions["grammar"].startswith('root ::= line "\\n" line\n')
    banned = {word for word, bias in extensions["logit_bias"] if bias < 0}
    assert {" corgi", " coin"} <= banned and " sketch" not in banned
    assert (request.config.temperature, request.config.max_tokens) == (1.0, 96)


def test_what_is_refused_is_asked_for_again_with_another_seed(scripted: Make) -> None:
    lm, engine = scripted("no slot here at all.\na dark <CLASS> at night.", "an old <CLASS> on paper.")
    assert ask(lm) == ["a dark <CLASS> at night.", "an old <CLASS> on paper."]
    first, again = engine.requests
    assert first.messages == again.messages and first.config.seed != again.config.seed
    assert again.config.extensions["grammar"].startswith("root ::= line\n")


def test_a_line_that_was_cut_off_is_no_template(scripted: Make) -> None:
    lm, _ = scripted("a dark <CLASS> at night.\nan old <CLASS> on…", "an old <CLASS> on pa…")
    assert ask(lm) == ["a dark <CLASS> at night."]


def test_the_real_model_writes_valid_and_new_templates_and_words(small_weights: None) -> None:
    pytest.importorskip("xllamacpp")
    engine, name = local_lm("local/small")
    lm = dspy.LM(name, engine=engine, temperature=1.0, cache=False)
    accepted = [template for seed in range(3) for template in ask(lm, count=4, seed=seed)]
    assert len(accepted) >= 9 and [problem(template) for template in accepted] == [None] * len(accepted)
    assert len({key(template) for template in accepted}) >= 8
    with dspy.context(lm=lm, adapter=LinesAdapter()):
        answer = dspy.Predict(ProposeDomain)(task="images", classes=["sparrow", "robin"], config={"rollout_id": 0})
    assert len(answer.kinds) == 4 and answer.pictures == []
