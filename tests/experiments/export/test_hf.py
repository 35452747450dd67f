"""The pipeline of Hugging Face, with one small random CLIP in its format and in open_clip's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.export import Differs, export
from ipo_prompts.experiments.export.hf import HuggingFace, hub_id, save_model
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, to_install
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
    assert verdict == f"not checked: transformers is not installed: {to_install('hf')}"


def test_a_model_that_has_to_be_written_needs_transformers(
    clip: Clip, pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.export.hf.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        export(TemplateClassifier(clip, NAMES, PLAIN), HuggingFace(), tmp_path / "out", pictures)
    assert str(caught.value) == f"exporting to hf needs the package transformers: {to_install('hf')}."


def test_labels_that_read_the_same_are_refused(twins: Any, pictures: list[Picture], tmp_path: Path) -> None:
    program = TemplateClassifier(twins.clip, ["ice_cream", "ice cream"], PLAIN)
    with pytest.raises(InputError, match="two classes have the same"):
        export(program, HuggingFace(str(twins.hf)), tmp_path / "out", pictures)


def test_a_siglip_of_the_hub_is_named_and_one_with_other_sides_is_written() -> None:
    assert hub_id("ViT-B-16-SigLIP/webli") == "google/siglip-base-patch16-224"
    assert hub_id("ViT-SO400M-14-SigLIP-384/webli") == "google/siglip-so400m-patch14-384"
    assert hub_id("ViT-B-32-SigLIP2-256/webli") == "google/siglip2-base-patch32-256"
    assert hub_id("hf-hub:timm/ViT-gopt-16-SigLIP2-384") == "google/siglip2-giant-opt-patch16-384"
    assert hub_id("ViT-L-14/openai") == "openai/clip-vit-large-patch14"
    assert hub_id("hf-hub:someone/clip") == "someone/clip"
    for other in ("ViT-SO400M-14-SigLIP2-378/webli", "ViT-B-16-SigLIP-i18n-256/webli", "hf-hub:timm/else", "embedded"):
        assert hub_id(other) is None


@pytest.fixture()
def uncleaned(siglip: Clip, tmp_path: Path) -> Path:
    """The SigLIP in the format of transformers, with a tokenizer that takes texts as they are, as SigLIP 2 has."""
    from tokenizers.normalizers import Strip
    from transformers import PreTrainedTokenizerFast

    save_model(siglip, tmp_path / "uncleaned")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "uncleaned")
    tokenizer.backend_tokenizer.normalizer = Strip()
    tokenizer.save_pretrained(tmp_path / "uncleaned")
    return tmp_path / "uncleaned"


def test_texts_for_siglip_2_are_cleaned_before_they_are_written(
    siglip: Clip, uncleaned: Path, pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = TemplateClassifier(siglip, ["Cat", "Ice_Cream!", "a DOG", "pizza"], "A photo,  of: {weird} <CLASS>.")
    verdict = export(program, HuggingFace(str(uncleaned)), tmp_path / "out.json", pictures)
    assert f"same label on {len(pictures)} of {len(pictures)} pictures, class embeddings equal" in verdict
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    written = json.loads(text)
    assert written["hypothesis_template"] == "a photo of weird {}"
    assert written["candidate_labels"] == ["cat", "ice cream", "a dog", "pizza"]
    assert written["labels"] == list(program.labels) and len(text.encode()) < 1500
    twice = TemplateClassifier(siglip, ["cat", "Cat!"], PLAIN)
    with pytest.raises(InputError, match="two classes have the same"):
        export(twice, HuggingFace(str(uncleaned)), tmp_path / "other.json", pictures)
    monkeypatch.setattr("ipo_prompts.experiments.export.hf._canonical", lambda tokenizer: False)
    with pytest.raises(Differs, match="class embeddings differ"):
        export(program, HuggingFace(str(uncleaned)), tmp_path / "other.json", pictures)
