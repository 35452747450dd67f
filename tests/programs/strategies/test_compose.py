"""Compositions: what is looked at, what is proposed, what of a language model's words is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import BASELINE, SLOT, problem
from ipo_prompts.programs.search import SearchResult, search
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known, Models
from ipo_prompts.programs.strategies.compose import (
    PARTS,
    Compose,
    ComposeSettings,
    worth,
)
from ipo_prompts.programs.strategies.looks import LONGEST as LONGEST_LOOK
from ipo_prompts.programs.templates.admission import Desk
from ipo_prompts.programs.templates.domain_words import DomainWord
from ipo_prompts.programs.templates.phrases import LONGEST, Vocabulary
from ipo_prompts.programs.templates.settings import SearchSettings, preset
from support.scored import history

WORTH = {"dark": 0.2, "upside down": 0.1, "torn": 0.001, "in fog": -0.1}

WORD = FRACTION.word


class Writer:
    """Gives the templates of a list, as a language model would."""

    def __init__(self, templates: Sequence[str]) -> None:
        self.left = list(templates)
        self.closed = False

    def ask(self, known: Known, desk: Desk) -> None:
        while self.left and desk.missing > 0:
            desk.admit(self.left.pop(0))

    def forecast(self, expected: Expected) -> Forecast:
        return Forecast(calls=expected.settings.steps * expected.settings.candidates_per_step)

    def close(self) -> None:
        self.closed = True


class Worded:
    """A reward that knows what each word is worth; its thousand units share the value."""

    def __init__(self, class_names: Sequence[str] = ("cat", "dog")) -> None:
        self.class_names = class_names
        self.scored: list[str] = []

    def problem(self, template: str) -> str | None:
        return problem(template)

    def examples(self, examples: Sequence[Any]) -> Any:
        return self

    labels = None
    groups = None

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        self.scored += templates
        return [self._score(template) for template in templates]

    def _score(self, template: str) -> Score:
        value = 0.3 + sum(gain for word, gain in WORTH.items() if word in template)
        hits = np.arange(1000) < round(1000 * value)
        return Score(template, float(hits.mean()), 1.0, hits, np.ones(1000))


def run(strategy: Compose, reward: Any = None, steps: int = 3, **settings: Any) -> SearchResult:
    reward = reward or Worded()
    return search(SearchSettings(steps=steps, **settings), reward, strategy, reward.examples([]))


@pytest.fixture()
def no_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the words of the writer."""
    monkeypatch.setattr(Vocabulary, "usable", lambda *_: ())


@pytest.mark.usefixtures("no_phrases")
def test_parts_that_help_are_put_together_and_the_others_left_out() -> None:
    writer = Writer(["a dark photo of a <CLASS>, in fog.", "a torn photo of a <CLASS>, upside down."])
    found = run(Compose(None, writer))
    assert found.choice.template == found.history.best.template == "a dark, torn photo of a <CLASS>, upside down."
    assert writer.closed


def test_a_word_has_to_earn_its_place() -> None:
    def scored(template: str, value: float) -> Score:
        return Score(template, value, 1.0, np.ones(1, dtype=bool), np.ones(1))

    short, long = scored("a dark <CLASS>.", 0.5), scored("a dark, old <CLASS>.", 0.5 + WORD / 2)
    assert worth(short, WORD) > worth(long, WORD)
    assert worth(replace(short, loss=0.9), WORD) > worth(short, WORD), "of equal ones the lower loss"
    assert worth(short, WORD) < worth(scored("a dark, old <CLASS>.", 0.5 + 2 * WORD), WORD)


def test_what_is_proposed_is_short_and_of_words_that_were_looked_at() -> None:
    found = run(Compose())
    templates = [entry.template for entry in found.history]
    assert {entry.source for entry in found.history} == {"initial", "composition"}
    assert len(templates) == 16 and len(set(templates)) == 16
    assert all(template.count(SLOT) == 1 and len(template.split()) <= LONGEST for template in templates)
    assert not [rejection for step in found.steps for rejection in step.rejected]


def test_a_composition_is_tried_with_the_most_promising_parts_alone() -> None:
    class Seen(Compose):
        def ask(self, known: Known, desk: Desk) -> None:
            self.known = known
            super().ask(known, desk)

    strategy = Seen(ComposeSettings(scored_templates=400))
    run(strategy, steps=2)
    around = Counter(one.around for one in strategy.known.scored_only if one.around)
    assert PARTS - 5 < max(around.values()) <= PARTS
    best = [one for one in strategy.known.scored_only if one.around == next(iter(around))]
    assert any("upside down" in one.template for one in best)


def test_a_word_that_no_list_has_is_used_where_the_task_or_a_description_has_it() -> None:
    told = [f"a photo of a <CLASS>, in {word}." for word in ("zorbland", "glimmerfog", "onitsceiling")]
    reward, settings = Worded(), SearchSettings(steps=1)
    strategy = Compose(ComposeSettings(words=3), Writer(told))
    about: dict[str, Any] = {"task": "pets of Zorbland", "describe": lambda: ["a glimmerfog"]}
    search(settings, reward, strategy, reward.examples([]), **about)
    assert [one in reward.scored for one in told] == [True, True, False]


def test_the_same_search_makes_the_same_compositions(clip: Clip) -> None:
    data = draw(load_data("embedded:upside-down+noise", seed=0), shots=1, selection_shots=1, seed=0)
    reward = ClipReward(clip, data.class_names)
    units, held_back = (reward.examples(data.examples(part)) for part in ("search", "selection"))
    strategy = Compose(ComposeSettings(scored_templates=20))  # the second search begins anew, as a resumed one does

    def found() -> SearchResult:
        return search(SearchSettings(steps=3), reward, strategy, units, held_back)

    first, second = found(), found()
    assert first.choice == second.choice
    assert [entry.record() for entry in first.history] == [entry.record() for entry in second.history]
    assert first.scored_only == second.scored_only > 80
    alone = [one for one in first.history if one.step == 0]
    assert first.history.best.value > first.history.initial.value + 0.05
    assert first.history.best.rank >= max(one.rank for one in alone)


def test_a_search_without_a_language_model_ends_when_all_was_tried() -> None:
    found = run(
        Compose(ComposeSettings(scored_templates=10_000)),
        steps=400,
        candidates_per_step=100,
        scored_templates=2_000,
        patience=None,
    )
    assert found.ended == "all compositions of the phrases were tried"


def test_no_more_is_scored_than_is_forecast() -> None:
    strategy, reward = Compose(ComposeSettings(scored_templates=30)), Worded()
    found = run(strategy, reward, steps=4, candidates_per_step=3)
    forecast = strategy.forecast(Expected(SearchSettings(steps=4, candidates_per_step=3), "pets", classes=2))
    assert 4 * 30 <= forecast.scored_only < 3 * 4 * 30
    assert len(reward.scored) <= 1 + forecast.scored_only + 4 * 3 and len(found.steps) == 5


def test_it_is_built_with_or_without_a_language_model() -> None:
    alone = STRATEGIES.build({"name": "compose"}, Models(given=False)).forecast(_expected())
    assert alone == Forecast(scored_only=alone.scored_only)
    asks = STRATEGIES.build({"name": "compose", "words": 3}, Models(small=True)).forecast(_expected())
    plain = STRATEGIES.build({"name": "no-history"}, Models(small=True)).forecast(_expected(candidates=3))
    assert replace(asks, scored_only=plain.scored_only) == plain and asks.calls > 0


@pytest.mark.parametrize("name", ["history", "no-history", "compose"])
def test_a_language_model_is_shown_the_phrases_that_score_best_and_they_are_scored_once(
    name: str, scripted: Callable[..., tuple[Any, Any]], as_list: Callable[..., str]
) -> None:
    lm, engine = scripted(*(as_list(f"{word} <CLASS>.", f"my {word} <CLASS>.") for word in ("a", "the", "one")))
    reward = Worded()
    run(STRATEGIES.build({"name": name}, Models(lm)), reward, candidates_per_step=2)
    asked = ["".join(part.text for one in request.messages for part in one.parts) for request in engine.requests]
    shown = [re.findall("The pictures look like: (.*)\\.", text) for text in asked]
    assert len(shown) == 3 and shown[0] == shown[1] == shown[2]
    phrases = shown[0][0].split(", ")
    assert len(phrases) == 6 and "dark" in phrases[0] and all(any(word in one for word in WORTH) for one in phrases[:3])
    assert "in fog" not in phrases and len(shown[0][0]) < LONGEST_LOOK
    if name != "compose":  # which proposes what it has scored
        assert set(Counter(reward.scored).values()) == {1} and len(reward.scored) > 250


def test_published_questions_show_no_phrases() -> None:
    for name in ("paper", "code"):
        strategy = STRATEGIES.build(preset(name)["strategy"], Models())
        assert not strategy.described(Known("pets", history({BASELINE: 0.3})), Desk(problem, 1))


@pytest.mark.usefixtures("no_phrases")
def test_a_word_costs_what_the_rewards_scale_says() -> None:
    class Costly(Worded):
        scale = Scale(word=0.12)

    dark, both = "a dark photo of a <CLASS>.", "a dark photo of a <CLASS>, upside down."
    for reward, best in ((Costly(), dark), (Worded(), both)):
        found = run(Compose(None, Writer([both])), reward, steps=1, candidates_per_step=1)
        assert found.steps[1].scored[0].template == best, "one word more is worth 0.1"


def _expected(candidates: int = 5) -> Expected:
    return Expected(SearchSettings(steps=4, candidates_per_step=candidates), "pets")


FLOWER, PLANT = (DomainWord(text, "thing", "names") for text in ("flower", "plant"))
SATELLITE = DomainWord("satellite", "picture", "said")


def with_words(reward: Worded, words: Sequence[DomainWord], steps: int = 3, **settings: Any) -> SearchResult:
    """Search with domain words."""
    strategy = Compose(ComposeSettings(**settings))
    return search(
        SearchSettings(steps=steps),
        reward,
        strategy,
        reward.examples([]),
        find_domain=lambda: words[: strategy.room_for_words],
    )


def test_domain_words_come_first_each_in_its_usual_form_and_the_best_in_all_forms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WORTH, "flower", 0.05)
    reward = Worded()
    with_words(reward, [PLANT, FLOWER, SATELLITE], steps=1)
    assert reward.scored[1:4] == [
        "a photo of a <CLASS>, a type of plant.",
        "a photo of a <CLASS>, a type of flower.",
        "a satellite photo of a <CLASS>.",
    ]
    others = ["a photo of a <CLASS>, flower.", "a flower photo of a <CLASS>.", "a photo of a <CLASS> flower."]
    assert reward.scored[4:7] == others, "the word that scores best first"


def test_a_domain_word_stands_in_a_template_once_and_beside_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORTH, "flower", 0.05)
    monkeypatch.setitem(WORTH, "satellite", 0.04)
    reward = Worded()
    found = with_words(reward, [FLOWER, PLANT, SATELLITE])
    assert not [one for one in reward.scored if ("flower" in one and "plant" in one) or one.count("flower") > 1]
    assert any("satellite" in one and "flower" in one for one in reward.scored)
    assert "flower" in found.choice.template and "dark" in found.choice.template
    assert found.domain == (FLOWER, PLANT, SATELLITE)


def test_no_word_is_looked_for_where_none_is_wanted() -> None:
    reward = Worded()
    strategy = Compose(ComposeSettings(domain_words=0))
    assert strategy.room_for_words == 0
    found = search(SearchSettings(steps=1), reward, strategy, reward.examples([]))
    assert found.domain == ()
