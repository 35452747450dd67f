"""Exports in a process without this package: the same labels on test images and on made ones that are odd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.export.base import export
from ipo_prompts.experiments.export.targets import TARGETS
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.classifier import TemplateClassifier


def elsewhere(script: str, files: list[Path], folder: Path, *more: str) -> Any:
    """Run a script in a process of its own, and return the JSON that it prints last."""
    words = [sys.executable, "-c", script, json.dumps([str(file) for file in files]), *more]
    told = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def odd(folder: Path) -> list[Path]:
    """Save images that libraries like to read differently."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 90, 3), dtype=np.uint8))
    image.paste((200, 30, 30), (10, 5, 60, 30))
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(rng.integers(0, 2, (40, 90), dtype=np.uint8) * 255))
    clear.save(folder / "clear.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(folder / "turned.jpg", exif=turned)
    image.quantize(16).save(folder / "palette.png", transparency=3)
    Image.fromarray(rng.integers(0, 65536, (40, 90), dtype=np.uint16)).save(folder / "sixteen.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.resize((200, 20)).save(folder / "wide.png")
    return sorted(folder.iterdir())


USE = """
import contextlib, io, json, os, sys
sys.modules["ipo_prompts"] = None
files = json.loads(sys.argv[1])
told = {}
for folder in sys.argv[2:]:
    os.chdir(folder)
    (code,) = open("README.md", encoding="utf-8").read().split("```python")[1:]
    sys.argv[1:], said = files, io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code.split("```")[0], {})
    told[os.path.basename(folder)] = [line.split(", ") for line in said.getvalue().splitlines()]
    sys.argv[1:] = []
print(json.dumps(told))
"""
LOUD = "``` # <b>dog</b> ```python"


@pytest.fixture()
def sure(other: Clip) -> TemplateClassifier:
    made = TemplateClassifier(other, ["cat", LOUD, "pizza"], "A photo of a {weird} <CLASS>.", ["pet", "pet", "pizza"])
    made.state = made.state.model_copy(update={"temperature": 2.2458})
    return made


def test_the_lines_of_each_readme_label_as_the_program_does_without_it(
    sure: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    files = [*odd(tmp_path / "odd"), *(tmp_path / f"{number}.png" for number in range(4))]
    for file, image in zip(files[-4:], images, strict=False):
        file.write_bytes(image.bytes())
    folders = ("head", "onnx", "open_clip")
    for target in folders:
        assert "checked, " in export(sure, TARGETS[target], tmp_path / target, images)
    told = elsewhere(USE, files, tmp_path, *(str(tmp_path / folder) for folder in folders))
    ours = sure.probabilities([LazyImage.from_path(file) for file in files])
    best = [sure.answers(row)[0] for row in ours]
    for target, lines in told.items():
        numbers = [float(number) for _, _, number, _ in lines]
        assert [(label, name) for _, label, _, name in lines] == [(one.label, one.name) for one in best]
        np.testing.assert_allclose(numbers, [one.probability for one in best], atol=2e-3, err_msg=target)


def test_onnx_runs_a_siglip(siglip: Clip, images: list[LazyImage], tmp_path: Path) -> None:
    program = TemplateClassifier(siglip, ["cat", "dog"], "a photo of a <CLASS>.")
    verdict = export(program, TARGETS["onnx"], tmp_path / "out", images)
    assert f"same label on {len(images)} of {len(images)} images, features equal within" in verdict
