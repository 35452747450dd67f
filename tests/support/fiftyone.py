"""A stand-in for FiftyOne, whose data sets need a MongoDB: the part that the page on exports uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Classification:
    label: str
    confidence: float


class Sample(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]


class Dataset(list[Sample]):
    @classmethod
    def from_images_dir(cls, folder: str) -> Dataset:
        return cls(Sample(filepath=str(file.resolve())) for file in sorted(Path(folder).iterdir()))

    def values(self, field: str) -> list[Any]:
        return [sample[field] for sample in self]

    def iter_samples(self, *, autosave: bool) -> Iterator[Sample]:
        assert autosave, "labels are lost"
        return iter(self)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `import fiftyone` find the stand-in."""
    monkeypatch.setitem(sys.modules, "fiftyone", sys.modules[__name__])
