"""DSPy's cache, which else remembers what other tests asked."""

from __future__ import annotations

from pathlib import Path

import dspy
import pytest
from dspy.clients.cache import Cache


def forget(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Cache:
    """Have DSPy keep replies in memory alone, for this test; return its cache."""
    made = Cache(
        enable_disk_cache=False,
        enable_memory_cache=True,
        disk_cache_dir=str(folder),
        disk_size_limit_bytes=0,
        memory_max_entries=10_000,
    )
    monkeypatch.setitem(vars(dspy), "cache", made)  # reading the attribute would build the one on disk
    return made
