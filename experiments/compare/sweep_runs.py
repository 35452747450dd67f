"""The runs of a sweep on this machine: each an ordinary run directory, begun ones gone on with, finished ones read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo.experiments.compare.sweep_file import Sweep, configure, runs
from ipo.experiments.compare.text_table import plain, text_table
from ipo.experiments.executors.base import Executor, Failure
from ipo.experiments.run.config import RunConfig, is_begun
from ipo.experiments.run.tracking import summary_of

LONGEST_NAME = 60


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        settings: what was swept, and its value here.
        config: the whole configuration.
        folder: the run directory, absolute.
        group: of W&B, under which the sweep's runs are found together.
    """

    settings: dict[str, Any]
    config: RunConfig
    folder: Path
    group: str


@dataclass(frozen=True)
class Ended:
    """How a run of a sweep ended: the content of its `result.json`, and the budget that stopped it, or None."""

    result: dict[str, Any]
    stopped: str | None


def plan_runs(sweep: Sweep, out: Path, count: int | None = None) -> list[SweepRun]:
    """Lay out the runs, and check all of them before the first begins.

    Raises:
        InputError: a value that does not fit, or a run directory that holds another configuration.
    """
    planned = []
    for number, settings in enumerate(runs(sweep, count)):
        swept = {name: settings[name] for name in sweep.swept}
        config = configure(sweep, settings)
        folder = (out / f"{number:02d}-{_short_name(swept)}").absolute()
        is_begun(config, folder, instead="another --out")
        planned.append(SweepRun(swept, config, folder, sweep.name))
    return planned


def run_all(
    planned: Sequence[SweepRun], executor: Executor, on_done: Callable[[int, Ended | Failure], None]
) -> list[Ended | Failure]:
    """Do every run that is not finished; one that fails does not stop the others."""
    return executor.run(run_one, planned, on_done)


def run_one(run: SweepRun) -> Ended:
    """Do one run; the function that executors call.

    Raises:
        InputError: see `optimize`.
    """
    from ipo.experiments.run.live_view import Ui
    from ipo.experiments.run.pipeline import optimize

    begun = is_begun(run.config, run.folder, instead="another --out")
    with _group(run.group):
        outcome = optimize(run.config, run.folder, Ui(run.config.steps, quiet=True), resume=begun)
    return Ended(outcome.result, outcome.stopped)


def table(sweep: Sweep, planned: Sequence[SweepRun], outcomes: Sequence[Ended | Failure]) -> str:
    """Word the runs as Markdown: what was swept, the gain on the sealed test with its interval, what it cost.

    Rows are sorted by the sweep's metric, best first; without a metric they stay in order. Failed ones come last.
    """
    from ipo.experiments.run.live_view import money

    metric = sweep.metric[0] if sweep.metric else None
    extra = [metric] if metric and metric != "test/gain" else []
    head = [*sweep.swept, *extra, "gain on the sealed test", "cost", "run"]
    rows = []
    for run, outcome in _sorted(sweep, planned, outcomes):
        values = [plain(str(run.settings[name])) for name in sweep.swept]
        if isinstance(outcome, Failure):
            rows.append([*values, *("" for _ in extra), f"failed: {plain(failure_text(outcome))}", "", run.folder.name])
            continue
        numbers = summary_of(outcome.result)
        mean, low, high = (100 * numbers[f"test/{name}"] for name in ("gain", "gain_low", "gain_high"))
        shown = [f"{numbers[name]:.4f}" if name in numbers else "" for name in extra]
        gain = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" + (" (stopped early)" if outcome.stopped else "")
        rows.append([*values, *shown, gain, money(numbers.get("usd")), run.folder.name])
    return text_table(head, rows)


def failure_text(failure: Failure) -> str:
    """Word a failure in one line; what a person can mend needs no name."""
    return failure.line if failure.kind == "InputError" else f"{failure.kind}: {failure.line}"


def _sorted(
    sweep: Sweep, planned: Sequence[SweepRun], outcomes: Sequence[Ended | Failure]
) -> list[tuple[SweepRun, Ended | Failure]]:
    def place(pair: tuple[SweepRun, Ended | Failure]) -> tuple[int, float]:
        if isinstance(pair[1], Failure):
            return (2, 0.0)
        if sweep.metric is None:
            return (0, 0.0)
        name, more = sweep.metric
        value = summary_of(pair[1].result).get(name)
        return (1, 0.0) if value is None else (0, -value if more else value)

    return sorted(zip(planned, outcomes, strict=True), key=place)


def _short_name(settings: dict[str, Any]) -> str:
    words = "-".join(f"{name}-{value}" for name, value in settings.items())
    return re.sub(r"[^A-Za-z0-9_.]+", "-", words)[:LONGEST_NAME].strip("-.") or "run"


@contextmanager
def _group(name: str) -> Iterator[None]:
    """Let W&B group the runs, unless the person has named a group."""
    if os.environ.get("WANDB_RUN_GROUP"):
        yield
        return
    os.environ["WANDB_RUN_GROUP"] = name
    try:
        yield
    finally:
        del os.environ["WANDB_RUN_GROUP"]


def tell(planned: Sequence[SweepRun], index: int, outcome: Ended | Failure) -> None:
    """Say on stderr that a run has ended."""
    if isinstance(outcome, Failure):
        text = f"failed: {failure_text(outcome)}"
    else:
        gain = outcome.result["scores"]["test"]["difference"]["mean"]
        text = f"{100 * gain:+.2f}  {outcome.result['template']}"
    print(f"{planned[index].folder.name}: {text}", file=sys.stderr, flush=True)
