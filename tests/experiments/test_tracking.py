"""W&B tracking: what is logged, read back from W&B's own files; resuming; servers that are not there; secrets."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import wandb
from rich.console import Console

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.result import LanguageModels, Used
from ipo_prompts.experiments.tracking import Tracker, summary_of
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.programs.bench import Rejection, Step
from ipo_prompts.programs.journal import Journal, begin
from ipo_prompts.programs.lm.ledger import Ledger
from support.results import made_result, rows_with
from support.scored import scored
from support.wandb_files import recorded, segments

SECRET = "sk-abcdefghijklmnop"
ODD = '<img src=x onerror="alert(1)"> {0} of a <CLASS>'


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "NAME", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb" / "staged"))
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
        begin(journal, {"images": "1", "clip": "embedded"}, config=RunConfig().model_dump(mode="json"))
    return folder


INTERVAL = score_interval(np.array([True, False, True]), Sampling(3))


def step(number: int, accuracy: float, *rejected: str) -> Step:
    entry = scored(f"{number} {ODD}", accuracy, 1 - accuracy, 10, number, "language model")
    return Step(number, (entry,), tuple(Rejection(text, "it has no <CLASS>") for text in rejected), entry, INTERVAL)


STEPS = [step(-1, 0.25), step(0, 0.5, f"a key {SECRET}"), step(1, 0.75)]


RESULT = made_result(
    template=f"1 {ODD}",
    rows=(*rows_with("val", 0.25, 0.5, 0.125), *rows_with("test", 0.25, 0.25, 0.125)),
    lm=LanguageModels(optimizer=Used(name="x", calls=1, usd=0.5, tokens_in=7, tokens_out=3), describer=None),
    seconds={"total": 9.0},
    templates_scored=3,
)


def finish(tracker: Tracker, folder: Path) -> None:
    for name in ("program.json", "report.html"):
        (folder / name).write_text("{}")
    tracker.finish(summary_of(RESULT))


def test_all_of_a_run_is_in_its_offline_record(tmp_path: Path, ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.teardown()  # W&B reads the environment once in a process
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    config = RunConfig(track="wandb", steps=3, lm_api_base="http://host/v1", task=f"{SECRET} pets")
    with Tracker(config, tmp_path, ui) as tracker:
        for one in STEPS:
            tracker.step(one, Ledger())
        finish(tracker, tmp_path)

    (file,) = segments(tmp_path)
    run = recorded(file)
    assert (run.project, run.group, run.exit_code) == ("ipo", "mine", 0)
    wanted = {**config.model_dump(), "task": "[redacted] pets"}
    assert {name: run.config[name] for name in wanted} == wanted
    steps = [row for row in run.rows if "best/accuracy" in row]
    assert [(row["_step"], row["best/accuracy"]) for row in steps] == [(0, 0.25), (1, 0.5), (2, 0.75)]
    assert (steps[0]["best/accuracy_low"], steps[0]["best/accuracy_high"]) == (INTERVAL.low, INTERVAL.high)
    assert [(row["new"], row["refused"], row["usd"], row["tokens"]) for row in steps][1] == (1, 1, 0, 0)
    expected = {"test/first": 0.25, "test/text": 0.5, "val/gain": 0.5, "usd": 0.5, "tokens": 10}
    assert {name: run.summary[name] for name in expected} == expected
    assert run.summary["template"] == f"1 {ODD}"
    assert run.artifacts[f"run:run-{run.id}"] == ["program.json", "report.html"]
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything


def test_a_run_that_goes_on_is_the_same_wandb_run(tmp_path: Path, ui: Ui) -> None:
    begun(tmp_path)
    config = RunConfig(track="wandb", steps=3)
    with pytest.raises(ConnectionError), Tracker(config, tmp_path, ui) as tracker:
        for one in STEPS[:2]:
            tracker.step(one, Ledger())
        raise ConnectionError
    with Tracker(config, tmp_path, ui) as tracker:
        for one in STEPS:  # a resumed run tells its earlier steps again
            tracker.step(one, Ledger())
        finish(tracker, tmp_path)
    first, run = sorted(map(recorded, segments(tmp_path)), key=lambda one: len(one.rows))
    assert run.id == first.id and (first.exit_code, run.exit_code) == (1, 0)
    assert [row["_step"] for row in run.rows] == [0, 1, 2]


def test_a_log_that_fails_is_a_warning(
    tmp_path: Path, ui: Ui, told: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "no such mode")
    with Tracker(RunConfig(track="wandb"), tmp_path, ui) as tracker:
        tracker.step(STEPS[0], Ledger())
        finish(tracker, tmp_path)
    assert told.getvalue().count("the run continues") == 1


@pytest.mark.parametrize("place", ["wandb", ".wandb"])
@pytest.mark.parametrize("of", ["journal.jsonl", "grid.yaml"])
def test_settings_for_wandb_inside_a_run_or_a_grid_are_refused(
    place: str, of: str, tmp_path: Path, ui: Ui, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, own, elsewhere = tmp_path / "theirs" / "sub", tmp_path / "own", tmp_path / "elsewhere"
    for folder in (run, own, elsewhere):
        (folder / place).mkdir(parents=True)
    for folder in (run, own):
        (folder / place / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    (tmp_path / "theirs" / of).write_text("")
    for folder, stands in ((run, elsewhere), (elsewhere, run)):
        monkeypatch.chdir(stands)
        with pytest.raises(InputError, match="the W&B key goes"):
            Tracker(RunConfig(track="wandb"), folder, ui)
    monkeypatch.chdir(own)
    Tracker(RunConfig(track="wandb"), elsewhere, ui)  # a person's own settings


def test_nothing_is_logged_unless_asked_for(tmp_path: Path, ui: Ui) -> None:
    with Tracker(RunConfig(), tmp_path, ui) as tracker:
        tracker.step(STEPS[0], Ledger())
        tracker.finish(summary_of(RESULT))
    assert list(tmp_path.iterdir()) == []


def test_without_wandb_it_is_said_how_to_get_it(tmp_path: Path, ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"), Tracker(RunConfig(track="wandb"), tmp_path, ui):
        pass
