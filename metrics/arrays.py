"""The types of float arrays that the package uses, and two functions that pick a part: evenly spread, or in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""float32: features, embeddings and logits."""
Doubles = npt.NDArray[np.float64]
"""float64: losses, hits and differences."""


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` whole numbers from 0 to `count` - 1, spread evenly over this range.

    >>> spread(9, 3), spread(2, 3)
    ([0, 4, 8], [0, 1])
    """
    found: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return found


def batches(items: Any, size: int) -> Iterator[Any]:
    """Yield the items of a sequence or an array in their order, `size` at a time; the last batch may have fewer.

    >>> list(batches("abcde", 2))
    ['ab', 'cd', 'e']
    """
    return (items[start : start + size] for start in range(0, len(items), size))
