"""Exports in a process without this package: the same labels on sealed pictures and on made ones that are odd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.experiments.export import TARGETS, export
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier

ELSEWHERE = """
import json, runpy, struct, sys
import numpy as np, onnxruntime, open_clip, torch
from safetensors.torch import load_file
files = json.loads(sys.argv[1])
about = json.load(open("onnx/head.json"))
cfg = open_clip.transform.PreprocessCfg(**about["preprocess"])
model, preprocess = open_clip.create_model_from_pretrained("local-dir:" + sys.argv[2])
model.eval()
reads = [runpy.run_path(file)["read"] for file in ("onnx/read.py", "open_clip/zero_shot_templates.py")]
own = open_clip.transform.image_transform_v2(cfg, is_train=False)
pixels = torch.stack([own(reads[0](file)) for file in files])
again = torch.stack([preprocess(reads[1](file)) for file in files])
session = onnxruntime.InferenceSession("onnx/classifier.onnx")
features, logits = session.run(["features", "logits"], {"pixels": pixels.numpy()})
(alone,) = onnxruntime.InferenceSession("onnx/head.onnx").run(["logits"], {"features": features})
with torch.inference_mode():
    theirs = model.encode_image(again, normalize=True) @ load_file("open_clip/classifier.safetensors")["classifier"]
raw = open("onnx/head.safetensors", "rb").read()
(size,) = struct.unpack("<Q", raw[:8])
tensors = {}
for name, tensor in json.loads(raw[8 : 8 + size]).items():
    first, last = tensor["data_offsets"]
    tensors[name] = np.frombuffer(raw[8 + size + first : 8 + size + last], "<f4").reshape(tensor["shape"])
head = (features.astype("f8") @ tensors["rows"].T.astype("f8") * about["scale"] + tensors["bias"]).astype("f4")
assert np.array_equal(head, alone)
assert not any(name.startswith("ipo_prompts") for name in sys.modules)
print(json.dumps([one.argmax(axis=1).tolist() for one in (logits, head, theirs.numpy())]))
"""


def elsewhere(script: str, files: list[Path], folder: Path, *more: str) -> Any:
    """Run a script in a process of its own, and return the JSON that it prints last."""
    words = [sys.executable, "-c", script, json.dumps([str(file) for file in files]), *more]
    told = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def odd(folder: Path) -> list[Path]:
    """Save pictures that libraries like to read differently."""
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


def test_they_label_alike_without_this_package(clip: Clip, tmp_path: Path) -> None:
    sealed = [item.picture for item in load_data("embedded", seed=0).test]
    assert len(sealed) == 272
    files = odd(tmp_path / "odd")
    for number, picture in enumerate(sealed):
        files.append(tmp_path / f"{number}.bin")
        files[-1].write_bytes(picture.bytes())
    pictures = [Picture.from_path(file) for file in files]
    names = load_data("embedded", seed=0).class_names
    program = TemplateClassifier(clip, names, "a drawing of a <CLASS>.")
    for target in ("onnx", "open_clip"):
        verdict = export(program, TARGETS[target], tmp_path / target, pictures[:12])
        assert verdict.startswith("checked, ")
    told = elsewhere(ELSEWHERE, files, tmp_path, str(MODEL_DIR))
    logits = program.logits(clip.encode_pictures(pictures))
    ours, rows = logits.max(axis=1), np.arange(len(files))
    for labels in told:
        assert (ours - logits[rows, labels] < 1e-3).all(), "the same label, but for ties"


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
    told[os.path.basename(folder)] = [line.rsplit(" ", 1) for line in said.getvalue().splitlines()]
    sys.argv[1:] = []
print(json.dumps(told))
"""
LOUD = "``` # <b>dog</b> ```python"


@pytest.fixture()
def sure(other: Clip) -> TemplateClassifier:
    made = TemplateClassifier(other, ["cat", LOUD, "pizza"], "A photo of a {weird} <CLASS>.")
    made.temperature = 2.2458
    return made


def test_the_lines_of_each_readme_label_as_the_program_does_without_it(
    sure: TemplateClassifier, pictures: list[Picture], tmp_path: Path
) -> None:
    files = [*odd(tmp_path / "odd"), *(tmp_path / f"{number}.png" for number in range(4))]
    for file, picture in zip(files[-4:], pictures, strict=False):
        file.write_bytes(picture.bytes())
    folders = ("head", "onnx", "open_clip")
    for target in folders:
        assert export(sure, TARGETS[target], tmp_path / target, pictures).startswith("checked, ")
    told = elsewhere(USE, files, tmp_path, *(str(tmp_path / folder) for folder in folders))
    ours = sure.probabilities([Picture.from_path(file).on(sure.background) for file in files])
    for target, lines in told.items():
        numbers = [float(number) for _, number in lines]
        assert len(numbers) == len(files)
        np.testing.assert_allclose(numbers, ours.max(axis=1), atol=2e-3, err_msg=target)


def test_no_name_stands_in_a_readme_and_only_onnx_needs_no_clip(
    clip: Clip, pictures: list[Picture], tmp_path: Path
) -> None:
    program = TemplateClassifier(clip, ["cat", LOUD], "a loud photo of a <CLASS>.")
    for target in ("head", "onnx", "open_clip"):
        export(program, TARGETS[target], tmp_path / target, pictures)
        text = (tmp_path / target / "README.md").read_text(encoding="utf-8")
        assert "dog" not in text and "loud" not in text
        assert ("```python" in text) == (target == "onnx") == ("Only IPO has the demo CLIP" not in text)
        assert ("The files were checked with pictures that IPO encoded" in text) == (target != "onnx")
        assert ("`ipo export RUN --to onnx --out DIR`" in text) == (target != "onnx")


@pytest.mark.parametrize("target", ["head", "onnx", "open_clip", "program.json"])
def test_what_to_type_is_told_if_no_other_tool_has_the_clip(target: str, clip: Clip) -> None:
    asked = TARGETS[target]
    told = asked.told(TemplateClassifier(clip, ["cat", "dog"], "a <CLASS>."), Path("my run"))
    only_ipo = target in ("head", "open_clip")
    assert ("type `ipo predict 'my run' PICTURES`, or `ipo export 'my run' --to onnx --out DIR`" in told) == only_ipo
    assert (told == asked.use) == (not only_ipo)


def test_onnx_gives_the_probabilities_of_the_program(
    sure: TemplateClassifier, pictures: list[Picture], tmp_path: Path
) -> None:
    import onnxruntime

    export(sure, TARGETS["onnx"], tmp_path / "out", pictures)
    features, expected = sure.clip.encode_pictures(pictures), sure.probabilities(pictures)
    (alone,) = onnxruntime.InferenceSession(tmp_path / "out" / "head.onnx").run(
        ["probabilities"], {"features": features}
    )
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_onnx_runs_a_siglip(siglip: Clip, pictures: list[Picture], tmp_path: Path) -> None:
    program = TemplateClassifier(siglip, ["cat", "dog"], "a photo of a <CLASS>.")
    verdict = export(program, TARGETS["onnx"], tmp_path / "out", pictures)
    assert f"same label on {len(pictures)} of {len(pictures)} pictures, features equal within" in verdict
