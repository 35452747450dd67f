"""The methods under test, on the real small CLIP and real pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Lesson, Method
from ipo_prompts.experiments.compare.methods.coop import CoOp, _published_epochs, learning_rates
from ipo_prompts.experiments.compare.methods.given import Shape, shape
from ipo_prompts.experiments.compare.methods.search import LanguageModelSearch
from ipo_prompts.experiments.run.reading import build
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates, problem
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.selection import POOLED

NAMES = ["cat", "birthday cake", "hot_dog"]


def encoded(lesson: Lesson, part: str) -> Any:
    return getattr(lesson.prepared, part).units


def rewarded(lesson: Lesson, clip: Clip, class_names: Sequence[str]) -> Lesson:
    """Give a lesson another CLIP or other classes."""
    return replace(lesson, prepared=replace(lesson.prepared, clip=clip, reward=ClipReward(clip, class_names)))


def all_methods() -> list[tuple[str, Method]]:
    return [(name, METHODS.find(name)) for name in METHODS]


def test_every_method_knows_itself() -> None:
    shared = build({"shots": 4, "selection_shots": 2}, where="the test")
    pools = ("best-of-80", "vocabulary", "random-pairs", "random-pairs-many")
    held_back = (
        *pools,
        "class-mean",
        "gda",
        "gda-text",
        "coop-same-labels",
        "phrases",
        "no-history",
        "shuffled",
        "history",
        "ipo-default",
    )
    saw = {**dict.fromkeys(held_back, 6), "coop": 4, "ipo-paper": 4, "ipo-code": 4}
    assert {name: seen for name, method in all_methods() if (seen := method.labelled_per_class(shared))} == saw
    on_search = build({"shots": 4, "selection_shots": 2, "selection": "search"}, where="the test")
    assert {METHODS.find(name).labelled_per_class(on_search) for name in held_back} == {4}
    assert len({method.label for _, method in all_methods()}) == len(list(METHODS))
    fixed = {name for name, method in all_methods() if not method.depends_on_seed}
    assert fixed == {"baseline", "class-name", "given", "hand-written", "ensemble-80"}
    assert {name for name, method in all_methods() if method.is_control} == {
        "random-pairs",
        "phrases",
        "no-history",
        "history",
    }
    searches = {name for name, method in all_methods() if isinstance(method, LanguageModelSearch)}
    opponents = {name for name in searches if METHODS.find(name).is_opponent}
    assert opponents == {"phrases", "no-history", "history"}
    for name in fixed:
        assert not METHODS.find(name).uses_lm
    assert SUBJECT in METHODS


def test_the_registry_is_light() -> None:
    code = "import sys, ipo_prompts.experiments.compare.methods; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith("ipo_prompts.experiments.compare.methods.")]
    assert not {"dspy", "open_clip", "litellm", "datasets"} & set(loaded)


def test_one_template_is_to_the_bit_what_the_reward_scores(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    for name, template in (("baseline", BASELINE), ("class-name", SLOT)):
        fitted = METHODS.find(name).fit(lesson())
        assert fitted.templates == ((template, 1.0),)
        ours = fitted.class_embeddings(NAMES)
        assert np.array_equal(ours, encode_templates(clip.model, clip.tokenizer, [template], NAMES)[0])


def test_hand_written_takes_the_data_sets_own_template_and_no_other(lesson: Callable[..., Lesson]) -> None:
    own = "a photo of a <CLASS>, a type of pet."
    assert METHODS.find("hand-written").fit(lesson(hand_written=own)).templates == ((own, 1.0),)
    with pytest.raises(Absent, match="no hand-written template exists"):
        METHODS.find("hand-written").fit(lesson())


def test_ensemble_80_is_open_clips_zero_shot_classifier(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES, build_zero_shot_classifier

    theirs = build_zero_shot_classifier(clip.model, clip.tokenizer, NAMES[:2], OPENAI_IMAGENET_TEMPLATES)
    ours = METHODS.find("ensemble-80").fit(lesson()).class_embeddings(NAMES[:2])
    assert np.abs(ours - theirs.numpy().T).max() < 1e-5


def test_class_embeddings_are_made_once_for_the_same_classes(lesson: Callable[..., Lesson]) -> None:
    fitted = METHODS.find("ensemble-80").fit(lesson())
    made = fitted.embeddings_of(NAMES[:2])
    assert fitted.embeddings_of(tuple(NAMES[:2])) is made
    assert np.array_equal(made, fitted.class_embeddings(NAMES[:2]))
    assert np.array_equal(fitted.embeddings_of(NAMES[1:3])[0], fitted.class_embeddings(NAMES[1:3])[0])


def test_best_of_80_is_the_best_of_them_on_the_search_pictures(lesson: Callable[..., Lesson]) -> None:
    given = lesson(selection="search")
    fitted = METHODS.find("best-of-80").fit(given)
    scores = given.prepared.reward.score(imagenet_templates(), encoded(given, "search"))
    best = max(scores, key=lambda score: (score.value, -score.loss))
    assert best.template != BASELINE
    assert fitted.templates == ((best.template, 1.0),)
    assert fitted.budget == Budget(
        scored_only=79
    )  # the baseline template is one of the 80, and where the search starts


def test_best_of_80_is_chosen_on_search_and_selection_pictures_as_a_search_is(lesson: Callable[..., Lesson]) -> None:
    given = lesson("embedded:b", initial_template="a cat, a dog, a horse and an apple without a <CLASS>.")
    chosen = METHODS.find("best-of-80").fit(given)
    assert chosen.choice is not None and chosen.choice["how"] == POOLED
    ((template, _),) = chosen.templates or ()
    tried = [given.config.initial_template, *imagenet_templates()]
    scores = [given.prepared.reward.score(tried, encoded(given, part)) for part in ("search", "selection")]
    hits = {one.template: int(one.hits.sum() + other.hits.sum()) for one, other in zip(*scores, strict=True)}
    assert hits[template] == max(hits.values()) > hits[tried[0]]
    assert abs(chosen.choice["gain"]) < 1 and chosen.choice["standard_error"] > 0  # of 12 pictures: it says little
    kept = METHODS.find("best-of-80").fit(
        lesson("embedded:b", initial_template=template)
    )  # nothing gains on the best one
    assert kept.choice is not None and kept.choice["kept_initial"]
    assert kept.templates == ((template, 1.0),)


def test_waffle_is_noise_that_depends_on_the_seed_alone(lesson: Callable[..., Lesson]) -> None:
    first, again, other = (METHODS.find("waffle").fit(lesson(seed=seed)).templates for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first is not None and len(set(first)) == 30
    assert [problem(template) for template, _ in first] == [None] * 30
    noises = [noise_of(template) for template, _ in first]
    assert all(noise.isalpha() and noise.islower() for noise in noises[::2])  # real words first
    assert sum(noise.isalpha() and noise.islower() for noise in noises[1::2]) < 3


def noise_of(template: str) -> str:
    """Return the noise, after checking how it is joined to the class name."""
    assert template.startswith("A photo of a <CLASS>, which ") and template.endswith(".")
    rest = template.removeprefix("A photo of a <CLASS>, which ").removesuffix(".")
    verb, _, noise = rest.partition(" ")
    if rest.startswith(("has ", "is ")):
        assert noise.startswith(("a", "used")) == (verb == "is")
        return noise
    assert rest.startswith(("has", "often", "typically", "may", "can"))
    return rest


def test_waffles_noise_has_the_published_shape(lesson: Callable[..., Lesson], clip: Clip) -> None:
    """Two words on average of 5.25 letters; the longest have 6: two chunks of 3, and one character more in each."""
    given = rewarded(lesson(), clip, ["grizzly_bears", "polar bear"])
    noises = [noise_of(template) for template, _ in METHODS.find("waffle").fit(given).templates or ()]
    for words, characters in zip(noises[::2], noises[1::2], strict=True):
        assert len(words.split()) == 2 and all(len(word) <= 5 for word in words.split())
        assert [len(chunk) for chunk in characters.split(", ")] == [4, 4]


def test_waffles_chunks_are_counted_apart_from_its_words() -> None:
    """The mean of 1 and 2 words is rounded to 2; there is one chunk more than the mean of 0 and 1 spaces, rounded."""
    assert shape(["cat", "polar bear"]) == Shape(words=2, word_length=4, chunks=1, chunk_length=5)
    assert shape(["a"]) == Shape(words=1, word_length=1, chunks=1, chunk_length=2)


def test_waffle_averages_similarities(lesson: Callable[..., Lesson], clip: Clip) -> None:
    given = lesson()
    fitted = METHODS.find("waffle").fit(given)
    templates = [template for template, _ in fitted.templates or ()]
    one_by_one = encode_templates(clip.model, clip.tokenizer, templates, given.class_names)
    features = encoded(given, "search").features
    similarities = np.mean([features @ rows.T for rows in one_by_one], axis=0)
    ours = fitted.class_embeddings(given.class_names)
    assert np.abs(features @ ours.T - similarities).max() < 1e-5
    assert np.linalg.norm(ours, axis=1).max() < 0.999, "the mean embedding is not made longer again"


def test_coop_before_the_first_epoch_is_the_template_it_starts_from(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    ours = CoOp(epochs=0).fit(lesson()).class_embeddings(NAMES)
    theirs = encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES)[0]
    assert np.abs(ours - theirs).max() < 1e-5


def test_coop_starts_from_the_template_in_openais_form_of_the_model_too(lesson: Callable[..., Lesson]) -> None:
    """There the text tower is the model itself; it has no weights here, which does not matter for the comparison."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    model = CLIP(
        embed_dim=32,
        vision_cfg=CLIPVisionCfg(layers=1, width=32, head_width=16, image_size=48, patch_size=16),
        text_cfg=CLIPTextCfg(context_length=20, width=32, heads=2, layers=2),
        quick_gelu=True,
    )
    given = lesson()
    other = Clip("openai's form", model, given.clip.preprocess, _short(given.clip.tokenizer, 20))
    learned = CoOp(epochs=0).fit(rewarded(given, other, given.class_names))
    theirs = encode_templates(other.model, other.tokenizer, [BASELINE], NAMES)[0]
    assert np.abs(learned.class_embeddings(NAMES) - theirs).max() < 1e-5
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-3  # else any two towers would agree


def _short(tokenizer: Any, length: int) -> Any:
    short = copy(tokenizer)
    short.context_length = length
    return short


def test_coop_learns_and_leaves_the_clip_as_it_is(clip: Clip, lesson: Callable[..., Lesson]) -> None:
    given = lesson()
    before = encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES)
    start, end = (CoOp(epochs).fit(given) for epochs in (0, 100))
    pictures = encoded(given, "search")
    losses = [
        given.prepared.reward.score_embeddings([""], [fitted.class_embeddings(given.class_names)], pictures)[0].loss
        for fitted in (start, end)
    ]
    assert losses[1] < losses[0] - 0.005
    assert end.templates is None
    assert np.array_equal(before, encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES))
    assert all(weight.grad is None and not weight.requires_grad for weight in clip.model.parameters())


def test_coop_does_not_depend_on_the_number_of_threads(lesson: Callable[..., Lesson]) -> None:
    import torch

    given, threads = lesson(), torch.get_num_threads()
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(CoOp(epochs=3).fit(given).context)
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_coop_with_the_same_labels_trains_on_what_chooses_the_others_winner(lesson: Callable[..., Lesson]) -> None:
    given = lesson()
    drawn = given.prepared.plan.drawn
    together = replace(drawn, search=(*drawn.search, *drawn.selection), selection=())
    pooled = replace(given, prepared=replace(given.prepared, plan=replace(given.prepared.plan, drawn=together)))
    same = CoOp(3, same_labels=True).fit(given).context
    assert same.equal(CoOp(3).fit(pooled).context)
    assert not same.equal(CoOp(3).fit(given).context)


def test_coop_says_which_towers_it_cannot_enter(lesson: Callable[..., Lesson]) -> None:
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    model = CustomTextCLIP(
        embed_dim=32,
        vision_cfg=CLIPVisionCfg(layers=1, width=32, head_width=16, image_size=48, patch_size=16),
        text_cfg=CLIPTextCfg(context_length=20, width=32, heads=2, layers=1, no_causal_mask=True),
    )
    given = lesson()
    other = Clip("two-way", model, given.clip.preprocess, _short(given.clip.tokenizer, 20))
    with pytest.raises(InputError, match=r"text tower of two-way \(its attention is not causal\); leave coop out"):
        CoOp().fit(rewarded(given, other, given.class_names))


def test_coops_learning_rates_are_dassls() -> None:
    """A constant warm-up epoch, then a cosine over 50 epochs: half-way after 25, cut off before its end."""
    rates = list(learning_rates(50))
    assert len(rates) == 50
    assert rates[:4] == pytest.approx([1e-5, 0.002, 0.00199802673, 0.0019921147], abs=1e-11)
    assert rates[26] == pytest.approx(0.001)
    assert rates[-1] == pytest.approx(7.8853e-6, abs=1e-10)
    assert list(learning_rates(0)) == []


@pytest.mark.parametrize(("classes", "shots", "steps"), [(5, 1, 1), (12, 2, 1), (12, 4, 1), (16, 4, 2), (18, 4, 2)])
def test_coop_leaves_out_the_rest_of_the_pictures_as_dassl_does(
    classes: int, shots: int, steps: int, lesson: Callable[..., Lesson]
) -> None:
    """In steps of 32: 5 and 24 pictures make one smaller step, 48 one and 64 two, and of 72 eight are left out."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    rates: list[float] = []
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        CoOp(epochs=2).fit(lesson(classes=classes, shots=shots))
    finally:
        hook.remove()
    assert rates == [1e-5] * steps + [0.002] * steps


def test_methods_say_where_they_are_not_as_published() -> None:
    shared = build({"steps": 100, "candidates_per_step": 5, "shots": 1}, where="the test")
    said = {name: differs for name, method in all_methods() if (differs := method.differs(shared))}
    assert set(said) == {"waffle", "coop", "coop-same-labels", "gda", "gda-text", "ipo-paper", "ipo-code"}
    assert "candidates_per_step=5 (8)" in said["ipo-code"] and "40 tokens" in said["ipo-code"]
    assert "candidates_per_step" not in said["ipo-paper"] and "shots=" not in said["ipo-paper"]


@pytest.mark.parametrize(
    ("data", "shots", "epochs"),
    [("embedded", 1, 50), ("dtd", 2, 100), ("dtd", 4, 100), ("dtd", 8, 200), ("imagenet:root", 16, 50)],
)
def test_coop_trains_as_long_as_published(data: str, shots: int, epochs: int) -> None:
    assert _published_epochs(data, shots) == epochs
