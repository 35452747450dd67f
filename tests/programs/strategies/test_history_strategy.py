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
from ipo_prompts.programs.strategies.history import LONGEST_TEMPLATE, HistoryStrategy
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


def test_a_reason_that_the_model_copies_is_no_part_of_a_template(scripted: Make, as_list: AsList) -> None:
    """As a model of 1.5 billion parameters does."""
    copied = as_list(*(f"{text} (it has no slot for the class name)" for text in ("a thing.", "a <CLASS>.")))
    lm, _ = scripted(as_list("a thing."), copied)
    answer = ask(lm)
    assert answer.accepted == ["a <CLASS>."]
    assert [(r.template, r.reason) for r in answer.rejected] == [("a thing.", "it has no <CLASS> slot")] * 2


def test_a_class_that_stands_for_the_slot_is_one(scripted: Make, as_list: AsList) -> None:
    """As small models answer; two classes, or one twice, are no template."""
    lm, _ = scripted(as_list('"A drawing of a Cat."', "a [class] cat", "cat on a dog"), as_list("a cat and a cat"))
    answer = ask(lm, count=3)
    assert answer.accepted == ["A drawing of a <CLASS>.", "a <CLASS> cat"]
    assert [refused.template for refused in answer.rejected] == ["cat on a dog", "a cat and a cat"]


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


def test_a_reply_cut_by_the_token_limit_loses_only_its_last_item(scripted: Make, as_list: AsList) -> None:
    lm, _ = scripted('[[ ## templates ## ]]\n["a <CLASS>.", "the <CLASS> in dar…', as_list("one <CLASS>."))
    assert ask(lm).accepted == ["a <CLASS>.", "one <CLASS>."]


AS_JSON = '{"templates": ["a <CLASS>.", "the <CLASS>."]}'


def test_prose_is_asked_for_again_as_json(scripted: Make) -> None:
    lm, engine = scripted("Sure! I would try a sketch.", AS_JSON)
    answer = ask(lm)
    assert len(answer.accepted) == 2
    assert len(engine.requests) == 2
    assert answer.rejected[0].reason == "the answer was not a list of templates"


def test_garbage_for_ever_gives_nothing_and_no_error(scripted: Make) -> None:
    lm, _ = scripted(*["%$§"] * 10)
    assert ask(lm).accepted == []


def test_more_than_asked_for_are_left_out(scripted: Make, as_list: AsList) -> None:
    lm, _ = scripted(as_list(*[f"a {word} <CLASS>." for word in ("red", "blue", "green", "grey")]))
    answer = ask(lm, count=2)
    assert answer.accepted == ["a red <CLASS>.", "a blue <CLASS>."]
    assert len(answer.rejected) == 2


def test_known_and_repeated_templates_are_refused(scripted: Make, as_list: AsList) -> None:
    lm, _ = scripted(as_list("a <CLASS>.", "A  <CLASS>", "old <CLASS>."), as_list())
    answer = ask(lm, count=3, known=("old <CLASS>.",))
    assert answer.accepted == ["a <CLASS>."]
    assert {r.reason for r in answer.rejected} == {"it repeats another answer", "it is already known"}


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


def test_half_a_character_of_an_unreadable_answer_is_not_asked_about(scripted: Make) -> None:
    lm, engine = scripted("prose \ud83d", AS_JSON)
    assert ask(lm).accepted == ["a <CLASS>.", "the <CLASS>."]
    last = "".join(part.text for message in engine.requests[-1].messages for part in message.parts)
    assert "prose \ufffd (the answer was not a list of templates)" in last


def test_a_forecast_counts_a_call_a_step_and_bounds_its_tokens() -> None:
    def tokens(size: int, described: int = 0, **settings: Any) -> Any:
        expected = Expected(SearchSettings(**settings), "pictures of pets", described, reply_tokens=500)
        return HistoryStrategy(size=size).forecast(expected)

    ten, twenty = tokens(10, steps=7), tokens(20, steps=7)
    assert ten.calls == twenty.calls == 7
    assert ten.tokens_out == 7 * 500
    line = len("accuracy 50.00 %, loss 1.0000: \n") + 300
    assert twenty.tokens_in - ten.tokens_in == 7 * 10 * line
    assert tokens(10, described=400, steps=7).tokens_in - ten.tokens_in == 7 * 400


def test_one_by_one_a_forecast_counts_a_call_for_each_template_and_no_refused_ones() -> None:
    expected = Expected(SearchSettings(steps=7, candidates_per_step=3), "pets")
    alone, together = (HistoryStrategy(one_by_one=one).forecast(expected) for one in (True, False))
    assert (alone.calls, together.calls) == (7 * 3, 7)
    assert together.longest - alone.longest >= 2 * 3 * len(LONGEST_TEMPLATE), "twice as many refused as were wanted"


def test_a_forecast_is_no_less_than_what_is_sent(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("a sketch of a <CLASS>.", "a drawing of a <CLASS>."))
    tried = history({f"a {word} of a <CLASS>, seen from afar \U0001f600\U0001f600.": 0.3 for word in "abcdefgh"})
    HistoryStrategy(lm).ask(Known("pictures of pets", tried), Desk(problem, 2))
    sent = sum(len(part.text.encode()) for message in engine.requests[0].messages for part in message.parts)
    settings = SearchSettings(steps=1, candidates_per_step=2)
    assert HistoryStrategy(size=8).forecast(Expected(settings, "pictures of pets")).tokens_in >= sent


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
