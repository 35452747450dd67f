"""The runs of a sweep on this machine, each an ordinary run directory, and their table; `runner.py` runs them."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.compare.runner import Item, reason
from ipo_prompts.experiments.compare.sweep_file import Sweep, configure, runs
from ipo_prompts.experiments.compare.text_table import plain
from ipo_prompts.experiments.executors.base import Failure
from ipo_prompts.experiments.run.config import RunConfig, is_begun
from ipo_prompts.experiments.run.numbers import summary_of
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.result import RunResult

LONGEST_NAME = 60
GROUP_VARIABLE = "WANDB_RUN_GROUP"


@dataclass(frozen=True)
class SweepRun(Item["RunResult"]):
    """One run of a sweep; its label leaves the seed out, which does not change how long a run takes.

    Attributes:
        settings: what was swept, and its value here.
        config: the whole configuration.
        group: of W&B, under which the sweep's runs are found together.
    """

    settings: dict[str, Any]
    config: RunConfig
    group: str

    @property
    def name(self) -> str:
        """The name of the run directory."""
        return self.folder.name

    @property
    def record(self) -> Path:
        """The run directory."""
        return self.folder

    def finished(self) -> RunResult | None:
        """Read the finished run; None for a damaged one too, since `run` says what is wrong with it."""
        from ipo_prompts.experiments.run.live_view import Ui
        from ipo_prompts.experiments.run.pipeline import finished

        with suppress(InputError):
            return finished(self.folder, Ui(self.config.steps, quiet=True))
        return None

    def run(self) -> RunResult:
        """Do the run, or resume it.

        Raises:
            InputError: see `optimize`.
        """
        from ipo_prompts.experiments.run.live_view import Ui
        from ipo_prompts.experiments.run.pipeline import optimize

        begun = is_begun(self.config, self.folder, instead="another --out")
        with ExitStack() as after:
            if not os.environ.get(GROUP_VARIABLE):  # the person may have named a group
                os.environ[GROUP_VARIABLE] = self.group
                after.callback(os.environ.pop, GROUP_VARIABLE)
            return optimize(self.config, self.folder, Ui(self.config.steps, quiet=True), resume=begun)

    def said(self, content: RunResult) -> str:
        """Give the gain and the template."""
        return f"{100 * content.scores['test'].difference.mean:+.2f}  {content.template}"


def plan_runs(sweep: Sweep, out: Path, count: int | None = None) -> list[SweepRun]:
    """Plan the runs, and check all of them before the first begins.

    Raises:
        InputError: a value that does not fit, or a run directory that holds another configuration.
    """
    planned = []
    for number, settings in enumerate(runs(sweep, count)):
        swept = {name: settings[name] for name in sweep.swept}
        config = configure(sweep, settings)
        folder = (out / f"{number:02d}-{_short_name(swept)}").absolute()
        is_begun(config, folder, instead="another --out")
        label = _short_name({name: value for name, value in swept.items() if name != "seed"})
        planned.append(SweepRun(label, folder, swept, config, sweep.name))
    return planned


def table(
    sweep: Sweep, planned: Sequence[SweepRun], outcomes: Sequence[RunResult | Failure | None]
) -> tuple[list[str], list[list[str]], str]:
    """Format the runs: what was swept, the gain on the sealed test with its interval, what it cost.

    Rows are sorted by the sweep's metric, best first; without a metric they stay in order. Failed ones come last.

    Returns:
        The head, the rows, and where only the seed was swept, what their mean is; else an empty text.
    """
    from ipo_prompts.experiments.run.live_view import money

    metric = sweep.metric[0] if sweep.metric else None
    extra = [metric] if metric and metric != "test/gain" else []
    head = [*sweep.swept, *extra, "gain on the sealed test", "cost", "run"]
    done = [(run, outcome) for run, outcome in zip(planned, outcomes, strict=True) if outcome is not None]
    rows = []
    for run, outcome in sorted(done, key=lambda pair: _place(sweep, pair[1])):
        values = [plain(str(run.settings[name])) for name in sweep.swept]
        if isinstance(outcome, Failure):
            rows.append([*values, *("" for _ in extra), f"failed: {plain(reason(outcome))}", "", run.name])
            continue
        numbers = summary_of(outcome)
        mean, low, high = (100 * numbers[f"test/{name}"] for name in ("gain", "gain_low", "gain_high"))
        shown = [f"{numbers[name]:.4f}" if name in numbers else "" for name in extra]
        gain = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" + (" (stopped early)" if outcome.stopped else "")
        rows.append([*values, *shown, gain, money(numbers.get("usd")), run.name])
    results = [outcome for _, outcome in done if not isinstance(outcome, Failure)]
    return head, rows, over_seeds(results) if sweep.swept == ["seed"] and len(results) > 1 else ""


def over_seeds(results: Sequence[RunResult]) -> str:
    """Format the mean over runs that differ in their seed alone; the result of one run may be luck."""
    from ipo_prompts.metrics.statistics import mean_over_seeds

    gains = mean_over_seeds([100 * result.scores["test"].difference.mean for result in results])
    search = statistics.fmean(100 * result.scores["search"].difference.mean for result in results)
    minutes = statistics.fmean(result.seconds["total"] for result in results) / 60
    kept = sum(result.template == result.initial_template for result in results)
    return (
        f"Mean gain on the sealed test over {gains.n} seeds: {gains.mean:+.2f} points "
        f"[{gains.low:+.2f}, {gains.high:+.2f}] (95 % t interval over seeds; the test {results[0].reward.unit} are the "
        f"same ones). On the search pictures it looked like {search:+.2f}. The initial template was kept by {kept} of "
        f"{gains.n}. {minutes:.1f} minutes a run."
    )


def _place(sweep: Sweep, outcome: RunResult | Failure) -> tuple[int, float]:
    if isinstance(outcome, Failure):
        return (2, 0.0)
    if sweep.metric is None:
        return (0, 0.0)
    name, more = sweep.metric
    value = summary_of(outcome).get(name)
    return (1, 0.0) if value is None else (0, -value if more else value)


def _short_name(settings: dict[str, Any]) -> str:
    words = "-".join(f"{name}-{value}" for name, value in settings.items())
    return re.sub(r"[^A-Za-z0-9_.]+", "-", words)[:LONGEST_NAME].strip("-.") or "run"
