"""The best of pools that no language model wrote, on the real small CLIP and real pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Lesson
from ipo_prompts.experiments.compare.methods.given import (
    AFTER,
    BEFORE,
    MANY,
    NOUN,
    BestOf,
    one_template,
    phrases,
    random_pairs,
    single_phrases,
)
from ipo_prompts.experiments.run.reading import build
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import SLOT, problem
from ipo_prompts.programs.templates.phrases import Vocabulary

READABLE = re.compile(r"an? [a-z0-9 ,-]+ of a <CLASS>(, [a-z0-9 -]+){0,2}\.")


def test_the_vocabulary_is_its_phrases_as_the_describer_tries_them(lesson: Callable[..., Lesson]) -> None:
    given = lesson(selection="search")
    fitted = METHODS.find("vocabulary").fit(given)
    tried = [phrase.template for phrase in Vocabulary.load().usable(given.class_names, given.clip)]
    assert len(tried) > 250
    scores = given.prepared.reward.score(tried, given.prepared.search.units)
    best = max(scores, key=lambda score: score.rank)
    assert fitted.templates == ((best.template, 1.0),)
    assert fitted.budget == Budget(
        scored_only=len(tried) - 1
    )  # the baseline template is one of them, and where the search starts


def test_rows_take_their_phrases_from_the_vocabulary_that_is_named(lesson: Callable[..., Lesson]) -> None:
    given = lesson(vocabulary="general")
    assert single_phrases(given) == [phrase.template for phrase in Vocabulary.load("general").usable(given.class_names)]
    assert "a possible, sudden picture of a <CLASS>." in random_pairs(given)
    with pytest.raises(Absent, match="vocabulary=none has no phrases"):
        METHODS.find("vocabulary").fit(lesson(vocabulary="none"))


def test_pairs_are_two_phrases_of_different_groups_in_one_readable_template(lesson: Callable[..., Lesson]) -> None:
    given = lesson()
    pairs = random_pairs(given)
    assert len(pairs) == len(set(pairs)) > 20 * MANY
    for template in pairs[:2_000]:
        assert READABLE.fullmatch(template) and template.count(SLOT) == 1 and problem(template) is None, template
        assert not re.search(r"\ba [aeo]|\ban [^aeioux]", template), template
    groups = {phrase.template: phrase.group for phrase in phrases(given)}
    assert groups["a bright picture of a <CLASS>."] == groups["a dark picture of a <CLASS>."]
    assert "a bright, dark picture of a <CLASS>." not in pairs
    assert "a dark picture of a <CLASS>, in fog." in pairs


def test_phrases_stand_where_their_form_has_them() -> None:
    vocabulary = Vocabulary.load()
    assert {phrase.form for phrase in vocabulary.phrases} == {NOUN, BEFORE, AFTER}
    known = {phrase.text: phrase for phrase in vocabulary.phrases}
    assert len(known) == len(vocabulary.phrases), "else two pairs could make one template"
    assert one_template(known["x-ray image"], known["noisy"]) == "a noisy x-ray image of a <CLASS>."
    assert one_template(known["tilted"], known["etching"]) == "an etching of a <CLASS>, tilted."
    assert one_template(known["dark"], known["blurry"]) == "a dark, blurry picture of a <CLASS>."
    assert one_template(known["tilted"], known["in fog"]) == "a picture of a <CLASS>, tilted, in fog."
    assert one_template(known["etching"], known["x-ray image"]) is None


def test_pairs_depend_on_the_seed_alone(lesson: Callable[..., Lesson]) -> None:
    assert random_pairs(lesson(seed=1)) == random_pairs(lesson(seed=1)) == random_pairs(lesson("embedded:b", seed=1))
    assert random_pairs(lesson(seed=1))[:20] != random_pairs(lesson(seed=2))[:20]
    first, again = (METHODS.find("random-pairs").fit(lesson(seed=1, steps=2, candidates_per_step=4)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("steps", "candidates"), [(2, 3), (4, 5)])
def test_as_many_pairs_are_looked_at_as_templates_are_asked_for(
    steps: int, candidates: int, lesson: Callable[..., Lesson]
) -> None:
    given = lesson(steps=steps, candidates_per_step=candidates)
    fitted = METHODS.find("random-pairs").fit(given)
    assert fitted.budget == Budget(scored_only=steps * candidates)
    ((template, _),) = fitted.templates or ()
    assert template in [given.config.initial_template, *random_pairs(given)[: steps * candidates]]


def test_many_pairs_are_a_number_that_no_setting_changes(lesson: Callable[..., Lesson]) -> None:
    many = METHODS.find("random-pairs-many")
    assert isinstance(many, BestOf) and many.count is not None
    assert many.count(build({"steps": 1, "candidates_per_step": 1}, where="the test")) == MANY == 1_400
    assert many.fit(lesson(classes=2)).budget == Budget(scored_only=MANY)


def test_pairs_that_do_not_fit_are_replaced(lesson: Callable[..., Lesson], clip: Clip) -> None:
    """The long class comes later only, so that no phrase of the vocabulary is left out for it."""
    given = lesson(steps=2, candidates_per_step=10, classes=4)
    long = " ".join("a" * (clip.context_length - 11))
    reward = ClipReward(clip, given.class_names, also_fit=[long])
    given = replace(given, prepared=replace(given.prepared, reward=reward))
    first = random_pairs(given)[:20]
    assert 0 < sum(reward.problem(template) is None for template in first) < 20
    assert METHODS.find("random-pairs").fit(given).budget == Budget(scored_only=20)
