"""An own `score` decides: what is looked at, put together or compared is never what a parent's `score` would say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts import IPO, TemplateClassifier
from ipo_prompts.experiments.data import Draw, draw, load_data
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.classification import ClipReward, EncodedImages, losses_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import Judged, Score, pseudo_values
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.metrics.template import imagenet_templates
from ipo_prompts.programs.phrases import Vocabulary
from ipo_prompts.programs.scoring import score_together

PAGE = Path(__file__).parents[2] / "docs" / "how-to/own-reward.md"


class Missed(ClipReward):
    """The share of images that are not named: what the search of another reward would avoid."""

    def score(self, templates: Sequence[str], images: EncodedImages) -> list[Score]:
        return [
            replace(score, value=1 - score.value, loss=-score.loss, hits=~score.hits, losses=-score.losses)
            for score in super().score(templates, images)
        ]


class Softer(ClipReward):
    """Another measure of whatever is scored: the probability of the right class."""

    def judge(self, logits: Any, images: EncodedImages) -> Judged:
        plain = super().judge(logits, images)
        return replace(plain, hits=np.exp(-plain.losses))


class Doubtful(ClipReward):
    """How sure the CLIP is, in nats, none of them above 0."""

    scale = Scale(low=-10, high=0, word=0.01, percent=False)

    def judge(self, logits: Any, images: EncodedImages) -> Judged:
        return Judged(-losses_of(logits, logits.argmax(axis=1)))


@dataclass(frozen=True)
class Showing(EncodedImages):
    """Images that show several classes: bool (n, C)."""

    shown: Any = None


class AveragePrecision(ClipReward):
    """Several labels an image, and no mean over images: the mean over classes of the average precision."""

    def examples(self, examples: Sequence[Any]) -> Any:
        """Encode examples whose label is a list of names."""
        features = self.store.encode([example.image for example in examples])
        names = [example.label if isinstance(example.label, list) else [example.label] for example in examples]
        return Showing(features, None, shown=np.array([[one in of for one in self.class_names] for of in names]))

    def judge(self, logits: Any, images: Any) -> Judged:
        shown = images.shown

        def mean_precision(units: Any) -> float:
            order = np.argsort(-logits[units], axis=0, kind="stable")
            right = np.take_along_axis(shown[units], order, axis=0)
            precision = right.cumsum(axis=0) / np.arange(1, len(units) + 1)[:, None]
            there = right.any(axis=0)
            return float(((precision * right).sum(axis=0)[there] / right.sum(axis=0)[there]).mean())

        return Judged(pseudo_values(mean_precision, len(logits)))


def of_the_page(clip: Clip, names: Sequence[str]) -> Any:
    """The reward of ipo docs own-reward, as it stands there."""
    block = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), scope)
    return scope["BalancedReward"](clip, names)


OWN: dict[str, Callable[[Clip, Sequence[str]], Any]] = {
    "the page's": of_the_page,
    "missed": Missed,
    "by logits": Softer,
    "below zero": Doubtful,
    "several labels": AveragePrecision,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all of them: the same images and classes are encoded once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("IPO_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def drawn() -> Draw:
    """Every other class: half the texts to encode for each template."""
    left_out = load_data("embedded:c", seed=0).class_names[::2]
    return draw(load_data("embedded:c", seed=0, exclude=left_out), shots=3, val_shots=1, seed=0)


@pytest.fixture(scope="module")
def templates() -> list[str]:
    vocabulary = [phrase.template for phrase in Vocabulary.load().usable(())]
    return ["a photo of a <CLASS>.", *imagenet_templates()[:8], *vocabulary[::20], "<CLASS> <CLASS>", "¿<CLASS>?"]


def imbalanced(drawn: Draw) -> list[Any]:
    """Three images of every other class and one of the rest, so that balanced and plain accuracy differ."""
    rare = set(drawn.class_names[::2])
    return [e for i, e in enumerate(drawn.examples("train")) if e.label not in rare or i % 3 == 0]


def check_scoring_is_alike(reward: Any, units: Any, templates: list[str]) -> list[Score]:
    looked, scored = score_together(reward, templates, units), reward.score(templates, units)
    assert [score.template for score in looked] == [score.template for score in scored] == templates
    for look, score in zip(looked, scored, strict=True):
        assert look.hits.dtype == score.hits.dtype
        np.testing.assert_allclose(look.hits, score.hits, atol=0 if score.hits.dtype == bool else 1e-5)
        np.testing.assert_allclose(look.losses, score.losses, atol=1e-5, rtol=1e-5)
        assert look.value == pytest.approx(score.value, abs=1e-6)
        assert look.loss == pytest.approx(score.loss, abs=1e-5, rel=1e-5)
    return looked


@pytest.mark.parametrize("name", OWN)
def test_an_own_reward_is_looked_at_with_what_it_is_scored_with(
    name: str, clip: Clip, cache: Path, drawn: Draw, templates: list[str]
) -> None:
    reward, plain = OWN[name](clip, drawn.class_names), ClipReward(clip, drawn.class_names)
    units = reward.examples(imbalanced(drawn))
    looked = check_scoring_is_alike(reward, units, templates)
    others = plain.score_batch(templates, plain.examples(imbalanced(drawn)))
    assert any(abs(own.value - other.value) > 1e-3 for own, other in zip(looked, others, strict=True))


@pytest.mark.parametrize("task", ["classification", "retrieval", "examples.segmentation:Segmentation"])
def test_a_shipped_reward_is_looked_at_with_what_it_is_scored_with(
    task: str, clip: Clip, cache: Path, drawn: Draw, templates: list[str]
) -> None:
    REWARDS.allow(task)
    made = REWARDS.build({"name": task})
    reward = made.reward(clip, drawn.class_names, ClipReward(clip, ["cat"]).store)
    units = made.encode(reward, drawn.train if task in REWARDS else drawn.train[:100], seed=0).units
    check_scoring_is_alike(reward, units, templates if task == "classification" else templates[::3])


@pytest.mark.parametrize("name", ["the page's", "by logits", "below zero", "missed"])
def test_a_part_is_looked_at_with_what_it_is_scored_with(
    name: str, clip: Clip, cache: Path, drawn: Draw, templates: list[str]
) -> None:
    """A part of the images and of the classes is what a reward of those classes makes of those images."""
    reward, kept = OWN[name](clip, drawn.class_names), list(range(0, len(drawn.class_names), 3))[::-1]
    given = imbalanced(drawn)
    names = [drawn.class_names[i] for i in kept]
    units = reward.examples(given)
    chosen = [i for i, e in enumerate(given) if e.label in names]
    part = units.part(chosen, kept)
    looked = check_scoring_is_alike(reward, part, templates[::4])
    smaller = OWN[name](clip, names)
    alone = smaller.score(templates[::4], smaller.examples([given[i] for i in chosen]))
    for one, other in zip(looked, alone, strict=True):
        np.testing.assert_allclose(one.hits, other.hits, atol=1e-5)
        assert one.predictions.tolist() == other.predictions.tolist()
    some = units.part(chosen[::2])
    assert len(check_scoring_is_alike(reward, some, templates[:3])[0].hits) == len(chosen[::2])


@pytest.mark.parametrize("name", ["below zero", "several labels"])
def test_a_search_without_a_label_an_image_goes_up(name: str, clip: Clip, cache: Path, drawn: Draw) -> None:
    """The values are no fractions there, and no accuracy here: looks and choice go by them alike."""
    reward = OWN[name](clip, drawn.class_names)
    # A third of the images: pseudo-values take as many evaluations as there are images.
    sets = (drawn.examples(part)[::3] for part in ("train", "val"))
    program = IPO(reward=reward, steps=2).compile(
        TemplateClassifier(clip, drawn.class_names), trainset=next(sets), valset=next(sets)
    )
    found = program.search
    assert found.scored_only > 200
    assert found.history.best.value > found.history.initial.value
    assert reward.scale.low <= found.steps[-1].interval.low <= found.history.best.value <= reward.scale.high


def test_a_search_for_misses_finds_them(clip: Clip, cache: Path, drawn: Draw) -> None:
    reward = Missed(clip, drawn.class_names)
    program = IPO(reward=reward, steps=2, seed=0).compile(
        TemplateClassifier(clip, drawn.class_names),
        trainset=drawn.examples("train"),
        valset=drawn.examples("val"),
    )
    found = program.search
    assert found.scored_only > 200
    assert found.history.best.value >= 0.9 > found.history.initial.value + 0.05
    score = reward.score([program.template], reward.examples(drawn.examples("test")))[0]
    assert score.value >= 0.85
