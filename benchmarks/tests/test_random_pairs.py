"""The best of pairs of phrases joined at random, on the real small CLIP and real images."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.lab.random_pairs import AFTER, BEFORE, MANY, NOUN, RandomPairs, RandomPairsMany, random_pairs
from ipo_prompts.experiments.compare.text_methods import phrases
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import SLOT, problem
from ipo_prompts.programs.phrases import Vocabulary

READABLE = re.compile(r"an? [a-z0-9 ,-]+ of a <CLASS>(, [a-z0-9 -]+){0,2}\.")


def test_pairs_are_two_phrases_of_different_groups_in_one_readable_template(lesson: Callable[..., Prepared]) -> None:
    given = lesson()
    pairs = random_pairs(given)
    assert len(pairs) == len(set(pairs)) > 20 * MANY
    for template in pairs[:2_000]:
        assert READABLE.fullmatch(template) and template.count(SLOT) == 1 and problem(template) is None, template
    groups = {phrase.template: phrase.group for phrase in phrases(given)}
    assert groups["a bright picture of a <CLASS>."] == groups["a dark picture of a <CLASS>."]
    assert "a bright, dark picture of a <CLASS>." not in pairs
    assert {phrase.form for phrase in Vocabulary.load().phrases} == {NOUN, BEFORE, AFTER}


def test_pairs_depend_on_the_seed_alone(lesson: Callable[..., Prepared]) -> None:
    assert random_pairs(lesson(seed=1)) == random_pairs(lesson("embedded:b", seed=1))
    assert random_pairs(lesson(seed=1))[:20] != random_pairs(lesson(seed=2))[:20]


@pytest.mark.parametrize(("steps", "candidates"), [(2, 3), (4, 5)])
def test_as_many_pairs_are_tried_as_templates_are_asked_for(
    steps: int, candidates: int, lesson: Callable[..., Prepared]
) -> None:
    given = lesson(steps=steps, candidates_per_step=candidates)
    fitted = RandomPairs().fit(given)
    assert fitted.scored_only == steps * candidates
    (template,) = fitted.templates
    assert template in [given.config.initial_template, *random_pairs(given)[: steps * candidates]]
    assert RandomPairsMany().fit(lesson(classes=2)).scored_only == MANY


def test_pairs_that_do_not_fit_are_replaced(lesson: Callable[..., Prepared], clip: Clip) -> None:
    """The long class comes later only, so that no phrase of the vocabulary is left out for it."""
    given = lesson(steps=2, candidates_per_step=10, classes=4)
    long = " ".join("a" * (clip.context_length - 11))
    reward = ClipReward(clip, given.reward.class_names, also_fit=[long])
    given = replace(given, reward=reward)
    first = random_pairs(given)[:20]
    assert 0 < sum(reward.problem(template) is None for template in first) < 20
    assert RandomPairs().fit(given).scored_only == 20
