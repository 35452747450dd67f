"""Compositions: what is tried, what is proposed, what of a language model's words is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import dspy
import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.phrases import LONGEST, LONGEST_LOOK, DomainWord, Vocabulary
from ipo_prompts.programs.search import SearchResult, search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Forecast
from ipo_prompts.programs.strategies.compose import Compose, worth
from support.scored import Valued, score

Make = Callable[..., tuple[Any, Any]]
AsList = Callable[..., str]
WORTH = {"dark": 0.2, "upside down": 0.1, "torn": 0.001, "in fog": -0.1}
WORD = FRACTION.word


def worded(**more: float) -> Valued:
    """Return a reward that knows what each word is worth."""
    return Valued(lambda template: 0.3 + sum(gain for word, gain in {**WORTH, **more}.items() if word in template))


def run(strategy: Any, reward: Any = None, lm: Any = None, about: Any = None, **settings: Any) -> SearchResult:
    reward = reward or worded()
    with dspy.context(lm=lm) if lm else nullcontext():
        return search(SearchSettings(**{"steps": 3, **settings}), reward, strategy, reward, **(about or {}))


@pytest.fixture()
def no_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the words of the language model."""
    monkeypatch.setattr(Vocabulary, "usable", lambda *_: ())


@pytest.mark.usefixtures("no_phrases")
def test_parts_that_help_are_put_together_and_the_others_left_out(scripted: Make, as_list: AsList) -> None:
    lm, _ = scripted(as_list("a dark photo of a <CLASS>, in fog.", "a torn photo of a <CLASS>, upside down."))
    found = run(Compose(), lm=lm)
    assert found.choice.template == found.history.best.template == "a dark, torn photo of a <CLASS>, upside down."


@pytest.mark.usefixtures("no_phrases")
def test_a_word_costs_what_the_scale_says_and_more_with_few_base_images(scripted: Make, as_list: AsList) -> None:
    short, long = score("a dark <CLASS>.", 0.5), replace(score("a dark, old <CLASS>.", 0.5), value=0.5 + WORD / 2)
    assert worth(replace(short, loss=0.9), WORD) > worth(short, WORD) > worth(long, WORD)
    assert worth(short, WORD) < worth(replace(long, value=0.5 + 2 * WORD), WORD)
    dark, both = "a dark photo of a <CLASS>.", "a dark photo of a <CLASS>, upside down."
    cases = ((Scale(word=0.12), 1, dark), (FRACTION, 1, both), (FRACTION, 100, dark), (Scale(low=-1), 100, both))
    for scale, variants, best in cases:
        lm, _ = scripted(as_list(both))
        reward: Any = worded()
        reward.scale, reward.groups = scale, [str(unit // variants) for unit in range(1000)]
        found = run(Compose(words=1), reward, lm, steps=1, candidates_per_step=1)
        assert found.steps[1].scored[0].template == best, "one word more is worth 0.1: less than ln 10 / 20"


def test_what_is_proposed_is_short_and_of_words_that_were_tried() -> None:
    found = run(Compose())
    templates = [one.template for one in found.history]
    assert {one.source for one in found.history} == {"initial", "composition"}
    assert len(templates) == 16 and {*templates[1:]} <= found.history.tried.keys()
    assert all(template.count(SLOT) == 1 and len(template.split()) <= LONGEST for template in templates)
    assert not [rejection for step in found.steps for rejection in step.rejected]


def test_a_word_that_no_list_has_is_used_where_the_task_or_a_description_has_it(
    scripted: Make, as_list: AsList
) -> None:
    told = [f"a photo of a <CLASS>, in {word}." for word in ("zorbland", "glimmerfog", "onitsceiling")]
    reward, (lm, _) = worded(), scripted(as_list(*told))
    run(Compose(words=3), reward, lm, {"task": "pets of Zorbland", "describe": lambda: ["a glimmerfog"]}, steps=1)
    assert [one in reward.scored for one in told] == [True, True, False]


def test_the_same_search_makes_the_same_compositions(clip: Clip) -> None:
    data = draw(load_data("embedded:upside-down+noise", seed=0), shots=1, val_shots=1, seed=0)
    reward = ClipReward(clip, data.class_names)
    units, held_back = (reward.examples(data.examples(part)) for part in ("train", "val"))
    first, second = (
        search(SearchSettings(steps=3), reward, Compose(scored_templates=20), units, held_back) for _ in range(2)
    )
    assert first.choice == second.choice and first.scored_only > 80
    assert [step.record() for step in first.steps] == [step.record() for step in second.steps]
    assert first.history.best.value > first.history.initial.value + 0.05


def test_a_search_without_a_language_model_ends_when_all_was_tried() -> None:
    many = {"steps": 400, "candidates_per_step": 100, "scored_templates": 2_000, "patience": None}
    assert run(Compose(scored_templates=10_000), **many).ended == "all compositions of the phrases were tried"


def expected(candidates: int = 5, **more: Any) -> Expected:
    return Expected(SearchSettings(steps=4, candidates_per_step=candidates), "pets", **more)


def test_no_more_is_scored_than_is_forecast() -> None:
    strategy, reward = Compose(scored_templates=30), worded()
    run(strategy, reward, steps=4, candidates_per_step=3)
    forecast = strategy.forecast(expected(3, classes=2))
    assert 4 * 30 <= forecast.scored_only < 3 * 4 * 30
    assert len(reward.scored) <= 1 + forecast.scored_only + 4 * 3


def test_questions_are_forecast_if_there_is_a_language_model() -> None:
    alone = Compose().forecast(expected(lm=False))
    assert alone == Forecast(scored_only=alone.scored_only)
    asks, plain = Compose(words=3).forecast(expected()), STRATEGIES.build({"name": "no-history"}).forecast(expected(3))
    assert replace(asks, scored_only=plain.scored_only) == plain and asks.calls > 0


@pytest.mark.parametrize("name", ["history", "no-history", "compose"])
def test_a_language_model_is_shown_the_phrases_that_score_best_and_they_are_scored_once(
    name: str, scripted: Make, as_list: AsList
) -> None:
    lm, engine = scripted(*(as_list(f"{word} <CLASS>.", f"my {word} <CLASS>.") for word in ("a", "the", "one")))
    reward = worded()
    run(STRATEGIES.build({"name": name}), reward, lm, candidates_per_step=2)
    asked = ["".join(part.text for one in request.messages for part in one.parts) for request in engine.requests]
    shown = [re.findall("The pictures look like: (.*)\\.", text) for text in asked]
    assert len(shown) == 3 and shown[0] == shown[1] == shown[2]
    phrases = shown[0][0].split(", ")
    assert len(phrases) == 6 and "dark" in phrases[0] and all(any(word in one for word in WORTH) for one in phrases[:3])
    assert "in fog" not in phrases and len(shown[0][0]) < LONGEST_LOOK
    if name != "compose":  # which proposes what it has tried
        assert set(Counter(reward.scored).values()) == {1} and len(reward.scored) > 250


FLOWER, PLANT = (DomainWord(text, "thing", "names") for text in ("flower", "plant"))
SATELLITE = DomainWord("satellite", "image", "said")


def with_words(reward: Valued, words: Sequence[DomainWord], **settings: Any) -> SearchResult:
    return run(Compose(), reward, about={"find_domain": lambda: words}, **settings)


def test_domain_words_come_first_each_in_its_usual_form_and_the_best_in_all_forms() -> None:
    reward = worded(flower=0.05)
    with_words(reward, [PLANT, FLOWER, SATELLITE], steps=1)
    assert reward.scored[1:7] == [
        "a photo of a <CLASS>, a type of plant.",
        "a photo of a <CLASS>, a type of flower.",
        "a satellite photo of a <CLASS>.",
        *("a photo of a <CLASS>, flower.", "a flower photo of a <CLASS>.", "a photo of a <CLASS> flower."),
    ], "the word that scores best first"


def test_a_domain_word_stands_in_a_template_once_and_beside_other_words() -> None:
    reward = worded(flower=0.05, satellite=0.04)
    found = with_words(reward, [FLOWER, PLANT, SATELLITE])
    assert not [one for one in reward.scored if ("flower" in one and "plant" in one) or one.count("flower") > 1]
    assert any("satellite" in one and "flower" in one for one in reward.scored)
    assert "flower" in found.choice.template and "dark" in found.choice.template
    assert found.domain == (FLOWER, PLANT, SATELLITE)


def test_room_is_left_for_other_forms_of_domain_words() -> None:
    assert [Compose(domain_words=words, scored_templates=40).room_for_words for words in (0, 20, 70)] == [0, 20, 30]
