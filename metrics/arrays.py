"""What the arrays of this package hold: names for the two kinds of floats, in one place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""What encoders give: features, embeddings, logits."""
Doubles = npt.NDArray[np.float64]
"""What statistics are made of: losses, hits, differences."""
