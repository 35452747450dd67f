"""Every target: loaded back by its own library, equal image by image, or refused; never half-written."""

from __future__ import annotations

import json
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.export.base import Differs, Reference, export
from ipo_prompts.experiments.export.targets import TARGETS, OpenClip, numpy_logits
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.running import blend_in

NAMES = ("cat", "ice_cream", "fish", '{x} "q" %d \\')
ODD = "a {weird} \"quoted\" '<CLASS>' {0} {} {c} 9% \\ of <CLASS>, ☃"


@pytest.fixture()
def program(clip: Clip) -> TemplateClassifier:
    return fitted(TemplateClassifier(clip, NAMES, ODD), 1.7)


def fitted(program: TemplateClassifier, temperature: float) -> TemplateClassifier:
    program.state = program.state.model_copy(update={"temperature": temperature})
    return program


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_gives_the_same_loaded_back(
    target: str, clip: Clip, images: list[LazyImage], tmp_path: Path
) -> None:
    verdict = export(TemplateClassifier(clip, NAMES, ODD), TARGETS[target], tmp_path / "out.json", images)
    assert verdict.startswith("it decides with text alone; checked, ")
    assert f"same label on {len(images)} of {len(images)} images" in verdict
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_exports_answer_with_the_names_before_they_were_renamed(
    program: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    program.rename(["cat", "gelato", "carp", "thing"])
    export(program, OpenClip(), tmp_path / "plain", images)
    export(program, TARGETS["head"], tmp_path / "head", images)
    module = runpy.run_path(str(tmp_path / "plain" / "zero_shot_templates.py"))
    assert tuple(module["LABELS"]) == NAMES and module["CLASS_NAMES"][1] == "gelato"
    about = json.loads((tmp_path / "head" / "head.json").read_text())
    assert tuple(about["labels"]) == NAMES and about["class_names"][1] == "gelato"


def test_open_clip_builds_our_classifier_from_the_file(
    program: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    export(program, OpenClip(), tmp_path / "out", images)
    module = runpy.run_path(str(tmp_path / "out" / "zero_shot_templates.py"))
    assert module["TEMPLATES"] == [ODD]
    assert tuple(module["CLASS_NAMES"]) == NAMES
    assert module["templates"][0]("ice_cream") == ODD.replace("<CLASS>", "ice cream")
    clip = program.clip
    matrix = open_clip.build_zero_shot_classifier(
        clip.model, clip.tokenizer, module["CLASS_NAMES"], module["templates"]
    )
    with safe_open(tmp_path / "out" / "classifier.safetensors", "np") as file:
        saved, about = file.get_tensor("classifier"), file.metadata()
    np.testing.assert_allclose(saved, matrix.numpy(), atol=1e-6)
    assert saved.shape == (matrix.shape[0], len(NAMES))
    assert (about["clip"], about["fingerprint"]) == ("embedded", clip.fingerprint)
    assert (tuple(json.loads(about["class_names"])), about["temperature"]) == (NAMES, "1.7")
    features = clip.encode_images(images)
    ours = program.probabilities(images).argmax(axis=1)
    assert (torch.from_numpy(features) @ matrix).argmax(dim=1).tolist() == ours.tolist()
    assert len(set(ours.tolist())) > 1  # else equal labels would say little


def test_head_holds_scale_and_temperature(
    clip: Clip, program: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    fitted(program, 0.5)
    assert export(program, TARGETS["head"], tmp_path / "out", images).endswith("pixels equal")
    about = json.loads((tmp_path / "out" / "head.json").read_text(encoding="utf-8"))
    assert about["template"] == ODD
    logits = numpy_logits(tmp_path / "out", clip.encode_images(images))
    scaled = torch.from_numpy(logits / about["temperature"]).softmax(dim=1)
    np.testing.assert_allclose(scaled.numpy(), program.probabilities(images), atol=1e-5)


@pytest.fixture(scope="module")
def with_images(clip: Clip) -> TemplateClassifier:
    data = load_data("embedded:upside-down", seed=0)
    items = [item for item in data.train if item.label < 4]
    made = fitted(TemplateClassifier(clip, data.class_names[:4]), 1.7)
    encoded = ClipReward(clip, made.class_names).encode([one.image for one in items], [one.label for one in items])
    blend_in(made, [encoded], None, gate=False)
    assert made.images
    return made


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_says_what_it_decides_with_and_gives_its_probabilities(
    target: str, with_images: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    program, out = with_images, tmp_path / "out.json"
    words = program.text_only()
    said = export(program, TARGETS[target], out, images)
    alone = target == "open_clip"
    assert said.startswith(f"it decides with text {'alone' if alone else 'and labelled images'}; checked, ")
    features = program.clip.encode_images(images)
    if target == "program.json":
        again = TemplateClassifier.from_file(out, program.clip)
        for one, own in ((again, program), (again.text_only(), words)):
            np.testing.assert_allclose(one.probabilities(images), own.probabilities(images), atol=1e-6)
    elif alone:
        with safe_open(out / "classifier.safetensors", "np") as file:
            matrix, about = file.get_tensor("classifier"), file.metadata()
        sure = softmax(program.clip.logit_scale * features @ matrix, float(about["temperature"]))
        np.testing.assert_allclose(sure, words.probabilities(images), atol=1e-4)
    else:
        about = json.loads((out / "head.json").read_text(encoding="utf-8"))
        sure = softmax(numpy_logits(out, features), about["temperature"])
        np.testing.assert_allclose(sure, program.probabilities(images), atol=1e-5)
    assert not np.allclose(program.probabilities(images), words.probabilities(images), atol=0.05)


class _Wrong(OpenClip):
    """Writes the matrix of other templates."""

    def write(self, program: TemplateClassifier, place: Path) -> None:
        super().write(TemplateClassifier(program.clip, program.class_names, "a drawing of a <CLASS>"), place)


def test_an_export_that_differs_is_not_kept(
    program: TemplateClassifier, images: list[LazyImage], tmp_path: Path
) -> None:
    with pytest.raises(Differs, match="class embeddings differ by up to"):
        export(program, _Wrong(), tmp_path / "out", images)
    assert list(tmp_path.iterdir()) == []


def test_another_label_is_noticed(program: TemplateClassifier, images: list[LazyImage]) -> None:
    reference = Reference.of(program, images)
    theirs = reference.probabilities.argsort(axis=1)[:, -1]
    assert reference.same_labels(theirs) == f"same label on {len(images)} of {len(images)} images"
    theirs[3] = reference.probabilities[3].argmin()
    with pytest.raises(Differs, match=f"1 of {len(images)} images get another label"):
        reference.same_labels(theirs)


def test_many_images_are_sampled(program: TemplateClassifier, images: list[LazyImage]) -> None:
    reference = Reference.of(program, [*images] * 7)
    labels = reference.probabilities.argmax(axis=1)
    assert reference.same_labels(labels) == "same label on 36 of 36 images"


# --- the command


@pytest.fixture()
def saved(program: TemplateClassifier, tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    program.save(str(tmp_path / "run" / "program.json"))
    return tmp_path / "run"


def test_the_command_takes_a_run_and_says_what_was_checked(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = saved.parent / "out.json"
    assert main(["export", str(saved), "--to", "program.json", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(
        f"wrote {out} for program.json; it decides with text alone; checked, with DSPy: same label on 36 of 36"
    )
    assert TemplateClassifier.from_file(out).temperature == 1.7


def test_the_text_in_the_open_clip_file_can_be_followed(
    program: TemplateClassifier, images: list[LazyImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(program, OpenClip(), tmp_path / "out", images)
    monkeypatch.chdir(tmp_path / "out")
    module = runpy.run_path("zero_shot_templates.py")
    built, loaded, labels, _ = (line.strip() for line in module["__doc__"].splitlines() if line.startswith("    "))
    clip = program.clip
    here = {
        **module,
        "open_clip": open_clip,
        "safetensors": safetensors,
        "model": clip.model,
        "tokenizer": clip.tokenizer,
        "image_features": torch.from_numpy(clip.encode_images(images)),
    }
    for how in (built, loaded):
        exec(how, here)
        assert eval(labels, here).tolist() == program.probabilities(images).argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("to", "out", "more", "message"),
    [
        ("openclip", "out", [], r"no target 'openclip' \(did you mean open_clip\?\); it can be open_clip, head, onnx"),
        ("head", "run", [], "run already exists"),
        ("head", "run/program.json/out", [], "program.json is a file; choose another place"),
        ("head", "out", ["--images", "gone.png"], "cannot read the image gone.png"),
        ("head", "out", ["--images", "run"], "no images in run"),
        ("head", "x" * 300, [], "cannot write .*xxx: File name too long"),
        ("program.json", "out", [], "a name that ends with .json"),
        ("onnx", "out", [], "^ipo: exporting to onnx needs the package onnx: pip install "),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    to: str,
    out: str,
    more: list[str],
    message: str,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(saved.parent)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *at: None if name == "onnx" else find_spec(name, *at))
    assert main(["export", "run", "--to", to, "--out", out, *more]) == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith("ipo: ")
    assert re.search(message, said)
    assert [path.name for path in saved.parent.iterdir()] == ["run"]
