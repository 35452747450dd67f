"""What else classes may be called: how a language model is asked for it, and what of its answer is a candidate."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.template import named
from ipo_prompts.programs.other_names import (
    ASKED,
    BATCH,
    LONGEST,
    MOST,
    ask_for_names,
    candidates_of,
    forecast_names,
    read_candidates,
    usable_name,
)

Make = Callable[..., tuple[Any, Any]]
NAMES = [f"thing {number}" for number in range(BATCH + 3)]


def reply(*lines: str) -> str:
    return f"[[ ## lines ## ]]\n{json.dumps(lines)}\n\n[[ ## completed ## ]]"


def texts(engine: Any) -> list[str]:
    return ["".join(part.text for part in one.messages[-1].parts) for one in engine.requests]


def test_many_classes_are_asked_about_some_at_a_time(scripted: Make) -> None:
    lm, engine = scripted(reply("thing 0: cat", "thing 21: dog"), reply("Thing 21: bus", "thing 1: pig"))
    found = ask_for_names(lm, "things", NAMES, seed=0)
    assert {label: names for label, names in enumerate(found) if names} == {0: ["cat"], 21: ["bus"]}
    first, second = texts(engine)
    assert "thing 19" in first and "thing 20" not in first and "thing 20" in second and "thing 19" not in second
    assert "things" in first


def test_plain_lines_are_read_and_a_limit_leaves_what_was_said_before(scripted: Make) -> None:
    lm, _ = scripted("Sure:\n- thing 2: puppy, whelp\n", BudgetReached("no more"))
    found = ask_for_names(lm, "things", NAMES, seed=0)
    assert found[2] == ["puppy", "whelp"] and sum(map(bool, found)) == 1


def test_another_seed_asks_anew(scripted: Make) -> None:
    lm, engine = scripted(*[reply("thing 0: cat")] * 2)
    before = dspy.cache
    try:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
        lm.cache = True
        for seed in (1, 2, 1):
            assert ask_for_names(lm, "things", NAMES[:1], seed) == [["cat"]]
    finally:
        dspy.cache = before
    assert len(engine.requests) == 2


@pytest.mark.parametrize(("classes", "calls"), [(1, 1), (BATCH, 1), (BATCH + 1, 2), (2 * BATCH, 2)])
def test_a_question_is_forecast_for_each_batch(classes: int, calls: int) -> None:
    forecast = forecast_names([f"thing {number}" for number in range(classes)], "things", reply_tokens=100)
    assert (forecast.calls, forecast.tokens_out) == (calls, calls * 100)


def test_the_bound_of_a_question_counts_its_own_classes() -> None:
    one, many = (forecast_names([f"thing {number:04}" for number in range(n)], "things", 100) for n in (BATCH, 1000))
    assert many.tokens_in == one.tokens_in * 1000 // BATCH


def test_candidates_are_things_and_have_the_word_for_their_kind() -> None:
    crane, hat = candidates_of(["crane"])[0], candidates_of(["hat"])[0]
    assert "crane bird" in crane and "lifting device" in crane and "writer" not in crane
    assert "headdress" in hat
    assert "dame" not in candidates_of(["bird"])[0] and "slave" not in candidates_of(["tool"])[0]
    assert "medical practitioner" in candidates_of(["doctor"])[0]  # the usual meaning is a person


def test_of_an_answer_so_many_names_are_taken_and_none_twice() -> None:
    line = f"pups: one, one, {', '.join(f'name{letter}' for letter in 'abcdefgh')}"
    assert read_candidates([line], {"pups": 7}) == {7: ["one", *(f"name{letter}" for letter in "abcd")]}
    assert len(read_candidates([line], {"pups": 7})[7]) == ASKED


def test_further_names_come_first_and_all_names_together_are_limited() -> None:
    more = [f"name{first}{second}" for first in "abcde" for second in "abcdefgh"]
    assert candidates_of(["dog"], [more]) == [more[:MOST]]
    few, _ = candidates_of(["dog", "cat"], [["hound", "Cat", "hound"], []])
    assert few[0] == "hound" and few.count("hound") == 1 and "cat" not in few


def test_each_of_several_names_alone_is_a_candidate_of_its_class_and_of_no_other() -> None:
    sofas, other = candidates_of([named(["sofa", "couch"]), "settee"])
    assert candidates_of([named(["zorbil", "kwexly"])]) == [["zorbil", "kwexly"]], "though no dictionary has them"
    assert {"sofa", "couch"} <= set(sofas) and not {"sofa", "couch"} & set(other) and "settee" not in sofas


def test_a_name_may_have_sixty_characters() -> None:
    assert usable_name("x" * LONGEST) and not usable_name("x" * (LONGEST + 1))
