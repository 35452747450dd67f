"""The grids of the lab, and that its classes are code, which runs only where a person names it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import GRIDS
from ipo_prompts.experiments.compare.cell import run_config, shared_config
from ipo_prompts.experiments.compare.grid import entries, load_grid
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import PROTOCOLS
from support.runs import ipo

LINEAR_PROBE, LOOKS = "benchmarks.lab.linear_probe:LinearProbe", "benchmarks.lab.looks:AfterLooks"
ROOT = Path(__file__).parents[2]


@pytest.fixture()
def nothing_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests have named."""
    for registry in (METHODS, PROTOCOLS):
        monkeypatch.setattr(registry, "_allowed", set())


@pytest.mark.parametrize("file", sorted(GRIDS.iterdir()), ids=lambda file: file.stem)
def test_a_grid_of_the_lab_has_known_names_and_valid_settings(file: Path) -> None:
    found = entries(load_grid(str(file)), Path("out"))
    assert len({entry.folder for entry in found}) == len(found) > 1
    for entry in found:
        shared_config(entry.cell)
        assert (run_config(entry.cell) is not None) == entry.method.uses_lm


def test_a_class_of_the_lab_is_a_row_and_its_cells_need_no_code(
    nothing_typed: None,
    cache: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = """{title: Probe, protocol: few-shot, data: [embedded:a], seeds: 1,
      methods: [anchor, {label: probe, method: "benchmarks.lab.linear_probe:LinearProbe"}],
      settings: {shots: 1, selection_shots: 1, lm: none, describer: none}}"""
    Path("probe.yaml").write_text(grid)
    monkeypatch.syspath_prepend(str(ROOT))
    ran = ipo(capfd, "benchmark", "probe.yaml")
    assert ran.code == 0 and "| probe " in ran.out
    assert "probe is not in everything as published: selection_shots pictures" in ran.out
    # Its folder may come from anywhere by now: what it names is not imported, but where a person names it.
    for registry in (METHODS, PROTOCOLS):
        registry._allowed.clear()
    refused = ipo(capfd, "benchmark", "runs/probe/grid.yaml")
    assert refused.code == 2 and f"method={LINEAR_PROBE} is code" in refused.sentence
    assert f"add `methods={LINEAR_PROBE}`" in refused.sentence
    monkeypatch.setattr("ipo_prompts.metrics.registry.load", None)  # nothing is imported
    shutil.move("runs/probe/cells.json.gz", "cells.json.gz")
    again = ipo(capfd, "benchmark", "cells.json.gz")
    assert (again.code, again.out) == (0, ran.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["methods=anchor,benchmarks.lab.looks:AfterLooks"], f"method={LOOKS} is no Method"),
        (["methods=anchor,benchmarks.lab.linear_probe:Linear"], "has no class 'Linear' (did you mean LinearProbe?)"),
        ([f"protocol={LINEAR_PROBE}"], f"protocol={LINEAR_PROBE} is no OwnProtocol"),
        ([f"protocol={LOOKS}", "targets=few"], "name the numbers as targets"),
        (["methods=anchor,lp"], "there is no method 'lp'"),
        (["protocol=look"], "there is no protocol 'look'"),
    ],
)
def test_a_class_that_is_none_is_one_sentence(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    ended = ipo(capfd, "benchmark", "embedded", "data=embedded:a", "seeds=1", "methods=anchor", *words, "--dry-run")
    assert (ended.code, ended.out) == (2, "") and said in ended.sentence, ended


def test_the_committed_cells_name_the_classes_of_the_lab_and_import_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    from ipo_prompts.experiments.compare.raw_cells import unpack

    named: set[Any] = set()
    for file in (ROOT / "docs").glob("*.json.gz"):
        grid = json.loads(gzip.decompress(file.read_bytes()))["grid"]
        named |= {grid["protocol"], *(row["method"] for row in grid["methods"])}
    assert {LINEAR_PROBE, LOOKS} <= named
    monkeypatch.setattr("ipo_prompts.metrics.registry.load", None)
    _, found, _ = unpack(ROOT / "docs" / "suite.json.gz")
    assert {entry.method.label for entry in found if entry.label == "lp++"} == {"LP++ (linear probe with text)"}
