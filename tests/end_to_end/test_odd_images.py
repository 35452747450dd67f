"""A folder of transparent images."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ipo_prompts.experiments.report.explain import thumbnail
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.describe import data_uri


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("cat", "fish", "moon")):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for i in range(6):
            image = Image.new("RGBA", (48, 48), (40 * i, 0, 80 * label, 0))
            ImageDraw.Draw(image).ellipse((8, 8, 20 + 3 * i, 40), fill=(10, 90 * label, 30 * i, 255))
            image.save(folder / f"{i}.png")
    (tmp_path / "templates.txt").write_text("a photo of a <CLASS>.\na drawing of a <CLASS>.\n")
    return tmp_path / "pets"


def test_reader_and_describer_see_them_on_white_as_the_clip_does(pets: Path) -> None:
    image = LazyImage.from_path(pets / "cat" / "0.png")
    for shown in (thumbnail(image), data_uri(image)):
        opened = Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2])))
        pixel = opened.convert("RGB").getpixel((1, 1))
        assert isinstance(pixel, tuple)
        assert min(pixel) > 255 - 12
