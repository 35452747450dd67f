"""`python:MODULE:FUNCTION[:REST]`: a function of the user's own that gathers images, and who may have it called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.grid import load_grid
from ipo_prompts.experiments.data import load_data, sources
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.metrics.errors import InputError
from support.runs import CLASSES, copy_images, ipo

SMALL = ["lm=none", "describer=none", "shots=1", "val_shots=1", "steps=1", "candidates_per_step=1"]
MINE = """
from pathlib import Path

Path("imported").write_text("")

from ipo_prompts.experiments.data.dataset import Gathered, row_of_file


def gather(rest):
    files = sorted(Path(rest).glob("*/*"))
    return Gathered("pets", "my pets", [row_of_file(file, file.parent.name, str(file), None) for file in files])


def nothing(rest):
    return rest


def fewer(rest):
    found = gather(rest)
    return Gathered("pets", "my pets", found.rows, ("crane", "dog"))


def broken(rest):
    return 1 / 0
"""
SPEC = "python:mine:gather:pets"
REFUSED = "code is only run where a person types its name; if you trust mine:gather, type"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Path]:
    """A folder to work in, with images and a file of one's own that tells when it is imported."""
    copy_images(tmp_path / "pets")
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    as_in_a_new_process(monkeypatch)
    yield tmp_path
    sys.modules.pop("mine", None)


def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was typed, what was imported, and that it was."""
    monkeypatch.setattr(sources, "_allowed", set())
    sys.modules.pop("mine", None)
    Path("imported").unlink(missing_ok=True)


def imported() -> bool:
    return Path("imported").exists()


def test_it_is_called_with_the_rest_and_only_once_it_was_typed() -> None:
    for spec in (SPEC, f" {SPEC}"):
        with pytest.raises(InputError, match=REFUSED):
            load_data(spec, seed=0)
    sources.allow(["folder:pets", "python:mine:other", None, {"name": "mine:gather"}])
    with pytest.raises(InputError, match=REFUSED):
        load_data(SPEC, seed=0)
    assert not imported()
    sources.allow(SPEC)
    data, theirs = load_data(SPEC, seed=0), load_data("folder:pets", seed=0)
    assert data.name == "pets" and data.class_names == tuple(sorted(CLASSES))
    labels = [sorted(item.label for _, item in one.items()) for one in (data, theirs)]
    assert labels[0] == labels[1]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("python:", "python: needs a function of your own, for example python:mine:gather"),
        ("python:mine", "data=python:mine names no function; write python:MODULE:FUNCTION"),
        ("python:mine:gathr", "asks for 'gathr', and mine has none (did you mean gather?)"),
        ("python:mne:gather", "data=python:mne:gather cannot be used: ModuleNotFoundError: No module named 'mne'"),
        (
            "python:mine:nothing:x",
            "data=python:mine:nothing:x returned a str and no Gathered; see ipo docs data.",
        ),
        ("python:mine:broken", "division by zero"),
        ("python:mine:fewer:pets", "which is not in class_names; add it"),
        ("mine:gather", "unknown data 'mine:gather'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(spec: str, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    ended = ipo(capfd, "data", "check", spec)
    assert ended.code == 2 and told in ended.sentence


@pytest.mark.parametrize("words", [["data", "check", SPEC], ["evaluate", "--template", "a <CLASS>", "--data", SPEC]])
def test_who_types_it_to_a_command_has_it_called(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert ipo(capfd, *words).code == 0 and imported()


def test_a_run_is_never_a_reason_to_call_it(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ipo(capfd, "optimize", SPEC, *SMALL, "--out", "run").code == 0
    as_in_a_new_process(monkeypatch)
    for words in (["--resume", "run"], ["run/config.yaml"]):
        ended = ipo(capfd, "optimize", *words)
        assert ended.code == 2 and f"the run in run names {SPEC}, and no code" in ended.sentence
    assert ipo(capfd, "report", "run").code == 0
    assert load_config(Path("run/config.yaml")).data == SPEC and not imported(), "what only reads a run calls nothing"
    assert ipo(capfd, "optimize", "--resume", "run", "--data", SPEC).code == 0


def test_a_grid_that_a_person_wrote_has_it_called_and_a_strangers_folder_has_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.yaml").write_text(
        f"title: t\nprotocol: few-shot\ndata: ['{SPEC}']\nmethods: [baseline]\nseeds: 1\n"
    )
    grid = load_grid("mine.yaml")
    settings = {"shots": 1, "val_shots": 1, "lm": "none", "describer": "none"}
    as_in_a_new_process(monkeypatch)  # such as a worker
    done = run_cell(Cell("few-shot", SPEC, "baseline", 0, (), settings), folder / "cell")
    assert [*done.tests] == ["test"] and imported()
    as_in_a_new_process(monkeypatch)
    (folder / "table" / "cells").mkdir(parents=True)
    file = folder / "table" / "grid.yaml"
    file.write_text(grid.to_yaml())
    with pytest.raises(InputError, match=REFUSED):
        load_grid(str(file))
    assert load_grid(str(file), [f"data={SPEC}"]).data == [SPEC]
    as_in_a_new_process(monkeypatch)
    assert not imported()
