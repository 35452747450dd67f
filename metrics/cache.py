"""The folder of everything that is kept between runs: weights, features, paid replies."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder: `IPO_CACHE_DIR`, else the user's cache folder. It may not exist yet."""
    import platformdirs

    chosen = os.environ.get("IPO_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("ipo", appauthor=False))
