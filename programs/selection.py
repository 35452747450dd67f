"""Choose the winner: not simply the best on the search pictures, but one that also scores well on others.

The best of hundreds of scores on a few dozen pictures is mostly luck. So the best templates of the search are scored
again on held-back pictures, and the initial template stays unless the winner there beats it by more than one standard
error of the paired difference (the one-standard-error rule of Breiman et al., 1984).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipo.metrics.reward import Score
from ipo.metrics.statistics import standard_error
from ipo.programs.history import PromptHistory

FINALISTS = 10
"""Templates that are scored on the held-back pictures, the initial one not counted."""
FOLDS = 5


@dataclass(frozen=True)
class Choice:
    """The chosen template.

    Attributes:
        template: the winner.
        kept_initial: whether no candidate was convincing and the initial template stayed.
        gain: value of the best candidate minus the initial template's, on the units that decided.
        standard_error: of that gain, clustered by group.
        how: `held-back pictures`, `cross-validation` or `search pictures`.
    """

    template: str
    kept_initial: bool
    gain: float
    standard_error: float
    how: str


class HeldBack(NamedTuple):
    """Held-back units: `score` scores templates on them; `groups` is None when all units are independent."""

    score: Callable[[Sequence[str]], list[Score]]
    groups: Sequence[str] | None


def choose_winner(how: str, history: PromptHistory, groups: Sequence[str] | None, held_back: HeldBack | None) -> Choice:
    """Choose among all templates of a search.

    Args:
        how: `search` takes the best on the search units, as the paper does; `held-back` uses other units.
        history: the templates that were tried.
        groups: of the search units, None when all are independent.
        held_back: units that were not searched on; None cross-validates on the search units.
    """
    initial, best = history.initial, history.best
    if how == "search":
        return Choice(best.template, best is initial, best.value - initial.value, float("nan"), "search pictures")
    candidates = [entry for entry in history.ranked() if entry is not initial]
    if held_back is None:
        return cross_validate(initial.score, [entry.score for entry in candidates], groups)
    finalists = [entry.template for entry in candidates[:FINALISTS]]
    first, *rest = held_back.score([initial.template, *finalists])
    return choose(first, rest, held_back.groups)


def choose(initial: Score, finalists: Sequence[Score], groups: Sequence[str] | None) -> Choice:
    """Choose on held-back pictures.

    Args:
        initial: the initial template on the held-back pictures.
        finalists: the best templates of the search, on the same pictures.
        groups: the base picture of each picture, None when all are independent.
    """
    if not finalists:
        return Choice(initial.template, True, 0.0, 0.0, "held-back pictures")
    best = max(finalists, key=lambda score: score.rank)
    gain, error = paired_gain(initial.hits, best.hits, groups)
    return _decide(initial.template, best.template, gain, error, "held-back pictures")


def cross_validate(initial: Score, candidates: Sequence[Score], groups: Sequence[str] | None) -> Choice:
    """Choose without held-back pictures: each fold measures the template that the other folds chose.

    Args:
        initial: the initial template on the search pictures.
        candidates: all templates of the search, on the same pictures.
        groups: the base picture of each picture; a fold never splits one.
    """
    if not candidates:
        return Choice(initial.template, True, 0.0, 0.0, "cross-validation")
    fold = _folds(groups or [str(i) for i in range(initial.n)])
    hits = np.stack([score.hits for score in candidates])  # (T, n)
    losses = np.stack([score.losses for score in candidates])
    honest = np.zeros(initial.n, dtype=hits.dtype)
    for k in range(fold.max() + 1):
        held = fold == k
        ranks = [(h[~held].mean(), -loss[~held].mean()) for h, loss in zip(hits, losses, strict=True)]
        winner = max(range(len(candidates)), key=ranks.__getitem__)
        honest[held] = hits[winner][held]
    gain, error = paired_gain(initial.hits, honest, groups)
    best = max(candidates, key=lambda score: score.rank)
    return _decide(initial.template, best.template, gain, error, "cross-validation")


def paired_gain(before: npt.NDArray[Any], after: npt.NDArray[Any], groups: Sequence[str] | None) -> tuple[float, float]:
    """Return the mean difference in value and its standard error, clustered by group."""
    difference = after.astype(float) - before.astype(float)
    return float(difference.mean()), standard_error(difference, groups)


def _decide(initial: str, best: str, gain: float, error: float, how: str) -> Choice:
    convincing = gain > 0 and gain > error
    return Choice(best if convincing else initial, not convincing, gain, error, how)


def _folds(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """Assign base pictures to folds in turn: (n,) fold of each picture."""
    names = sorted(set(groups))
    place = {name: i % min(FOLDS, len(names)) for i, name in enumerate(names)}
    return np.asarray([place[group] for group in groups], dtype=np.int64)
