"""Runs whose time is up at a place that a test chooses: the clock is moved, nobody waits."""

from __future__ import annotations

from typing import Any

import pytest

from ipo_prompts.experiments import pipeline
from ipo_prompts.metrics import clock


def end_before_the_search(patch: pytest.MonkeyPatch) -> None:
    """Leave a run no time to search, and enough for the sealed test and the files."""
    searching = pipeline.search_in

    def late(*args: Any) -> Any:
        if limit := clock.clock().limit:
            clock.clock().reserve = limit
        return searching(*args)

    patch.setattr(pipeline, "search_in", late)
