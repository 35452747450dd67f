"""What word effects claim where no word does anything: simulated hits of templates that are all equally good.

More runs: `python -m tests.experiments.report.test_word_error 4000`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from ipo_prompts.experiments.report.words import word_effects
from ipo_prompts.experiments.run.comparison import Compared
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling

CLASSES, CANDIDATES = 34, 40
TEMPLATE = "one two three four five six seven, eight nine ten eleven twelve thirteen fourteen <CLASS>."
"""Its fourteen words and one of its phrases can be removed."""


class Made(NamedTuple):
    """Units: the chance that any template is right on each, (n,); units of one draw, (n,), are right together."""

    chances: Doubles
    draws: npt.NDArray[np.int64]


class EquallyGood:
    """A reward for which all templates are equally good."""

    def __init__(self, seed: int, graded: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._graded = graded
        self.class_names = [str(label) for label in range(CLASSES)]

    def problem(self, template: str) -> str | None:
        return None if "<CLASS>" in template else "it has no <CLASS> slot"

    def examples(self, examples: Sequence[Any]) -> Any:
        raise NotImplementedError

    def score(self, templates: Sequence[str], units: Made) -> list[Score]:
        return [self._score(template, units) for template in templates]

    def _score(self, template: str, units: Made) -> Score:
        hits: Any = self._rng.random(len(units.draws))[units.draws] < units.chances
        losses = np.where(hits, 0.5, 1.5) + self._rng.random(len(hits)) / 10
        if self._graded:
            hits = hits * 0.6 + self._rng.random(len(hits)) * 0.4
        return Score(template, float(hits.mean()), float(losses.mean()), hits, losses)


class Found(NamedTuple):
    """Over simulated runs: the share with any change told from chance, the mean change, its standard error."""

    any_wrong: float
    mean: float
    error: float


def simulated(runs: int, part: Literal["fresh", "selection"], *, graded: bool = False, variants: int = 1) -> Found:
    """Choose the best of the candidates on two selection pictures a class, then look at its words on a part."""
    wrong, means = [], []
    for seed in range(runs):
        rng = np.random.default_rng([seed, 1])
        reward = EquallyGood(seed, graded)
        labels = np.repeat(np.arange(CLASSES), 2 if part == "selection" else 8)
        chances = np.clip(rng.beta(2, 1, CLASSES)[labels] + rng.normal(0, 0.3, len(labels)), 0, 1)
        units = Made(np.repeat(chances, variants), np.repeat(np.arange(len(labels)), variants))
        tried = reward.score([TEMPLATE] * (CANDIDATES if part == "selection" else 1), units)
        sampling = Sampling.of(len(units.draws), np.repeat(labels, variants).tolist(), units.draws.tolist())
        best = max(tried, key=lambda score: score.rank)
        compared = Compared([], units, None, reward, sampling, best, best)
        rows = word_effects(reward, part, compared).changes
        assert len(rows) == 15
        wrong.append(any(row.significant for row in rows))
        means.append(np.mean([row.value.change for row in rows]))
    return Found(float(np.mean(wrong)), float(np.mean(means)), float(np.std(means) / np.sqrt(runs)))


@pytest.mark.parametrize(("graded", "variants"), [(False, 1), (False, 3), (True, 1)])
def test_on_fresh_units_chance_is_seldom_taken_for_an_effect(graded: bool, variants: int) -> None:
    found = simulated(150, "fresh", graded=graded, variants=variants)
    assert found.any_wrong <= 0.057
    assert abs(found.mean) < 3 * found.error < 0.02


def test_on_the_units_that_chose_every_change_looks_harmful_and_none_is_tested() -> None:
    found = simulated(50, "selection")
    assert found.mean < -0.05
    assert found.any_wrong == 0


if __name__ == "__main__":
    runs = int(sys.argv[1])
    print("hits", simulated(runs, "fresh"))
    print("hits of three variants", simulated(runs, "fresh", variants=3))
    print("numbers", simulated(runs, "fresh", graded=True))
    print("on the units that chose", simulated(runs, "selection"))
