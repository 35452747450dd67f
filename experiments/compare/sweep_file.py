"""A Weights & Biases sweep file: read, checked, and turned into runs without W&B's server.

The format is W&B's (https://docs.wandb.ai/models/sweeps/sweep-config-keys): `method`, `parameters` with `value`,
`values` or a `distribution`, nested or dotted names, `command`. What is swept are the settings of `ipo optimize`.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare.sweep_parameters import checked, drawn, grid_values
from ipo_prompts.experiments.run.config import RunConfig, build, dotted, nested, overlaid, read_words, read_yaml
from ipo_prompts.experiments.run.numbers import NUMBERS
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nearest import did_you_mean

SWEEPS_DIR = Path(__file__).parent / "sweeps"
COMMAND = ["ipo", "optimize", "track=wandb", "${args_no_hyphens}"]
"""What an agent runs when the file names no command."""

_KEYS = (
    *("method", "parameters", "metric", "name", "description", "project", "entity", "program", "command"),
    *("run_cap", "early_terminate"),
)
_ARGS = re.compile(r"\$\{args(_\w+)?\}")
_STARTS = ("${env}", "/usr/bin/env", "${program}", "ipo")


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file.

    Attributes:
        name: of the sweep; the file's stem when it has none.
        method: `grid`, `random` or `bayes`.
        parameters: dotted setting → `{"value": …}`, `{"values": […]}` or a distribution.
        given: settings of every run: those that the command fixes, then those of the command line.
        metric: which number of a run's summary counts, and whether more of it is better; None without one.
        run_cap: most runs; None for no limit.
        content: the file as it was, with `command` filled in: what a server is sent.
    """

    name: str
    method: str
    parameters: dict[str, dict[str, Any]]
    given: dict[str, Any]
    metric: tuple[str, bool] | None
    run_cap: int | None
    content: dict[str, Any]

    @property
    def swept(self) -> list[str]:
        """The settings that differ between runs."""
        return [name for name, how in self.parameters.items() if "value" not in how]


def read_sweep(file: Path, words: Sequence[str] = ()) -> Sweep:
    """Read a sweep file.

    Args:
        file: a YAML file, or the bare name of one that ships with us (`history`).
        words: `key=value` settings for every run.

    Raises:
        InputError: unreadable, not a sweep, a setting that does not exist (the nearest is named), a value or
            distribution that does not fit, or a command that is not `ipo optimize`.
    """
    if not file.exists():
        shipped = {path.stem: path for path in sorted(SWEEPS_DIR.glob("*.yaml"))}
        if str(file) not in shipped:
            names = ", ".join(shipped)
            raise InputError(f"cannot read the sweep {file}: there is no such file; shipped ones: {names}.")
        file = shipped[str(file)]
    content = read_yaml(file)
    for key in content:
        if key not in _KEYS:
            raise InputError(f"unknown key {key!r} in {file}{did_you_mean(key, _KEYS)}.")
    method = content.get("method")
    if method not in ("grid", "random", "bayes"):
        raise InputError(f"method in {file} is {method!r}; it can be grid, random or bayes.")
    if not isinstance(content.get("parameters"), dict) or not content["parameters"]:
        raise InputError(f"{file} has no parameters to sweep.")
    parameters = {name: checked(name, how, file) for name, how in _flat(content["parameters"], file).items()}
    command = COMMAND if content.get("command") in (None, []) else content["command"]
    if not isinstance(command, list):
        raise InputError(f"command in {file} is not a list of words.")
    command = [str(word) for word in command]
    fixed = _fixed_words(command, content.get("program"), file)
    keys = [word.removeprefix("--").partition("=")[0] for word in words if "=" in word]
    set_here = dotted(nested(dict.fromkeys(keys, "")))  # `strategy` and `strategy.name` are one setting
    twice = next((name for name in parameters if dotted(nested({name: ""})).keys() & set_here), None)
    if twice:
        raise InputError(f"{twice} is swept in {file}; take it from the command line or from the file.")
    cap = content.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise InputError(f"run_cap in {file} is {cap!r}; it is how many runs there are at most.")
    return Sweep(
        name=str(content.get("name") or file.stem),
        method=method,
        parameters=parameters,
        given=_given([*fixed, *words]),
        metric=_metric(content, file),
        run_cap=cap,
        content={**content, "command": [*command, *words]},
    )


def runs(sweep: Sweep, count: int | None = None) -> list[dict[str, Any]]:
    """Return the settings of each run, in a fixed order: of a grid all, of a random search the first `count`.

    A random search with a larger count begins with the same runs, so it continues a smaller one.

    Raises:
        InputError: a bayes search, a random search without count, or a grid over a continuous parameter.
    """
    if sweep.method == "bayes":
        raise InputError(
            "method bayes needs the server of Weights & Biases: set WANDB_API_KEY, or take method random or grid."
        )
    limits = [limit for limit in (count, sweep.run_cap) if limit is not None]
    if sweep.method == "grid":
        choices = [[(name, value) for value in grid_values(name, how)] for name, how in sweep.parameters.items()]
        grid = [dict(chosen) for chosen in itertools.product(*choices)]
        return grid[: min(limits, default=None)]
    if not limits:
        raise InputError(
            "a random search does not end by itself; say how many runs: --count N, or run_cap in the file."
        )
    return [
        {name: drawn(name, random.Random(f"{name} {number}"), how) for name, how in sweep.parameters.items()}
        for number in range(min(limits))
    ]


def configure(sweep: Sweep, settings: dict[str, Any]) -> RunConfig:
    """Return the configuration of one run, the same as an agent's command line gives.

    Raises:
        InputError: an unknown setting, or a value of the wrong kind.
    """
    return build(overlaid(sweep.given, nested(settings)), where="the sweep")


def _given(words: list[str]) -> dict[str, Any]:
    file = Path(words[0]) if words and re.search(r"\.ya?ml$", words[0]) else None
    values = nested(read_yaml(file)) if file else {}
    return overlaid(values, nested(read_words(words[1:] if file else words)))


def _flat(parameters: dict[Any, Any], file: Path, above: str = "") -> dict[str, dict[str, Any]]:
    """Give nested parameters dotted names."""
    flat: dict[str, dict[str, Any]] = {}
    for key, how in parameters.items():
        name = f"{above}{key}"
        if not isinstance(how, dict):
            raise InputError(f"the parameter {name} in {file} needs value, values or a distribution.")
        flat |= _flat(how["parameters"], file, f"{name}.") if isinstance(how.get("parameters"), dict) else {name: how}
    return flat


def _fixed_words(command: list[str], program: Any, file: Path) -> list[str]:
    """Return the settings that a command fixes; W&B itself runs other programs than `ipo optimize`."""
    start, rest = command, []
    if "optimize" in command:
        place = command.index("optimize")
        start, rest = [word for word in command[:place] if word not in _STARTS], command[place + 1 :]
    if start or program not in (None, "ipo"):
        raise InputError(
            f"{file} runs another program; `ipo sweep` runs `ipo optimize` (leave program and command out), "
            "everything else is for `wandb sweep`."
        )
    fixed = [word for word in rest if not _ARGS.fullmatch(word)]
    if fixed == rest:
        raise InputError(f"the command in {file} passes no parameters on: it lacks ${{args_no_hyphens}}.")
    return fixed


def _metric(content: dict[str, Any], file: Path) -> tuple[str, bool] | None:
    metric = content.get("metric")
    if metric is None:
        return None
    name, goal = (metric.get("name"), metric.get("goal", "minimize")) if isinstance(metric, dict) else (metric, "")
    if goal not in ("minimize", "maximize"):
        raise InputError(f"metric in {file} needs a name, and a goal that is minimize or maximize.")
    if name not in NUMBERS:
        raise InputError(
            f"the metric {name!r} in {file} is no number of a run's summary{did_you_mean(str(name), NUMBERS)}."
        )
    return str(name), goal == "maximize"
