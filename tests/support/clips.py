"""A CLIP that differs from another one in what it says of itself."""

from __future__ import annotations

from typing import Any

from ipo_prompts.metrics.clip import Clip


def changed(clip: Clip, **attributes: Any) -> Clip:
    """Return a CLIP with the same towers and other attributes."""
    other = object.__new__(Clip)
    vars(other).update(vars(clip) | attributes)
    return other
