"""An own `score` decides: what is looked at, put together or compared is never what a parent's `score` would say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import Draw, draw, load_data
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import fitted
from ipo_prompts.metrics.reward import ClipReward, EncodedPictures, Score, agrees, scores_accuracy
from ipo_prompts.metrics.template import imagenet_templates
from ipo_prompts.programs import IPO, TemplateClassifier
from ipo_prompts.programs.phrases import PhraseBank
from ipo_prompts.programs.record.score_keeper import ScoreKeeper

PAGE = Path(__file__).parents[2] / "docs" / "your-own-reward.md"


class Missed(ClipReward):
    """The share of pictures that are not named: what the search of another reward would avoid."""

    def score(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        return [
            replace(score, value=1 - score.value, loss=-score.loss, hits=~score.hits, losses=-score.losses)
            for score in super().score(templates, pictures)
        ]


class Softer(ClipReward):
    """Another measure for whatever is scored: the probability of the right class."""

    def score_embeddings(self, name: str, classes: Any, pictures: EncodedPictures) -> Score:
        score = super().score_embeddings(name, classes, pictures)
        hits = np.exp(-score.losses)
        return replace(score, hits=hits, value=float(hits.mean()))


class WithOwnScreen(Missed):
    """Whoever overrides both answers for both."""

    def screen(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        return self.score(templates, pictures)


class Halved:
    """Changes `score` beside the class that has it."""

    def score(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        found: list[Score] = super().score(templates, pictures)  # type: ignore[misc]
        return [replace(score, hits=score.hits / 2, value=score.value / 2) for score in found]


class Mixed(Halved, ClipReward):
    """A measure that is mixed in."""


class Wrapped:
    """Hands on all but `score` to another reward."""

    def __init__(self, inner: ClipReward) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def score(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        found = self._inner.score(templates, pictures)
        return [replace(score, hits=score.hits / 4, value=score.value / 4) for score in found]


def patched(clip: Clip, names: Sequence[str]) -> ClipReward:
    reward = ClipReward(clip, names)
    inner = Missed(clip, names)
    reward.score = inner.score  # type: ignore[method-assign]
    return reward


def of_the_page(clip: Clip, names: Sequence[str]) -> Any:
    """The reward of docs/your-own-reward.md, as it stands there."""
    block = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(compile(block[: block.index("drawn = ")], str(PAGE), "exec"), scope)
    return scope["BalancedReward"](clip, names)


OWN: dict[str, Callable[[Clip, Sequence[str]], Any]] = {
    "the page's": of_the_page,
    "missed": Missed,
    "by embeddings": Softer,
    "own screen": WithOwnScreen,
    "mixed in": Mixed,
    "wrapped": lambda clip, names: Wrapped(ClipReward(clip, names)),
    "patched": patched,
}


@pytest.fixture(scope="module")
def drawn() -> Draw:
    return draw(load_data("embedded:c", seed=0), shots=3, selection_shots=1, seed=0)


@pytest.fixture(scope="module")
def templates() -> list[str]:
    bank = [phrase.template for phrase in PhraseBank.load().usable(())]
    return ["a photo of a <CLASS>.", *imagenet_templates()[:20], *bank[::8], "<CLASS> <CLASS>", "¿<CLASS>?"]


def lopsided(drawn: Draw) -> list[Any]:
    """Three pictures of every other class and one of the rest, so that balanced and plain accuracy differ."""
    rare = set(drawn.class_names[::2])
    return [e for i, e in enumerate(drawn.examples("search")) if e.label not in rare or i % 3 == 0]


def check_looks_are_scores(reward: Any, units: Any, templates: list[str]) -> list[Score]:
    looked, scored = ScoreKeeper(None, reward).look(0, templates, units), reward.score(templates, units)
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
    units = reward.examples(lopsided(drawn))
    looked = check_looks_are_scores(reward, units, templates)
    others = plain.screen(templates, units)
    assert any(abs(own.value - other.value) > 1e-3 for own, other in zip(looked, others, strict=True))


@pytest.mark.parametrize(
    ("task", "offsets"),
    [
        ("classification", None),
        ("classification", "mean"),
        ("classification", "prior"),
        ("retrieval", None),
        ("segmentation", None),
    ],
)
def test_a_shipped_reward_is_looked_at_with_what_it_is_scored_with(
    task: str, offsets: Any, clip: Clip, cache: Path, drawn: Draw, templates: list[str]
) -> None:
    made = REWARDS.build({"name": task})
    reward = made.reward(clip, drawn.class_names, ClipReward(clip, ["cat"]).store)
    units = made.encode(reward, drawn.search[:100] if task == "segmentation" else drawn.search, seed=0).units
    if offsets:
        units = replace(units, offsets=fitted(offsets, units.features))
    check_looks_are_scores(reward, units, templates if task == "classification" else templates[::6])


def test_another_way_to_score_counts_only_below_the_score_that_decides(clip: Clip, cache: Path) -> None:
    expected = {
        "the page's": (False, False, False),
        "missed": (False, False, False),
        "by embeddings": (True, True, False),
        "own screen": (True, False, False),
        "mixed in": (False, False, False),
        "wrapped": (False, False, False),
        "patched": (False, False, False),
    }
    for name, make in OWN.items():
        reward = make(clip, ["cat", "dog"])
        found = agrees(reward, "screen"), agrees(reward, "score_together"), scores_accuracy(reward)
        assert found == expected[name], name
    plain = ClipReward(clip, ["cat", "dog"])
    assert agrees(plain, "screen") and agrees(plain, "score_embeddings") and scores_accuracy(plain)


def test_a_search_for_misses_finds_them(clip: Clip, cache: Path, drawn: Draw) -> None:
    reward = Missed(clip, drawn.class_names)
    program = IPO(reward=reward, describer="none", steps=2, seed=0).compile(
        TemplateClassifier(clip, drawn.class_names),
        trainset=drawn.examples("search"),
        valset=drawn.examples("selection"),
    )
    found = program.search
    assert found.looked_at > 200
    assert found.history.best.value >= 0.9 > found.history.initial.value + 0.05
    score = reward.score([program.template], reward.examples(drawn.examples("test")))[0]
    assert score.value >= 0.85


@pytest.mark.parametrize("make", [Missed, of_the_page])
def test_templates_are_not_put_together_by_another_measure(
    make: Callable[..., Any], clip: Clip, cache: Path, drawn: Draw
) -> None:
    ipo = IPO(reward=make(clip, drawn.class_names), describer="none", steps=1, ensemble=3)
    name = type(ipo.reward).__name__
    with pytest.raises(InputError, match=rf"ensemble=3 needs .* score\(\) of {name} takes single ones; leave it out"):
        ipo.compile(
            TemplateClassifier(clip, drawn.class_names),
            trainset=drawn.examples("search"),
            valset=drawn.examples("selection"),
        )
