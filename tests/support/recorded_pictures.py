"""Who opens which picture, and when: what proves that test pictures stay sealed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.data.dataset import PARTS, Part
from ipo_prompts.metrics.pictures import Picture

Opened = list[tuple[Part, str]]
"""Part and name of each picture that was opened, in that order."""


@dataclass(frozen=True)
class _Recorder:
    part: Part
    picture: Picture
    opened: Opened

    def __call__(self) -> bytes:
        self.opened.append((self.part, self.picture.name))
        return self.picture.read()


def recorded(data: DataSet) -> tuple[DataSet, Opened]:
    """Return the data set with pictures that note each opening, and the list that they write to.

    The pictures have no stamp, so a feature store must open one that it saw before rather than trust its file's time.
    """
    opened: Opened = []
    parts = {
        part: tuple(
            replace(item, picture=Picture(item.picture.name, _Recorder(part, item.picture, opened)))
            for item in data.part(part)
        )
        for part in PARTS
    }
    return replace(data, **parts), opened


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
