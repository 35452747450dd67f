"""The methods under test, on the real small CLIP and real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECTS, Absent, Facts
from ipo_prompts.experiments.compare.text_methods import Search
from ipo_prompts.experiments.run.files import build
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.phrases import Vocabulary

NAMES = ["cat", "birthday cake", "hot_dog"]


def encoded(lesson: Prepared, part: str) -> Any:
    return getattr(lesson, part).units


def facts_of(names: Iterable[str] = METHODS, **settings: Any) -> dict[str, Facts]:
    """Return what a table knows of each method under the settings."""
    shared = build(settings, where="the test")
    found = {name: METHODS.find(name) for name in names}
    return {
        name: one.facts(one.run_config(shared, settings) if isinstance(one, Search) else shared)
        for name, one in found.items()
    }


def test_every_method_knows_itself() -> None:
    settings = {"shots": 4, "val_shots": 2}
    pools = ("best-of-80", "vocabulary")
    held_back = (
        *pools,
        "prototype",
        "gda",
        "gda-text",
        "phrases",
        "no-history",
        "history",
        "ipo-default",
        "text",
        "ipo",
    )
    saw = {**dict.fromkeys(held_back, 6), "ipo-paper": 4, "ipo-code": 4}
    facts = facts_of(**settings)
    assert {name: one.labelled for name, one in facts.items() if one.labelled} == saw
    on_search = facts_of(held_back, **settings, selection="train")
    assert {one.labelled for one in on_search.values()} == {4}
    assert len({one.label for one in facts.values()}) == len(list(METHODS))
    fixed = {name for name, one in facts.items() if not one.depends_on_seed}
    assert fixed == {"baseline", "class-name", "given", "hand-written", "ensemble-80"}
    assert {name for name, one in facts.items() if one.shows} == {
        "phrases",
        "no-history",
        "history",
    }
    searches = {name for name in METHODS if isinstance(METHODS.find(name), Search)}
    opponents = {name for name in searches if facts[name].is_opponent}
    assert opponents == {"phrases", "no-history", "history", "text"}
    assert {*SUBJECTS} <= {*METHODS}


def test_one_template_is_to_the_bit_what_the_reward_scores(clip: Clip, lesson: Callable[..., Prepared]) -> None:
    for name, template in (("baseline", BASELINE), ("class-name", SLOT)):
        fitted = METHODS.find(name).fit(lesson())
        assert fitted.templates == (template,)
        ours = fitted.class_embeddings(NAMES)
        assert np.array_equal(ours, encode_templates(clip.model, clip.tokenizer, [template], NAMES)[0])


def test_hand_written_takes_the_data_sets_own_template_and_no_other(lesson: Callable[..., Prepared]) -> None:
    own = "a photo of a <CLASS>, a type of pet."
    assert METHODS.find("hand-written").fit(lesson(hand_written=own)).templates == (own,)
    with pytest.raises(Absent, match="no hand-written template exists"):
        METHODS.find("hand-written").fit(lesson())


def test_ensemble_80_is_open_clips_zero_shot_classifier(clip: Clip, lesson: Callable[..., Prepared]) -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES, build_zero_shot_classifier

    theirs = build_zero_shot_classifier(clip.model, clip.tokenizer, NAMES[:2], OPENAI_IMAGENET_TEMPLATES)
    ours = METHODS.find("ensemble-80").fit(lesson()).class_embeddings(NAMES[:2])
    assert np.abs(ours - theirs.numpy().T).max() < 1e-5


def test_best_of_80_is_the_best_of_them_on_the_train_images(lesson: Callable[..., Prepared]) -> None:
    given = lesson(selection="train")
    fitted = METHODS.find("best-of-80").fit(given)
    scores = given.reward.score(imagenet_templates(), encoded(given, "train"))
    best = max(scores, key=lambda score: (score.value, -score.loss))
    assert best.template != BASELINE
    assert fitted.templates == (best.template,)
    assert fitted.scored_only == 79, "the baseline template is one of the 80, and where the search starts"


def test_best_of_80_is_chosen_on_search_and_validation_images_as_a_search_is(lesson: Callable[..., Prepared]) -> None:
    given = lesson("embedded:b", initial_template="a cat, a dog, a horse and an apple without a <CLASS>.")
    chosen = METHODS.find("best-of-80").fit(given)
    (template,) = chosen.templates or ()
    tried = [given.config.initial_template, *imagenet_templates()]
    scores = [given.reward.score(tried, encoded(given, part)) for part in ("train", "val")]
    hits = {one.template: int(one.hits.sum() + other.hits.sum()) for one, other in zip(*scores, strict=True)}
    assert hits[template] == max(hits.values()) > hits[tried[0]]
    assert chosen.gain is not None and abs(chosen.gain) < 1
    kept = METHODS.find("best-of-80").fit(
        lesson("embedded:b", initial_template=template)
    )  # nothing gains on the best one
    assert kept.templates == (template,)


def test_methods_say_where_they_are_not_as_published() -> None:
    facts = facts_of(steps=100, candidates_per_step=5, shots=1)
    said = {name: one.differs for name, one in facts.items() if one.differs}
    assert set(said) == {"gda", "gda-text", "ipo-paper", "ipo-code"}
    assert "candidates_per_step=5 (8)" in said["ipo-code"] and "40 tokens" in said["ipo-code"]
    assert "candidates_per_step" not in said["ipo-paper"] and "shots=" not in said["ipo-paper"]


def test_the_vocabulary_is_its_phrases_as_the_describer_tries_them(lesson: Callable[..., Prepared]) -> None:
    given = lesson(selection="train")
    fitted = METHODS.find("vocabulary").fit(given)
    tried = [phrase.template for phrase in Vocabulary.load().usable(given.reward.class_names, given.clip)]
    assert len(tried) > 250
    scores = given.reward.score(tried, given.train.units)
    best = max(scores, key=lambda score: score.rank)
    assert fitted.templates == (best.template,)
    assert fitted.scored_only == len(tried) - 1, "the baseline template is one of them, and where the search starts"
