"""Which files this process opens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watching: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], str):
        for paths in _watching:
            paths.append(arguments[0])


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Collect the paths of all files that this process opens while the block runs, by whatever means."""
    if _audit not in _installed:
        _installed.append(_audit)
        sys.addaudithook(_audit)
    paths: list[str] = []
    _watching.append(paths)
    try:
        yield paths
    finally:
        _watching.remove(paths)


_installed: list[Any] = []
"""An audit hook cannot be taken out again, so it is put in once."""
