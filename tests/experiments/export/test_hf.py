"""The pipeline of Hugging Face, with one small random CLIP in its format and in open_clip's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.export import Differs, export
from ipo_prompts.experiments.export.hf import HuggingFace
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier

NAMES = ("cat", "ice_cream", "dog", "horse", '{x} "q" %d', "pizza", "robot", "tree")
PLAIN = "a photo of a <CLASS>."
ODD = "a {weird} \"quoted\" '<CLASS>' {0} {} {{c}} 9% \\ of <CLASS>, ☃"


@pytest.mark.parametrize("template", [PLAIN, ODD])
def test_the_pipeline_gives_the_same_labels(template: str, twins: Any, pictures: list[Picture], tmp_path: Path) -> None:
    from transformers import pipeline

    program = TemplateClassifier(twins.clip, NAMES, template)
    verdict = export(program, HuggingFace(str(twins.hf)), tmp_path / "out.json", pictures)
    assert verdict.startswith("checked, with transformers ")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    pipe = pipeline(written["task"], model=written["model"])
    ours = program.probabilities(pictures)
    answers = pipe(
        [picture.image() for picture in pictures],
        candidate_labels=written["candidate_labels"],
        hypothesis_template=written["hypothesis_template"],
    )
    for answer, row in zip(answers, ours, strict=True):
        scores = {one["label"]: one["score"] for one in answer}
        theirs = [scores[name.replace("_", " ")] for name in NAMES]
        assert theirs == pytest.approx(row.tolist(), abs=0.02)  # its transform resizes with another library
        assert theirs.index(max(theirs)) == row.argmax()
    assert len(set(ours.argmax(axis=1).tolist())) > 1
    for name in written["candidate_labels"]:
        assert written["hypothesis_template"].format(name) == template.replace("<CLASS>", name)


def test_another_model_is_noticed(twins: Any, clip: Clip, pictures: list[Picture], tmp_path: Path) -> None:
    with pytest.raises(Differs, match="class embeddings"):
        export(TemplateClassifier(clip, NAMES, PLAIN), HuggingFace(str(twins.hf)), tmp_path / "out", pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_here_leaves_the_export_unchecked(
    twins: Any, pictures: list[Picture], tmp_path: Path
) -> None:
    program = TemplateClassifier(twins.clip, NAMES, PLAIN)
    verdict = export(program, HuggingFace(str(tmp_path / "gone")), tmp_path / "out", pictures)
    assert verdict.startswith(f"not checked: transformers cannot load {tmp_path / 'gone'} (")
    assert (tmp_path / "out").is_file()


def test_without_transformers_the_export_is_unchecked(
    twins: Any, pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    program = TemplateClassifier(twins.clip, NAMES, PLAIN)
    verdict = export(program, HuggingFace(str(twins.hf)), tmp_path / "out", pictures)
    assert verdict == "not checked: transformers is not installed: pip install '.[hf]'"


def test_labels_that_read_the_same_are_refused(twins: Any, pictures: list[Picture], tmp_path: Path) -> None:
    program = TemplateClassifier(twins.clip, ["ice_cream", "ice cream"], PLAIN)
    with pytest.raises(InputError, match="two classes have the same"):
        export(program, HuggingFace(str(twins.hf)), tmp_path / "out", pictures)
