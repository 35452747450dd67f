"""Sets of shifted pictures: one name each, rendered alike wherever they are read, and the halves of the suite."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.compare.evaluation import picture_ids
from ipo_prompts.experiments.compare.raw_cells import unpack
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import shifts
from ipo_prompts.experiments.embedded.shifts import (
    OPERATIONS,
    SUITES,
    canonical,
    expanded,
    name_of,
    operations_of,
    suite,
)
from ipo_prompts.experiments.run.config import load_config
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from support.pages import DOCS


@pytest.mark.parametrize("spelled", ["negative+upside-down", "upside down + negative", "upside_down+negative"])
def test_a_set_has_one_name_however_it_is_spelled(spelled: str) -> None:
    assert operations_of(spelled) == ("upside down", "negative")
    assert canonical(f"embedded:{spelled}") == "embedded:upside-down+negative"
    assert load_data(f"embedded:{spelled}", seed=0).name == "embedded:upside-down+negative"
    assert load_config(None, data=f"embedded:{spelled}").data == "embedded:upside-down+negative"


def test_every_set_of_operations_can_be_named() -> None:
    for names in (*itertools.combinations(OPERATIONS, 2), OPERATIONS):
        assert operations_of(name_of(names)) == names


@pytest.mark.parametrize("spec", ["embedded", "embedded:a", "embedded:e", "folder:negative+sideways", "embedded:a+b"])
def test_other_specs_stay_as_they_are(spec: str) -> None:
    assert canonical(spec) == spec and expanded(spec) == [spec]


@pytest.mark.parametrize(("shift", "domain"), [("negative", "a"), ("sideways+faded", "d")])
def test_a_shipped_domain_is_its_operations_over_the_clean_pictures(shift: str, domain: str) -> None:
    rendered, files = (load_data(f"embedded:{name}", seed=0) for name in (shift, domain))
    assert rendered.class_names == files.class_names and rendered.task == files.task
    for part in ("train", "val", "test"):
        assert [(i.label, i.group) for i in rendered.part(part)] == [(i.label, i.group) for i in files.part(part)]
    for ours, theirs in zip(rendered.val[:40], files.val[:40], strict=True):
        pixels = (np.asarray(item.picture.image(), int) for item in (ours, theirs))
        assert np.abs(np.subtract(*pixels)).max() <= 1, "one of 255 levels, from rounding"


def test_a_picture_has_the_same_bytes_in_every_process_and_order() -> None:
    pictures = [item.picture for item in load_data("embedded:noise+blur+zoom", seed=0).val[:5]]
    first = [picture.bytes() for picture in pictures]
    assert [picture.bytes() for picture in reversed(pictures)][::-1] == first
    assert len(set(first)) == 5
    code = "import pickle, sys; sys.stdout.buffer.write(b''.join(p.bytes() for p in pickle.load(sys.stdin.buffer)))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(pictures), capture_output=True, check=True)
    assert done.stdout == b"".join(first)


def test_the_cache_knows_a_rendered_picture_by_its_bytes(clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [item.picture for item in load_data("embedded:dark+sideways", seed=0).val[:4]]
    before = FeatureStore(clip, tmp_path).encode(pictures)
    again = FeatureStore(clip, tmp_path)
    assert np.array_equal(again.encode(pictures), before) and again.encoded == 0
    # Another renderer: the same files on disk, other pixels.
    monkeypatch.setitem(shifts._PIXELWISE, "dark", lambda image, rng: image)
    assert not np.array_equal(again.encode(pictures), before) and again.encoded == 4


def test_the_pictures_of_the_suite_are_those_of_its_recorded_cells_on_any_processor(clip: Clip, tmp_path: Path) -> None:
    _, entries, outcomes = unpack(DOCS / "suite.json.gz")
    store = FeatureStore(clip, tmp_path)
    missing = {operation for spec in suite("suite") for operation in operations_of(spec.removeprefix("embedded:"))}
    for entry, outcome in zip(entries, outcomes, strict=True):
        if shown := missing & {*operations_of(entry.cell.data.removeprefix("embedded:"))}:
            missing -= shown
            assert isinstance(outcome, dict) and entry.cell.seed == 0
            found = picture_ids(store, load_data(entry.cell.data, seed=0).test)
            assert found == outcome["picture_ids"]["test"], entry.cell.data
    assert not missing


def test_names_tell_the_picture_and_the_set() -> None:
    data = load_data("embedded:gray+small", seed=0)
    assert data.train[0].picture.name == "cat/01.webp of embedded:small+gray"


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (
            "negativ",
            r"no pictures embedded:negativ \(did you mean negative\?\); there are: embedded:a, .* upside-down, ",
        ),
        ("upside-dwn+gray", r"'upside dwn' is no operation \(did you mean upside-down\?\)"),
        ("a+gray", "'a' is no operation"),
        ("gray+", "'' is no operation"),
        ("gray+Gray", r"'Gray' is no operation \(did you mean gray\?\)"),
        ("gray+gray", "embedded:gray[+]gray has the operation 'gray' twice; name it once"),
        ("suite", r"stands for \d+ data sets and is for the data of a grid, such as `ipo benchmark suite`; name one"),
        ("suite-held-out", "stands for"),
    ],
)
def test_what_is_no_set_is_one_sentence(rest: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_data(f"embedded:{rest}", seed=0)


def test_the_halves_of_the_suite_are_sets_of_two_and_share_none() -> None:
    halves = [expanded(f"embedded:{name}") for name in SUITES]
    assert halves == [suite(name) for name in SUITES] and all(halves)
    assert not set(halves[0]) & set(halves[1])
    for spec in halves[0] + halves[1]:
        assert canonical(spec) == spec
        assert len(operations_of(spec.removeprefix("embedded:"))) == 2


def test_an_installation_without_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SUITE_FILE", tmp_path / "suite.json")
    for text in (None, "{", json.dumps({"schema": 1})):
        if text is not None:
            embedded.SUITE_FILE.write_text(text)
        with pytest.raises(InputError, match=r"suite of embedded pictures cannot be read .* reinstall"):
            suite("suite")
