"""The paper's strategy: what is asked of a language model, and what of its answers gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.lm15 import AuthError

from ipo_prompts.metrics.scale import Scale
from ipo_prompts.metrics.template import problem
from ipo_prompts.programs.strategies.base import Expected, Known
from ipo_prompts.programs.strategies.history import HistoryStrategy
from ipo_prompts.programs.templates.admission import Desk
from ipo_prompts.programs.templates.settings import SearchSettings
from support.scored import history

Make = Callable[..., tuple[Any, Any]]
AsList = Callable[..., str]


START = history({"a photo of a <CLASS>.": 0.3})


def ask(lm: Any, count: int = 2, known: tuple[str, ...] = (), **settings: Any) -> Desk:
    desk = Desk(problem, count, known)
    known_of = Known("pictures of pets", START, class_names=["cat", "dog"], descriptions=["soft light"])
    HistoryStrategy(lm, **settings).ask(known_of, desk)
    return desk


def test_all_templates_come_from_one_call(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("a sketch of a <CLASS>.", "a drawing of a <CLASS>."))
    answer = ask(lm)
    assert answer.accepted == ["a sketch of a <CLASS>.", "a drawing of a <CLASS>."]
    assert len(engine.requests) == 1


def test_the_request_holds_task_description_history_and_count(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("a <CLASS>.", "the <CLASS>."))
    ask(lm)
    text = "".join(part.text for message in engine.requests[0].messages for part in message.parts)
    for needed in ("pictures of pets", "soft light", "accuracy 30.00 %, loss 1.0000: a photo of a <CLASS>.", "2"):
        assert needed in text


def test_values_are_told_as_they_are_on_the_rewards_scale(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("a <CLASS>."))
    scale = Scale(low=-10, high=10, percent=False)
    known = Known("pets", history({"a photo of a <CLASS>.": 0.3}), scale=scale)
    HistoryStrategy(lm).ask(known, Desk(problem, 1))
    text = "".join(part.text for message in engine.requests[0].messages for part in message.parts)
    text += str(engine.requests[0].system)
    assert "value 0.3, loss 1.0000: a photo of a <CLASS>." in text and "A higher value is better" in text
    assert "Accuracy runs" not in text


def test_the_second_question_wants_what_is_missing(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("no slot here", "a <CLASS>."), as_list("the <CLASS>."))
    ask(lm, count=3)
    counts = ["".join(part.text for part in one.messages[-1].parts) for one in engine.requests]
    assert ["[[ ## count ## ]]\n3\n" in counts[0], "[[ ## count ## ]]\n2\n" in counts[1]] == [True, True]


def test_refused_templates_are_told_once_with_the_reason(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("no slot here", "a <CLASS>."), as_list("the <CLASS>."))
    answer = ask(lm)
    assert answer.accepted == ["a <CLASS>.", "the <CLASS>."]
    assert [r.reason for r in answer.rejected] == ["it has no <CLASS> slot"]
    second = "".join(part.text for message in engine.requests[1].messages for part in message.parts)
    assert "no slot here (it has no slot for the class name)" in second


def test_one_by_one_each_template_has_a_request_of_its_own(scripted: Make, as_list: AsList) -> None:
    """None sees another, what is refused is not asked for again, and of a longer list the first counts."""
    lm, engine = scripted(as_list("no slot here"), as_list("a <CLASS>.", "one <CLASS>."), as_list("the <CLASS>."))
    answer = ask(lm, count=3, one_by_one=True)
    assert answer.accepted == ["a <CLASS>.", "the <CLASS>."]
    texts = {"".join(part.text for part in message.parts) for one in engine.requests for message in one.messages[-1:]}
    assert len(engine.requests) == 3 and len(texts) == 1
    assert "[[ ## count ## ]]\n1\n" in texts.pop()


def test_it_asks_at_most_twice(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("bad", "worse"), as_list("still bad"), as_list("a <CLASS>."))
    assert ask(lm).accepted == []
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    "hostile",
    [
        "<CLASS>" + "x" * 5000,
        "a <CLASS> \x1b[31m",
        "<b>a</b> <CLASS>",
        "a <CLASS> <end_of_text>",
        "{0} __import__('os')",
    ],
)
def test_hostile_templates_never_get_through(hostile: str, scripted: Make, as_list: AsList) -> None:
    lm, _ = scripted(as_list(hostile), as_list(hostile))
    answer = ask(lm, count=1)
    assert answer.accepted == []
    assert all(len(r.template) <= 300 for r in answer.rejected)


def test_an_unreachable_model_is_an_error_not_an_empty_step(scripted: Make) -> None:
    lm, _ = scripted(AuthError("no"))
    with pytest.raises(dspy.LMError) as raised:
        ask(lm)
    assert raised.value.__cause__ is not raised.value, "whoever follows the causes would never arrive"


def test_a_forecast_counts_a_call_a_step_and_bounds_its_tokens() -> None:
    def tokens(size: int, described: int = 0, **settings: Any) -> Any:
        expected = Expected(SearchSettings(**settings), "pictures of pets", described, reply_tokens=500)
        return HistoryStrategy(size=size, phrases=False).forecast(expected)

    ten, twenty = tokens(10, steps=7), tokens(20, steps=7)
    assert ten.calls == twenty.calls == 7
    assert ten.tokens_out == 7 * 500
    line = len("accuracy 50.00 %, loss 1.0000: \n") + 300
    assert twenty.tokens_in - ten.tokens_in == 7 * 10 * line
    assert tokens(10, described=400, steps=7).tokens_in - ten.tokens_in == 7 * 400


def test_each_step_and_each_try_has_an_answer_of_its_own_in_dspys_cache(scripted: Make, as_list: AsList) -> None:
    replies = [as_list("no slot"), as_list("a <CLASS>."), as_list("no slot"), as_list("the <CLASS>.")]
    lm, engine = scripted(*replies)
    before = dspy.cache
    try:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
        lm.cache = True
        for seed in (2, 3, 2):
            desk = Desk(problem, 1)
            HistoryStrategy(lm).ask(Known("pictures of pets", START, seed=seed), desk)
    finally:
        dspy.cache = before
    assert len(engine.requests) == 4  # the third search is the first again
    assert desk.accepted == ["a <CLASS>."]
