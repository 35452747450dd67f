"""A folder of transparent pictures."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.report.explain import thumbnail
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.describers.multimodal import data_uri


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


def test_a_run_reads_them_on_white_or_as_stored(pets: Path) -> None:
    found = {}
    for background in ("white", "as-is"):
        words = ["data=folder:pets", "lm=none", "strategy=list", "strategy.file=templates.txt", "shots=1"]
        words += ["selection_shots=1", "describer=none", f"background={background}", "--out", background]
        assert main(["optimize", *words]) == 0
        result = json.loads(Path(background, "result.json").read_text())
        found[background] = result["data"]["fingerprint"]
    assert found["white"] != found["as-is"]


def test_reader_and_describer_see_what_the_clip_sees(pets: Path) -> None:
    white = Picture.from_path(pets / "cat" / "0.png")
    for picture, corner in ((white, (255, 255, 255)), (white.on("as-is"), (0, 0, 0))):
        for shown in (thumbnail(picture), data_uri(picture)):
            image = Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2])))
            pixel = image.convert("RGB").getpixel((1, 1))
            assert isinstance(pixel, tuple)
            assert max(abs(a - b) for a, b in zip(pixel, corner, strict=True)) < 12
