"""W&B tracking: what is logged, read back from W&B's own files; resuming; servers that are not there; secrets."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ipo_prompts.experiments import tracking as module
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.result import LanguageModels, Used
from ipo_prompts.experiments.tracking import Tracker, tracking
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.programs.bench import Rejection, Step
from ipo_prompts.programs.journal import Journal, begin
from ipo_prompts.programs.lm.ledger import Ledger
from support.results import made_result, rows_with
from support.scored import scored
from support.wandb_files import recorded, segments, table

SECRET = "sk-abcdefghijklmnop"
PAGE = "<!doctype html><title>A run</title>"
ODD = '<img src=x onerror="alert(1)"> {0} of a <CLASS>'


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "NAME", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    yield
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()  # W&B reads its variables once a process


@pytest.fixture()
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture()
def ui(told: io.StringIO) -> Ui:
    return Ui(3, console=Console(file=told, width=1000))


def begun(folder: Path) -> Path:
    """Return a run directory whose run was begun here."""
    with closing(Journal(folder)) as journal:
        begin(journal, {"pictures": "1", "clip": "embedded"}, config=RunConfig().model_dump(mode="json"))
    return folder


INTERVAL = score_interval(np.array([True, False, True]), Sampling(3))


def step(number: int, accuracy: float, *rejected: str) -> Step:
    entry = scored(f"{number} {ODD}", accuracy, 1 - accuracy, 10, number, "language model")
    return Step(number, (entry,), tuple(Rejection(text, "it has no <CLASS>") for text in rejected), entry, INTERVAL)


STEPS = [step(-1, 0.25), step(0, 0.5, f"a key {SECRET}"), step(1, 0.75)]


RESULT = made_result(
    template=f"1 {ODD}",
    rows=(*rows_with("selection", 0.25, 0.5, 0.125), *rows_with("test", 0.25, 0.25, 0.125)),
    lm=LanguageModels(optimizer=Used(name="x", calls=1, usd=0.5, tokens_in=7, tokens_out=3), describer=None),
    seconds={"total": 9.0},
    templates_scored=3,
)


def finish(tracker: Tracker, folder: Path) -> None:
    (folder / "program.json").write_text("{}")
    (folder / "report.html").write_text(PAGE)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "PNG")
    good = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    flip = {"picture": "1.png", "class_name": "cat", "before": "dog", "after": "cat"} | dict.fromkeys(
        ("true_before", "true_after")
    )
    bad = {**flip, "thumbnail": "data:image/png;base64,AAAA"}
    shown = {**flip, "thumbnail": good}
    flips = {"gained": [shown, bad], "lost": [{**shown, "after": "bus"}]}
    flips |= {"gained_total": 2, "lost_total": 1, "wrong_total": 0}
    (folder / "analysis.json").write_text(json.dumps({"schema": 1, "words": None, "flips": flips}))
    tracker.finish(RESULT, folder)


def test_all_of_a_run_is_in_its_offline_record(
    tmp_path: Path, ui: Ui, told: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    config = RunConfig(track="wandb", steps=3, lm_api_base="http://host/v1", task=f"{SECRET} pets")
    with tracking(config, tmp_path, ui) as tracker:
        for one in STEPS:
            tracker.step(one, Ledger())
        finish(tracker, tmp_path)

    (file,) = segments(tmp_path)
    run = recorded(file)
    assert (run.project, run.group, run.exit_code) == ("ipo", "mine", 0)
    wanted = {**config.model_dump(), "lm_api_base": "http://host/v1", "task": "[redacted] pets"}
    assert {name: run.config[name] for name in wanted} == wanted

    steps = [row for row in run.rows if "best/accuracy" in row]
    assert [(row["step"], row["_step"], row["best/accuracy"]) for row in steps] == [
        (0, 0, 0.25),
        (1, 2, 0.5),
        (2, 4, 0.75),
    ]
    assert (steps[0]["best/accuracy_low"], steps[0]["best/accuracy_high"]) == (INTERVAL.low, INTERVAL.high)
    assert [(row["new"], row["refused"], row["usd"], row["tokens"]) for row in steps][1] == (1, 1, 0, 0)

    (last,) = [row for row in run.rows if "templates.path" in row]
    templates = table(file, last, "templates")["data"]
    assert [row[:3] for row in templates] == [
        [0, f"-1 {ODD}", 0.25],
        [1, f"0 {ODD}", 0.5],
        [1, "a key [redacted]", None],
        [2, f"1 {ODD}", 0.75],
    ]
    flips = table(file, last, "flips")["data"]
    assert [row[1:] for row in flips] == [["cat", "dog", "cat", "1.png"], ["cat", "dog", "bus", "1.png"]]
    # W&B keeps the pictures of a table in an artifact beside it.
    assert [path.startswith("media/images/") for path in run.artifacts[f"run_table:run-{run.id}-flips"]] == [
        False,
        True,
    ]

    for name, value in {
        "test/first": 0.25,
        "test/words": 0.5,
        "selection/gain": 0.5,
        "usd": 0.5,
        "tokens": 10,
    }.items():
        assert run.summary[name] == value
    assert run.summary["template"] == f"1 {ODD}"
    assert run.artifacts[f"program:program-{run.id}"] == ["program.json"]
    assert f"wandb sync {file.parent}" in told.getvalue()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything


def test_a_run_that_goes_on_is_the_same_wandb_run_and_logs_no_step_twice(tmp_path: Path, ui: Ui) -> None:
    begun(tmp_path)
    config = RunConfig(track="wandb", steps=3)
    with pytest.raises(ConnectionError), tracking(config, tmp_path, ui) as tracker:
        for one in STEPS[:2]:
            tracker.step(one, Ledger())
        raise ConnectionError
    first = recorded(segments(tmp_path)[0])
    with tracking(config, tmp_path, ui) as tracker:
        for one in STEPS:  # a resumed run tells its earlier steps again
            tracker.step(one, Ledger())
        finish(tracker, tmp_path)
    (file,) = segments(tmp_path)  # all of it, so that one upload is enough
    run = recorded(file)
    assert (run.id, run.exit_code) == (first.id, 0) and first.exit_code == 1
    assert [row["step"] for row in run.rows if "best/accuracy" in row] == [0, 1, 2]
    numbers = [row["_step"] for row in run.rows]
    assert numbers == sorted(set(numbers))
    (row,) = [row for row in run.rows if "templates.path" in row]
    assert len(table(file, row, "templates")["data"]) == 4


def test_a_server_that_is_not_there_does_not_end_the_run(
    tmp_path: Path, ui: Ui, told: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(module, "INIT_SECONDS", 2.0)
    with tracking(RunConfig(track="wandb"), tmp_path, ui) as tracker:
        tracker.step(STEPS[0], Ledger())
        finish(tracker, tmp_path)
    (file,) = segments(tmp_path)
    assert recorded(file).summary["test/words"] == 0.5
    assert "cannot be reached" in told.getvalue()
    assert "0123456789" * 4 not in told.getvalue()


def test_a_log_that_fails_is_a_warning(tmp_path: Path, ui: Ui, told: io.StringIO) -> None:
    with tracking(RunConfig(track="wandb"), tmp_path, ui) as tracker:
        tracker.finish(RESULT, tmp_path)  # there is no program.json to log
    assert "the run continues" in told.getvalue()
    assert recorded(segments(tmp_path)[0]).exit_code == 0


def test_nothing_is_logged_unless_asked_for(tmp_path: Path, ui: Ui) -> None:
    with tracking(RunConfig(), tmp_path, ui) as tracker:
        tracker.step(STEPS[0], Ledger())
        tracker.finish(RESULT, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_wandb_it_is_said_how_to_get_it(tmp_path: Path, ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"), tracking(RunConfig(track="wandb"), tmp_path, ui):
        pass
