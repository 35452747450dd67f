"""Rejection: decide whether a picture shows none of the classes.

Each picture has a margin: its highest cosine with a class, minus its highest cosine with another thing. The other
things are common nouns that are no class. The margin compares the picture with texts alone, even if the head that
decides between the classes also uses pictures. The idea is that of NegLabel (Jiang et al., ICLR 2024), which sums over
words instead of taking the highest cosine. A probability cannot replace the margin, because it only compares the
classes with each other.

A picture is rejected if its margin is below a threshold, called the line. Split conformal prediction (Papadopoulos et
al. 2002) gives the line: the k-th lowest of n margins of pictures that show a class, with k = ⌊α(n+1)⌋. Take a new
picture of the same kind that shows a class. The chance that it lies below the line is at most k/(n+1), on average over
all samples of n pictures. For the sample at hand the chance is a random number with the distribution Beta(k, n+1-k)
(Vovk 2012). Variants of one base picture share the weight of one draw (Dunn, Wasserman, Ramdas 2023). Nothing is
promised for pictures that show no class, for other kinds of pictures, or for a single class.

All this holds if the template was not made with these pictures. A search fits its template to the search pictures. So
the line is drawn through the selection pictures, if there are enough: they only chose among the few templates that the
search had found (measured: `ipo docs rejection`).
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
"""The fewest draws for which a line is drawn. With fewer, a line for a share of 5 % would reject nothing at all."""
CONFIDENCE = 0.95
ROUNDS = 6
"""How many times `halves_left_out` splits the classes into halves."""


@dataclass(frozen=True)
class Threshold:
    """The line below which pictures are rejected.

    Attributes:
        margin: the line; pictures with a lower margin are rejected.
        k, n: the line is the k-th lowest of n draws.
        held_back: whether all draws are of selection pictures, which were held back from the search. If not, some are
            of pictures that the template was made with.
    """

    margin: float
    k: int
    n: int
    held_back: bool = False

    @property
    def promise(self) -> float:
        """The largest share of known pictures (of the classes and of the same kind) that is rejected on average."""
        return self.k / (self.n + 1)

    @property
    def bound(self) -> float:
        """The largest share of known pictures that this line rejects, with a confidence of `CONFIDENCE`."""
        from scipy.stats import beta

        return float(beta.ppf(CONFIDENCE, self.k, self.n + 1 - self.k))


def draws(margins: Calibrated, held_back: bool = False) -> int:
    """Return the number of independent draws among the pictures, or among the held-back pictures alone."""
    return round(float((1 / _sizes(margins)[_of(margins, held_back)]).sum()))


def threshold(margins: Calibrated, share: float) -> Threshold:
    """Draw the line through the held-back pictures if they are enough, else through all pictures.

    Args:
        margins: the margins of known pictures.
        share: the share of known pictures to reject, above 0 and at most 0.5.

    Raises:
        InputError: there are too few draws for this share.
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
    """Count the pictures of each class that are below a line, among the pictures that the line is drawn through.

    Returns:
        For each class: the number of the class, how many of its pictures are below the line, and how many pictures it
        has. The class with the largest share below the line comes first. Empty if the classes are not known.
    """
    if not margins.classes:
        return []
    those = _of(margins, line.held_back)
    classes, values = np.array(margins.classes)[those], np.array(margins.margins)[those]
    every, rejected = np.bincount(classes), np.bincount(classes, values < line.margin)
    found = [(label, int(rejected[label]), int(every[label])) for label in np.flatnonzero(every).tolist()]
    return sorted(found, key=lambda one: (-one[1] / one[2], -one[1]))


def strangers_found(margins: Calibrated, share: float) -> float | None:
    """Return the share of strangers (pictures of no class) that is rejected when `share` of known pictures is.

    The share is an estimate, by `halves_left_out`; None if it was not estimated.
    """
    return float(np.interp(share, SHARES, margins.found)) if margins.found else None


def _sizes(margins: Calibrated) -> Numbers:
    """Return the size of the group of each picture, int64 (n,); see `sizes_of`."""
    return np.array(margins.sizes or [1] * len(margins.margins), dtype=np.int64)


def _of(margins: Calibrated, held_back: bool) -> npt.NDArray[np.bool_]:
    """Return which margins to use, bool (n,): those of held-back pictures, or all."""
    if not held_back:
        return np.ones(len(margins.margins), dtype=bool)
    return np.array(margins.held_back or [False] * len(margins.margins), dtype=bool)


def line_through(margins: Doubles, sizes: Numbers, share: float) -> Threshold:
    """Draw the line through margins. The caller makes sure that there are enough draws.

    Args:
        margins: the margins of the pictures, (n,), in ascending order.
        sizes: the size of the group of each picture, (n,). A picture in a group of m counts as 1/m of a draw.
        share: the share of known pictures to reject.
    """
    weights = 1 / sizes
    n = round(float(weights.sum()))
    k = math.floor(share * (n + 1) + 1e-9)
    first = np.searchsorted(margins, margins, side="left")  # the first of equal margins: a picture on the line is kept
    below = np.concatenate([[0.0], np.cumsum(weights)])[first]
    return Threshold(float(margins[np.flatnonzero(below <= k - 1 + 1e-9)[-1]]), k, n)


def sizes_of(groups: Sequence[Hashable] | None, n: int) -> Numbers:
    """Return the size of the group of each of n pictures: int64 (n,). Without groups, each picture is its own group."""
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
    """Compute the margins of pictures whose class is known.

    Args:
        fingerprint, none: see `Calibrated`.
        features: the features of the pictures, float32 (n, D), unit rows.
        labels: the class of each picture, (n,).
        groups: length n, equal for variants of one picture; None if there are none.
        classes: the class embeddings, float32 (C, D), unit rows.
        others: the text embeddings of other things, float32 (V, D), unit rows.
        held_back: length n, whether a picture was held back from the search; empty if none was.
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
    """Estimate how well pictures of no class (strangers) are rejected.

    The classes are split into random halves, `ROUNDS` times. Each half in turn is treated as unknown, so that its
    pictures are strangers to the other half.

    Args:
        features, labels, classes: see `calibrated`.
        elsewhere: the highest cosine of each picture with other things, (n,).

    Returns:
        The AUROC; and for each of `SHARES`, the share of strangers below the line that rejects this share of known
        pictures. None and an empty tuple if the pictures show fewer than 4 classes.
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
    """Return the share of the margins that is below each line: float64, one number for each line."""
    return np.asarray(np.searchsorted(np.sort(margins), lines, side="left") / len(margins), dtype=np.float64)


def auroc(known: Floats | Doubles, strange: Floats | Doubles) -> float:
    """Return the chance that a known picture has a higher margin than a stranger; ties count half.

    `known` and `strange` are the margins of known pictures and of strangers.

    >>> auroc(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    0.875
    """
    ordered = np.sort(strange)
    below = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(below.mean() / 2 / len(strange))
