"""Many jobs: what is read back, what is reported of the rest, what stays of a failure, and where a budget ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.cell import Cell
from ipo_prompts.experiments.compare.checks import check_grid, forecast, forecast_text, searches
from ipo_prompts.experiments.compare.executors import Failure, Here
from ipo_prompts.experiments.compare.methods import Facts
from ipo_prompts.experiments.compare.runner import run_all
from ipo_prompts.experiments.compare.scores import Placed
from ipo_prompts.experiments.run.result import RESULT
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import Ledger, Question
from support.runs import KEY


@dataclass(frozen=True)
class Job(Cell):
    """Leaves a file; `fails` is a kind of failure until the file `repaired` lies above it, `usd` what it costs."""

    fails: str = ""
    usd: float = 0.0

    @property
    def name(self) -> str:
        return f"job {self.folder.name}"

    def finished(self) -> str | None:
        file = self.folder / "done"
        return file.read_text() if file.exists() else None

    def run(self) -> str:
        self.folder.mkdir(exist_ok=True)
        ledger = Ledger(self.folder)
        question = Question(key="", role="optimizer", model="m", tokens_in=1, tokens_out=0, usd=self.usd)
        ledger.settle(ledger.take(question), state="lost" if self.fails else "answered")
        if self.fails and not (self.folder.parent / "repaired").exists():
            raise {"bug": RuntimeError(f"the key {KEY} broke"), "input": InputError("give more.")}[self.fails]
        (self.folder / "done").write_text(self.label)
        return self.label

    def placed(self, outcome: object) -> Placed:
        return Placed("", "", "", 0, Facts(label=""), None, f"came to {outcome}")


def job(folder: Path, **more: Any) -> Job:
    return Job("few-shot", "embedded", "baseline", 0, (), {}, folder.name, True, folder, **more)


def session(items: Sequence[Job], told: list[str], usd: float | None = None) -> tuple[list[Any], str | None]:
    return run_all(items, [item.finished() for item in items], Here(), told.append, usd)


def test_only_what_is_not_finished_is_done(tmp_path: Path) -> None:
    items = [job(tmp_path / name) for name in "abc"]
    items[1].run()
    before = (items[1].folder / "done").stat().st_mtime_ns
    told: list[str] = []
    assert session(items, told) == (["a", "b", "c"], None)
    assert told == ["2/3  job a: came to a  ($0)", "3/3  job c: came to c  ($0)"]
    assert (items[1].folder / "done").stat().st_mtime_ns == before


def test_a_failures_trace_stays_until_the_job_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    items = [job(tmp_path / x, fails=why) for x, why in {"a": "bug", "b": "", "c": "input"}.items()]
    contents = session(items, [])[0]
    assert [isinstance(content, Failure) for content in contents] == [True, False, True]
    (trace,) = tmp_path.rglob("failure.txt")
    assert trace.parent == items[0].folder
    assert "RuntimeError: the key [redacted] broke" in trace.read_text()
    (tmp_path / "repaired").touch()
    assert session(items, [])[0] == ["a", "b", "c"]
    assert not trace.exists()


def test_a_budget_ends_the_session_and_a_larger_one_resumes_it(tmp_path: Path) -> None:
    items = [job(tmp_path / name, usd=0.5, fails="bug" if name == "b" else "") for name in "abcd"]
    told: list[str] = []
    contents, stopped = session(items, told, usd=1.0)
    assert contents[0] == "a" and isinstance(contents[1], Failure), "what failed has cost, too"
    assert contents[2:] == [None, None]
    assert stopped == "$1.0000 of $1.0000 spent, 2 of 4 are left"
    assert [line.rpartition("  ")[2] for line in told] == ["($0.5000)", "($1.0000)"]
    assert session(items, told, usd=1.0)[1] == "$1.0000 of $1.0000 spent, 3 of 4 are left"
    assert len(told) == 2, "what is spent is remembered"
    (tmp_path / "repaired").touch()
    assert session(items, told, usd=9.0) == (["a", "b", "c", "d"], None)


def test_a_journal_that_cannot_be_read_stops_no_other_job_but_no_budget_can_be_kept(tmp_path: Path) -> None:
    items = [job(tmp_path / name) for name in "ab"]
    items[0].run()
    (items[0].folder / "replies.jsonl").write_text("{\n{\n")
    with pytest.raises(InputError, match="--budget-usd cannot be kept; leave it out"):
        session(items, [], usd=1.0)
    told: list[str] = []
    assert session(items, told)[0] == ["a", "b"]
    assert told == ["2/2  job b: came to b  (price unknown)"]


def searching(label: str, data: str = "embedded", **settings: Any) -> Cell:
    asked = {"lm": "openai/small", "lm_api_base": "http://one/v1", "describer": "none", "shots": 1, **settings}
    return Cell("few-shot", data, "ipo-default", 0, (), asked, label, True, Path("out") / label)


def test_each_row_has_the_language_models_of_its_own_addresses() -> None:
    describer = {"describer": "openai/sees", "describer_api_base": "http://one/v1"}
    rows = [
        searching("first"),
        searching("first", data="embedded:a"),
        searching("elsewhere", lm_api_base="http://two/v1"),
        searching("described", **describer),
        searching("no model", lm="none"),
    ]
    found = {row: (one.lm_api_base, one.describer_api_base) for row, one in searches(rows).items() if one.asks_lm}
    assert found == {
        "first": ("http://one/v1", None),
        "elsewhere": ("http://two/v1", None),
        "described": ("http://one/v1", "http://one/v1"),
    }


def test_each_row_is_refused_for_its_own_clip_and_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[tuple[str, int, int]] = []
    monkeypatch.setattr(
        "ipo_prompts.experiments.compare.checks.laid_out",
        lambda shared: laid.append((shared.clip, shared.shots, shared.val_shots)),
    )
    rows = [searching(str(i), **more) for i, more in enumerate(({}, {"shots": 2}, {"val_shots": 3}, {}))]
    check_grid(rows)
    assert [one[1:] for one in laid] == [(1, laid[0][2]), (2, laid[0][2]), (1, 3)]
    with pytest.raises(InputError, match="ViT-B-99"):
        check_grid([*rows, searching("strange", clip="ViT-B-99/openai")])


def test_a_forecast_counts_each_data_set_by_its_own_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"one": 10, "two": 3}
    monkeypatch.setattr("ipo_prompts.experiments.compare.checks.plan", lambda config, ready: config.data)

    def estimate(data: str) -> dict[str, Any]:
        used = {"calls": calls[data], "tokens_in": 5, "tokens_out": 2}
        return {
            "optimizer": used,
            "describer": None,
            "usd": 0.5,
            "tokens": 7,
            "seconds": 60,
        }

    monkeypatch.setattr("ipo_prompts.experiments.compare.checks.estimate", estimate)
    rows = [replace(searching("row", data), folder=tmp_path / f"{data}-{i}") for data in calls for i in range(2)]
    found = forecast(rows)
    assert (found["calls"], found["tokens"], found["usd"], found["minutes"]) == (26, 28, 2.0, 4.0)
    assert forecast_text(found).startswith("together: 4 cells, 26 calls, at most 28 tokens, at most $2.0000")
    rows[0].folder.mkdir()
    (rows[0].folder / RESULT).write_text("{}")
    assert (forecast(rows)["calls"], forecast(rows)["finished"]) == (16, 1)
