"""The paper's strategy: what is asked of a language model, and what of its answers gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.lm15 import AuthError

from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, knows_history
from ipo_prompts.programs.strategies.writer import Writer
from support.scored import Valued, bench, scored, templates

Make = Callable[..., tuple[Any, Any]]
AsList = Callable[..., str]


def ask(lm: Any, count: int = 2, reward: Any = None, seed: int = 0, **settings: Any) -> Bench:
    made = bench(reward, count, seed, descriptions=("soft light",))
    for i in range(4, 8):
        made.everything.add(scored(f"number {i} <CLASS>", i / 10, 1.0))
    with dspy.context(lm=lm):
        STRATEGIES.build({"name": "history", **settings}).ask(made)
    return made


def told(engine: Any) -> list[str]:
    """Return the texts of all questions."""
    return [
        str(one.system) + "".join(part.text for said in one.messages for part in said.parts) for one in engine.requests
    ]


def test_one_request_holds_task_description_history_and_count_and_gives_all(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(as_list("a sketch of a <CLASS>.", "a drawing of a <CLASS>."))
    assert templates(ask(lm).proposed) == ["a sketch of a <CLASS>.", "a drawing of a <CLASS>."]
    (text,) = told(engine)
    for needed in ("pictures of pets", "soft light", "accuracy 30.00 %, loss 1.0000: a photo of a <CLASS>.", "\n2\n"):
        assert needed in text


def test_a_request_shows_what_the_settings_say_and_a_control_shows_nothing(scripted: Make, as_list: AsList) -> None:
    lm, engine = scripted(*[as_list("a <CLASS>.", "the <CLASS>.")] * 3)
    ask(lm, size=3)
    ask(lm, size=3, pin_initial=False, floor=0.6)
    ask(lm, name="no-history")
    shown = [[f"{i}0.00 %" in text for i in (3, 4, 5, 6, 7)] for text in told(engine)]
    assert [[i for i, here in zip("34567", row, strict=True) if here] for row in shown] == [
        ["3", "6", "7"],
        ["6", "7"],
        [],
    ]
    assert not knows_history(STRATEGIES.build({"name": "no-history"}))


def test_values_are_told_as_they_are_on_the_rewards_scale(scripted: Make, as_list: AsList) -> None:
    class Points(Valued):
        scale = Scale(low=-10, high=10, percent=False)

    lm, engine = scripted(as_list("a <CLASS>."))
    ask(lm, 1, Points())
    (text,) = told(engine)
    assert "value 0.3, loss 1.0000: a photo of a <CLASS>." in text and "A higher value is better" in text
    assert "Accuracy runs" not in text


def test_what_is_refused_is_told_once_with_the_reason_and_what_is_missing_is_wanted(
    scripted: Make, as_list: AsList
) -> None:
    lm, engine = scripted(
        as_list("no slot here", "a <CLASS>."), as_list("the <CLASS>.", "worse"), as_list("one <CLASS>.")
    )
    made = ask(lm, count=3)
    assert templates(made.proposed) == ["a <CLASS>.", "the <CLASS>."]
    assert [one.reason for one in made.refused] == ["it has no <CLASS> slot"] * 2
    first, second = told(engine)
    assert "[[ ## count ## ]]\n3\n" in first and "[[ ## count ## ]]\n2\n" in second
    assert "no slot here (it has no slot for the class name)" in second


def test_one_by_one_each_template_has_a_request_of_its_own(scripted: Make, as_list: AsList) -> None:
    """None sees another, what is refused is not asked for again, and of a longer list the first counts."""
    lm, engine = scripted(as_list("no slot here"), as_list("a <CLASS>.", "one <CLASS>."), as_list("the <CLASS>."))
    assert templates(ask(lm, count=3, one_by_one=True).proposed) == ["a <CLASS>.", "the <CLASS>."]
    assert len(engine.requests) == 3 and "[[ ## count ## ]]\n1\n" in {*told(engine)}.pop()
    assert len({*told(engine)}) == 1


def test_an_unreachable_model_is_an_error_not_an_empty_step(scripted: Make) -> None:
    lm, _ = scripted(AuthError("no"))
    with pytest.raises(dspy.LMError) as raised:
        ask(lm)
    assert raised.value.__cause__ is not raised.value, "whoever follows the causes would never arrive"


def test_a_forecast_counts_a_call_a_step_and_bounds_its_tokens() -> None:
    def tokens(size: int, described: int = 0) -> Any:
        expected = Expected(SearchSettings(steps=7), "pictures of pets", described, reply_tokens=500)
        return Writer(size=size, phrases=False).forecast(expected)

    ten, twenty = tokens(10), tokens(20)
    assert (ten.calls, twenty.calls, ten.tokens_out) == (7, 7, 7 * 500)
    line = len("accuracy 50.00 %, loss 1.0000: \n") + 300
    assert twenty.tokens_in - ten.tokens_in == 7 * 10 * line
    assert tokens(10, described=400).tokens_in - ten.tokens_in == 7 * 400


def test_each_step_and_each_try_has_an_answer_of_its_own_in_dspys_cache(
    scripted: Make, as_list: AsList, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, engine = scripted(as_list("no slot"), as_list("a <CLASS>."), as_list("no slot"), as_list("the <CLASS>."))
    monkeypatch.setattr(dspy, "cache", dspy.cache)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    lm.cache = True
    found = [templates(ask(lm, 1, seed=seed).proposed) for seed in (2, 3, 2)]
    assert found == [["a <CLASS>."], ["the <CLASS>."], ["a <CLASS>."]] and len(engine.requests) == 4
