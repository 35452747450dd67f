"""The package's types of float arrays, and numbers spread evenly over a range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Features, embeddings, logits."""
Doubles = npt.NDArray[np.float64]
"""Losses, hits, differences."""


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, spread evenly over them.

    >>> spread(9, 3), spread(2, 3)
    ([0, 4, 8], [0, 1])
    """
    found: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return found
