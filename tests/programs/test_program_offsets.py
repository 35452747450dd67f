"""A program with offsets: saved, loaded, predicted with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.calibration import fit_temperature
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import CentringOffsets, PriorOffsets
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier

NAMES = ("cat", "dog", "fish")
ENSEMBLE = [("a sketch of a <CLASS>.", 2.0), ("a photo of a <CLASS>.", 0.5)]


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [item.picture for item in load_data("embedded", seed=0).test[:12]]


@pytest.fixture(params=["centring", "prior"])
def program(request: pytest.FixtureRequest, clip: Clip, pictures: list[Picture]) -> TemplateClassifier:
    made = TemplateClassifier(clip, NAMES, ENSEMBLE)
    if request.param == "centring":
        made.offsets = CentringOffsets.from_pictures(clip.encode_pictures(pictures))
    else:
        made.offsets = PriorOffsets(np.array([0.5, -1.25, 0.75], dtype=np.float32))
    return made


def test_predictions_have_the_offsets(program: TemplateClassifier, clip: Clip, pictures: list[Picture]) -> None:
    plain = TemplateClassifier(clip, NAMES, ENSEMBLE)
    features = clip.encode_pictures(pictures)
    numbers = program.class_offsets()
    assert numbers is not None and plain.class_offsets() is None
    np.testing.assert_array_equal(program.logits(features), plain.logits(features) + numbers)
    answer = program(image=pictures[0])
    expected = program.probabilities(pictures[:1])[0]
    assert [answer.scores[name] for name in NAMES] == pytest.approx(expected.tolist(), abs=1e-6)
    assert answer.scores != plain(image=pictures[0]).scores


def test_saved_and_loaded_it_is_the_same(program: TemplateClassifier, pictures: list[Picture], tmp_path: Path) -> None:
    program.temperature = 1.5
    program.save(str(tmp_path / "program.json"))
    loaded = TemplateClassifier.from_file(tmp_path / "program.json", program.clip)
    again = TemplateClassifier(program.clip, NAMES)
    again.load(str(tmp_path / "program.json"))
    for one in (loaded, again):
        assert (one.templates, one.temperature) == (program.templates, 1.5)
        assert one.probabilities(pictures).tobytes() == program.probabilities(pictures).tobytes()
    assert loaded.dump_state() == program.dump_state()


def test_the_file_has_the_same_keys_with_and_without_offsets(program: TemplateClassifier, clip: Clip) -> None:
    state = TemplateClassifier(clip, NAMES, ENSEMBLE).dump_state()
    assert state["offsets"] is None and state["templates"][0] == {"template": "a sketch of a <CLASS>.", "weight": 2.0}
    assert program.dump_state() == {**state, "offsets": program.dump_state()["offsets"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, "program.json was written by another version of ipo; load it with that one"),
        ({"format": "x" * 99}, "was written by another version"),
        ({"offsets": {"kind": "centring", "values": [1.0]}}, "the offsets of a saved program are of the kind centring"),
    ],
)
def test_damaged_ones_are_refused(
    change: dict[str, Any], message: str, program: TemplateClassifier, tmp_path: Path
) -> None:
    file = tmp_path / "program.json"
    file.write_text(json.dumps(program.dump_state() | change))
    with pytest.raises(InputError, match=message):
        TemplateClassifier.from_file(file, program.clip)


def test_the_temperature_is_that_of_logits_with_offsets(
    program: TemplateClassifier, clip: Clip, pictures: list[Picture]
) -> None:
    features = np.tile(clip.encode_pictures(pictures), (2, 1))
    logits = program.logits(features)
    labels = (logits.argmax(axis=1) + (np.arange(24) % 4 == 0)) % 3  # a quarter is wrong
    found = program.calibrate(EncodedPictures(features, labels))
    assert found == fit_temperature(logits, labels)
    assert found != pytest.approx(fit_temperature(logits - program.class_offsets(), labels), rel=0.01)


def test_new_templates_have_no_offsets(program: TemplateClassifier) -> None:
    twin = program.deepcopy()
    twin.set_templates("a <CLASS>")
    assert twin.offsets is None and program.offsets is not None


def test_prior_offsets_meet_no_new_classes(clip: Clip, pictures: list[Picture]) -> None:
    program = TemplateClassifier(clip, ("cat", "dog"))
    program.offsets = PriorOffsets(np.zeros(3, dtype=np.float32))
    with pytest.raises(InputError, match="for 3 classes, and there are 2"):
        program.probabilities(pictures)
