"""Types of the package's arrays of floats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Features, embeddings, logits."""
Doubles = npt.NDArray[np.float64]
"""Losses, hits, differences."""
