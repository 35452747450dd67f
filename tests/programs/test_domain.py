"""The words of the domain: what is found in names, in what data are called, and in an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.programs.domain import (
    SHOWN,
    ask_for_domain,
    domain_of,
    everyday,
    forecast_domain,
    from_names,
    from_words,
)
from ipo_prompts.programs.lm.local import local_lm
from ipo_prompts.programs.phrases import DomainWord

Make = Callable[..., tuple[Any, Any]]
PUBLISHED = Path(__file__).parents[1] / "experiments/data/benchmarks/fixtures/published.json"
NAMES = {name: one["classes"] for name, one in json.loads(PUBLISHED.read_text(encoding="utf-8")).items()}


def texts(words: tuple[DomainWord, ...]) -> list[str]:
    return [word.text for word in words]


def test_each_anchor_is_a_meaning_and_each_word_is_short_and_in_lower_case() -> None:
    assert all(word == word.lower() and len(word.split()) <= 3 for word in everyday())
    assert {one.kind for one in everyday().values()} == {"thing", "place", "doing", "image"}
    assert len(everyday()) < 80 and sum(not one.anchors for one in everyday().values()) == 1


@pytest.mark.parametrize(
    ("name", "first"),
    [("oxford_pets", "pet"), ("oxford_flowers", "flower"), ("food101", "food"), ("eurosat", "satellite")],
)
def test_published_words_are_among_the_first_three_from_names(name: str, first: str) -> None:
    assert first in texts(from_names(NAMES[name]))[:3]


def test_activities_are_a_doing_and_adjectives_say_nothing() -> None:
    assert from_names(NAMES["ucf101"])[0] == DomainWord("activity", "doing", "names")
    assert from_names(NAMES["dtd"]) == from_names(NAMES["fgvc_aircraft"]) == ()


def test_no_word_that_is_untrue_of_most_classes_comes_early() -> None:
    assert texts(from_names(NAMES["stanford_cars"]))[:3] == ["car", "vehicle"]
    assert texts(from_names(NAMES["sun397"])) == ["place"]
    assert from_names(NAMES["caltech101"]) == from_names(NAMES["imagenet"]) == ()


def test_names_that_wordnet_lacks_say_nothing_beside_those_that_it_has() -> None:
    assert texts(from_names(["trout", "salmon", "xq7", "zzorb"]))[0] == "fish"
    assert from_names(["zzorb"] * 9 + ["trout"]) == from_names([]) == ()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("images of mushrooms from a forest walk", "mushroom"),
        ("folder:data/pets", "pet"),
        ("food101", "food"),
        ("FGVC-Aircraft", "aircraft"),
        ("MyXRays_v2", "x-ray"),
        ("Household_Items", "household item"),
    ],
)
def test_what_data_are_called_gives_a_word(text: str, first: str) -> None:
    assert texts(from_words([text]))[0] == first


@pytest.mark.parametrize("text", ["data/train", "sun397", "EuroSAT_RGB", "Desktop/new folder (2)", "garage", "grapes"])
def test_other_names_give_none(text: str) -> None:
    assert from_words([text]) == ()


def test_a_word_that_names_a_class_in_another_form_is_left_out() -> None:
    found = texts(domain_of(["dogs", "Trees"], ["pictures of dogs, trees"]))
    assert found and not {"dog", "tree"} & {*found}


def test_sources_take_turns_and_no_word_names_a_class() -> None:
    asked = (DomainWord("bloom", "thing", "language model"), DomainWord("herb", "thing", "language model"))
    found = domain_of(["rose", "tulip", "plant"], ["my flowers"], asked)
    assert [(word.text, word.source) for word in found[:2]] == [("bloom", "language model"), ("flower", "said")]
    assert "plant" not in texts(found) and len(set(texts(found))) == len(found)


def test_a_small_local_model_answers_with_a_line_each(small_weights: None) -> None:
    engine, name = local_lm("local/small")
    lm = dspy.LM(name, engine=engine, temperature=1.0, cache=False)
    birds = ["sparrow", "robin", "eagle", "swan", "owl"]
    found = ask_for_domain(lm, "images", birds, seed=0)
    assert found == ask_for_domain(lm, "images", birds, seed=0)
    assert 1 <= len(found) <= 4 and all(word.source == "language model" and word.kind == "thing" for word in found)
    assert all(re.fullmatch(r"[a-z ]+", word.text) and word.text not in birds for word in found)


def reply(kinds: list[str], images: list[str]) -> str:
    fields = f"[[ ## kinds ## ]]\n{json.dumps(kinds)}\n\n[[ ## pictures ## ]]\n{json.dumps(images)}"
    return f"{fields}\n\n[[ ## completed ## ]]"


def test_one_answer_of_a_language_model_is_read_with_bounds(scripted: Make) -> None:
    names = [f"class{number:03}" for number in range(100)]
    kinds = ["Flowers", "a rose", "an answer of many words", "x<y", "plant", "flower"]
    lm, engine = scripted(reply([*kinds, *(f"kind {a}{b}" for a in "abc" for b in "abcdef")], ["Satellite photos"]))
    found = domain_of(["rose", *names], (), ask_for_domain(lm, "things", ["rose", *names], seed=0))
    assert found[:3] == (
        DomainWord("flower", "thing", "language model"),
        DomainWord("satellite", "image", "language model"),
        DomainWord("plant", "thing", "language model"),
    )
    assert "rose" not in texts(found) and len(found) == 10
    (asked,) = engine.requests
    told = "".join(part.text for part in asked.messages[-1].parts)
    assert told.count("class") >= SHOWN - 1 and "class099" in told and told.count("class0") < 60


@pytest.mark.parametrize("failed", ["Sure! Flowers, plants.", BudgetReached("no more")])
def test_an_answer_that_cannot_be_read_gives_no_words(scripted: Make, failed: str | BaseException) -> None:
    lm, _ = scripted(failed)
    assert ask_for_domain(lm, "things", ["rose"], seed=0) == ()


def test_one_call_is_forecast_whatever_the_number_of_classes() -> None:
    few, many = (forecast_domain(["rose"] * count, "things", reply_tokens=100) for count in (40, 400))
    assert few == many and (few.calls, few.tokens_out) == (1, 100) and few.tokens_in > 400
