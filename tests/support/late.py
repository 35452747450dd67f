"""Runs whose time is up at a place that a test chooses: the clock is moved, nobody waits."""

from __future__ import annotations

import pytest

from ipo_prompts.metrics.clock import Clock
from ipo_prompts.programs import running


def end_before_the_search(patch: pytest.MonkeyPatch) -> None:
    """Leave a run no time to search."""
    patch.setattr(running, "Clock", lambda minutes, before=0.0: Clock(minutes, before=60 * (minutes or 0)))
