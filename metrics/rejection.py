"""None of these: how far a picture is from every class, told by words, and where the line is drawn.

The score of a picture is its margin: its highest cosine with the classes less its highest with other things, common
nouns that are no class. It is made of texts alone, whatever decides between the classes. NegLabel (Jiang et al., ICLR
2024) has the idea, with a sum over words in place of the highest. A probability cannot say it: it only compares the
classes with each other.

The line is that of split conformal prediction (Papadopoulos et al. 2002): of n draws whose margins are known, in
order, the k-th with k = ⌊α(n+1)⌋. A new picture of the same kind, which shows a class, lies below it with a chance of
k/(n+1) at most, on average over the draws that were had. For these very draws the chance is itself a draw, of Beta(k,
n+1-k) (Vovk 2012). Variants of one base picture share the weight of one draw (Dunn, Wasserman, Ramdas 2023). Nothing
is promised of pictures that show no class, of other kinds of pictures, or of one class.

All of that is true of a template that was not made with these pictures. A search fits its template to the pictures that
it sees, so the line is drawn through those that were held back to choose, where they are enough: they only chose among
the few templates that were found (measured: `docs/none-of-these.md`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.head import SHARES, Calibrated, highest
from ipo_prompts.metrics.sampling import Numbers

FEWEST = 19
"""Draws below which nothing is promised: at 5 %, fewer would reject nothing at all."""
CONFIDENCE = 0.95
ROUNDS = 6
"""Times the classes are halved for that."""


@dataclass(frozen=True)
class Threshold:
    """Where the line is drawn.

    Attributes:
        margin: pictures below it are rejected.
        k, n: it is the k-th of n draws.
        held_back: whether these are held-back pictures alone; else some of them made the template.
    """

    margin: float
    k: int
    n: int
    held_back: bool = False

    @property
    def promise(self) -> float:
        """The share of known pictures of the same kind that is rejected on average, at most."""
        return self.k / (self.n + 1)

    @property
    def bound(self) -> float:
        """The share that is not exceeded with a confidence of `CONFIDENCE`."""
        from scipy.stats import beta

        return float(beta.ppf(CONFIDENCE, self.k, self.n + 1 - self.k))


def draws(margins: Calibrated, held_back: bool = False) -> int:
    """Return how many independent draws the margins are of, or those that were held back."""
    return round(float((1 / _sizes(margins)[_of(margins, held_back)]).sum()))


def threshold(margins: Calibrated, share: float) -> Threshold:
    """Draw the line for a share of known pictures, above 0 and at most 0.5: through those that were held back where
    they are enough, else through all.

    Raises:
        InputError: there are too few draws for it.
    """
    needed = max(FEWEST, math.ceil(min(1 / share, 1e12) - 1e-9) - 1)
    held_back = draws(margins, held_back=True) >= needed
    if (n := draws(margins, held_back)) < needed:
        raise InputError(
            f"to reject {share:.3g} of the known pictures takes {needed} independent ones with labels, and this "
            f"run had {n} to search and choose with; add pictures (shots=…) and optimise again, or reject a larger "
            "share."
            if n >= FEWEST
            else f"this run searched and chose with {n} independent pictures, too few to promise what --reject would "
            f"do to pictures of the classes; it takes {needed}: add pictures (shots=…) and optimise again."
        )
    those = _of(margins, held_back)
    line = line_through(np.array(margins.margins)[those], _sizes(margins)[those], share)
    return replace(line, held_back=held_back)


def below(margins: Calibrated, line: Threshold) -> list[tuple[int, int, int]]:
    """Return of each class its number, its pictures below a line and all that it has of those that the line is drawn
    through; the largest share first, and empty where the classes are not known.
    """
    if not margins.classes:
        return []
    those = _of(margins, line.held_back)
    classes, values = np.array(margins.classes)[those], np.array(margins.margins)[those]
    every, rejected = np.bincount(classes), np.bincount(classes, values < line.margin)
    found = [(label, int(rejected[label]), int(every[label])) for label in np.flatnonzero(every).tolist()]
    return sorted(found, key=lambda one: (-one[1] / one[2], -one[1]))


def strangers_found(margins: Calibrated, share: float) -> float | None:
    """Return the estimated share of strangers below the line; None where it was not estimated."""
    return float(np.interp(share, SHARES, margins.found)) if margins.found else None


def _sizes(margins: Calibrated) -> Numbers:
    return np.array(margins.sizes or [1] * len(margins.margins), dtype=np.int64)


def _of(margins: Calibrated, held_back: bool) -> npt.NDArray[np.bool_]:
    """Return which margins these are: those of held-back pictures, or all."""
    if not held_back:
        return np.ones(len(margins.margins), dtype=bool)
    return np.array(margins.held_back or [False] * len(margins.margins), dtype=bool)


def line_through(margins: Doubles, sizes: Numbers, share: float) -> Threshold:
    """Draw the line through margins, ascending, (n,), each 1 / size of a draw; the draws are enough for it."""
    weights = 1 / sizes
    n = round(float(weights.sum()))
    k = math.floor(share * (n + 1) + 1e-9)
    first = np.searchsorted(margins, margins, side="left")  # of equal margins the first: rejected is what is below
    below = np.concatenate([[0.0], np.cumsum(weights)])[first]
    return Threshold(float(margins[np.flatnonzero(below <= k - 1 + 1e-9)[-1]]), k, n)


def sizes_of(groups: Sequence[Hashable] | None, n: int) -> Numbers:
    """Return of each of n pictures how many share its group: int64 (n,)."""
    counts = Counter(groups or range(n))
    return np.array([counts[group] for group in groups or range(n)], dtype=np.int64)


def calibrated(
    fingerprint: str,
    none: Sequence[str],
    features: Floats,
    labels: Numbers,
    groups: Sequence[Hashable] | None,
    classes: Floats,
    others: Floats,
    held_back: Sequence[bool] = (),
) -> Calibrated:
    """Take the margins of pictures whose class is known.

    Args:
        fingerprint, none: see `Calibrated`.
        features: float32 (n, D), unit rows.
        labels: (n,), the class of each.
        groups: length n, equal for variants of one picture; None where there are none.
        classes: float32 (C, D), unit rows, the class embeddings.
        others: float32 (V, D), unit rows, of other things.
        held_back: length n, which were held back from the search; empty: none.
    """
    elsewhere = highest(features, others)
    margins = (highest(features, classes) - elsewhere).astype(np.float64)
    sizes = sizes_of(groups, len(features))
    order = np.argsort(margins, kind="stable")
    auroc, found = halves_left_out(features, labels, classes, elsewhere)
    return Calibrated(
        fingerprint=fingerprint,
        none=tuple(none),
        margins=tuple(round(value, 6) for value in margins[order].tolist()),
        sizes=tuple(sizes[order].tolist()) if (sizes > 1).any() else (),
        classes=tuple(labels[order].tolist()),
        held_back=tuple(held_back[i] for i in order.tolist()) if any(held_back) else (),
        auroc=auroc,
        found=found,
    )


def halves_left_out(
    features: Floats, labels: Numbers, classes: Floats, elsewhere: Floats
) -> tuple[float | None, tuple[float, ...]]:
    """Estimate how strangers fare: half of the classes are taken for unknown, in turn, `ROUNDS` times.

    Args:
        features, labels, classes: see `calibrated`.
        elsewhere: (n,), the highest cosine of each picture with other things.

    Returns:
        The AUROC, and the share of strangers below the line for each of `SHARES`; None and empty below 4 classes.
    """
    present = np.unique(labels)
    if len(present) < 4:
        return None, ()
    rng, areas, shares = np.random.default_rng(0), [], []
    for _ in range(ROUNDS):
        order = rng.permutation(present)
        for half in (order[: len(order) // 2], order[len(order) // 2 :]):
            margins = highest(features, classes[half]) - elsewhere
            known = np.isin(labels, half)
            areas.append(auroc(margins[known], margins[~known]))
            shares.append(share_below(margins[~known], np.quantile(margins[known], SHARES)))
    found = np.mean(shares, axis=0).round(4)
    return round(float(np.mean(areas)), 4), tuple(found.tolist())


def share_below(margins: Floats | Doubles, lines: Doubles) -> Doubles:
    """Return the share of margins below each line."""
    return np.asarray(np.searchsorted(np.sort(margins), lines, side="left") / len(margins), dtype=np.float64)


def auroc(known: Floats | Doubles, strange: Floats | Doubles) -> float:
    """Return the chance that a known picture scores above a strange one, ties counting half.

    >>> auroc(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    0.875
    """
    ordered = np.sort(strange)
    below = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(below.mean() / 2 / len(strange))
