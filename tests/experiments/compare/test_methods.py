"""The methods under test, on the real small CLIP and real pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECTS, Absent, Lesson, Method
from ipo_prompts.experiments.compare.text_methods import LanguageModelSearch
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import build
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.phrases import Vocabulary

NAMES = ["cat", "birthday cake", "hot_dog"]


def encoded(lesson: Lesson, part: str) -> Any:
    return getattr(lesson.prepared, part).units


def all_methods() -> list[tuple[str, Method]]:
    return [(name, METHODS.find(name)) for name in METHODS]


def own(method: Method, settings: dict[str, Any]) -> RunConfig:
    shared = build(settings, where="the test")
    return method.run_config(shared, settings) or shared


def test_every_method_knows_itself() -> None:
    settings = {"shots": 4, "selection_shots": 2}
    pools = ("best-of-80", "vocabulary")
    held_back = (
        *pools,
        "class-mean",
        "gda",
        "gda-text",
        "phrases",
        "no-history",
        "history",
        "ipo-default",
        "words",
        "ipo",
    )
    saw = {**dict.fromkeys(held_back, 6), "ipo-paper": 4, "ipo-code": 4}
    assert {
        name: seen for name, method in all_methods() if (seen := method.labelled_per_class(own(method, settings)))
    } == saw
    on_search = {**settings, "selection": "search"}
    found = map(METHODS.find, held_back)
    assert {method.labelled_per_class(own(method, on_search)) for method in found} == {4}
    assert len({method.label for _, method in all_methods()}) == len(list(METHODS))
    fixed = {name for name, method in all_methods() if not method.depends_on_seed}
    assert fixed == {"baseline", "class-name", "given", "hand-written", "ensemble-80"}
    assert {name for name, method in all_methods() if method.shows} == {
        "phrases",
        "no-history",
        "history",
    }
    searches = {name for name, method in all_methods() if isinstance(method, LanguageModelSearch)}
    opponents = {name for name in searches if METHODS.find(name).is_opponent}
    assert opponents == {"phrases", "no-history", "history", "words"}
    assert {*SUBJECTS} <= {*METHODS}


def test_one_template_is_to_the_bit_what_the_reward_scores(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    for name, template in (("baseline", BASELINE), ("class-name", SLOT)):
        fitted = METHODS.find(name).fit(lesson())
        assert fitted.templates == (template,)
        ours = fitted.class_embeddings(NAMES)
        assert np.array_equal(ours, encode_templates(clip.model, clip.tokenizer, [template], NAMES)[0])


def test_hand_written_takes_the_data_sets_own_template_and_no_other(lesson: Callable[..., Lesson]) -> None:
    own = "a photo of a <CLASS>, a type of pet."
    assert METHODS.find("hand-written").fit(lesson(hand_written=own)).templates == (own,)
    with pytest.raises(Absent, match="no hand-written template exists"):
        METHODS.find("hand-written").fit(lesson())


def test_ensemble_80_is_open_clips_zero_shot_classifier(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES, build_zero_shot_classifier

    theirs = build_zero_shot_classifier(clip.model, clip.tokenizer, NAMES[:2], OPENAI_IMAGENET_TEMPLATES)
    ours = METHODS.find("ensemble-80").fit(lesson()).class_embeddings(NAMES[:2])
    assert np.abs(ours - theirs.numpy().T).max() < 1e-5


def test_best_of_80_is_the_best_of_them_on_the_search_pictures(lesson: Callable[..., Lesson]) -> None:
    given = lesson(selection="search")
    fitted = METHODS.find("best-of-80").fit(given)
    scores = given.prepared.reward.score(imagenet_templates(), encoded(given, "search"))
    best = max(scores, key=lambda score: (score.value, -score.loss))
    assert best.template != BASELINE
    assert fitted.templates == (best.template,)
    assert fitted.scored_only == 79, "the baseline template is one of the 80, and where the search starts"


def test_best_of_80_is_chosen_on_search_and_selection_pictures_as_a_search_is(lesson: Callable[..., Lesson]) -> None:
    given = lesson("embedded:b", initial_template="a cat, a dog, a horse and an apple without a <CLASS>.")
    chosen = METHODS.find("best-of-80").fit(given)
    (template,) = chosen.templates or ()
    tried = [given.config.initial_template, *imagenet_templates()]
    scores = [given.prepared.reward.score(tried, encoded(given, part)) for part in ("search", "selection")]
    hits = {one.template: int(one.hits.sum() + other.hits.sum()) for one, other in zip(*scores, strict=True)}
    assert hits[template] == max(hits.values()) > hits[tried[0]]
    assert chosen.gain is not None and abs(chosen.gain) < 1
    kept = METHODS.find("best-of-80").fit(
        lesson("embedded:b", initial_template=template)
    )  # nothing gains on the best one
    assert kept.templates == (template,)


def test_methods_say_where_they_are_not_as_published() -> None:
    settings = {"steps": 100, "candidates_per_step": 5, "shots": 1}
    said = {name: differs for name, method in all_methods() if (differs := method.differs(own(method, settings)))}
    assert set(said) == {"gda", "gda-text", "ipo-paper", "ipo-code"}
    assert "candidates_per_step=5 (8)" in said["ipo-code"] and "40 tokens" in said["ipo-code"]
    assert "candidates_per_step" not in said["ipo-paper"] and "shots=" not in said["ipo-paper"]


def test_the_vocabulary_is_its_phrases_as_the_describer_tries_them(lesson: Callable[..., Lesson]) -> None:
    given = lesson(selection="search")
    fitted = METHODS.find("vocabulary").fit(given)
    tried = [phrase.template for phrase in Vocabulary.load().usable(given.class_names, given.clip)]
    assert len(tried) > 250
    scores = given.prepared.reward.score(tried, given.prepared.search.units)
    best = max(scores, key=lambda score: score.rank)
    assert fitted.templates == (best.template,)
    assert fitted.scored_only == len(tried) - 1, "the baseline template is one of them, and where the search starts"
