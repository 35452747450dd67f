"""Real images, made by Pillow, and data sets of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ipo_prompts.experiments.data import DataSet, Item
from ipo_prompts.metrics.images import LazyImage

Encode = Callable[[int], bytes]
Folder = Callable[..., Path]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library `datasets` keep what it reads in a folder of the test, and show no progress."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


@pytest.fixture
def encoded() -> Encode:
    """A PNG whose colour, and so whose content, is the number; one white pixel makes it an image of something."""

    def encode(number: int) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        image = Image.new("RGB", (6, 5), (number % 256, number // 256 % 256, 90))
        image.putpixel((5, 4), (255, 255, 255))
        image.save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture
def folder(tmp_path: Path, encoded: Encode) -> Folder:
    """Make folders of images: `folder({"cat": 5, "train/dog": 3})` returns their root."""

    def make(counts: dict[str, int], root: str = "images") -> Path:
        top = tmp_path / root
        number = 0
        for name, count in counts.items():
            (top / name).mkdir(parents=True)
            for i in range(count):
                (top / name / f"{i:03d}.png").write_bytes(encoded(number))
                number += 1
        return top

    return make


def _closed() -> bytes:
    raise AssertionError("an image was opened")


@pytest.fixture
def closed() -> Callable[..., DataSet]:
    """A data set whose images must not be opened: class names, base images a class, variants of each."""

    def make(classes: int, per_class: int = 6, variants: int = 1, order: Sequence[int] | None = None) -> DataSet:
        def part(name: str) -> tuple[Item, ...]:
            return tuple(
                Item(LazyImage(f"{name}/{label}/{base}/{v}", _closed), label, f"{name}/{label}/{base}")
                for base in range(per_class)
                for label in (order or range(classes))
                for v in range(variants)
            )

        names = tuple(f"class {label}" for label in range(classes))
        return DataSet("made", names, "things", part("train"), part("val"), part("test"), variants > 1)

    return make
