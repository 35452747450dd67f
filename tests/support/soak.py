"""How much of the soak is done: a little among the tests, much more when `python -m tests.soak` runs it."""

from __future__ import annotations

import os

BY_HAND = "SOAK" in os.environ
SEED = int(os.environ.get("SOAK_SEED", "0"))


def count(usual: int, by_hand: int) -> int:
    """Return how often something is tried: among the tests, and by hand unless `--count` says otherwise."""
    return int(os.environ.get("SOAK_COUNT", by_hand)) if BY_HAND else usual
