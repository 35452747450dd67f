"""Reads a sweep file of Weights & Biases (W&B) as a grid: every combination of its parameters is a row of one table.

The format is W&B's (https://docs.wandb.ai/models/sweeps/sweep-config-keys). So `wandb sweep` and `wandb agent`, which
need a key of W&B, can run the same file. The parameters are settings of `ipo optimize`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipo_prompts.experiments.run.config import dotted, nested, overlaid
from ipo_prompts.experiments.run.reading import read_words
from ipo_prompts.metrics.errors import InputError, input_error

MOST = 1_000
"""The most data sets, targets, rows and seeds of a grid, so that a typing error does not cost a week."""
OURS = ("count", "draw_seed")
"""Words of the command line that concern the sweep itself."""
METHODS = {"default": "ipo-default", "paper": "ipo-paper", "code": "ipo-code"}
"""Preset → the method that searches with the settings of that preset."""
SHARED = ("clip", "background", "class_names", "reward", "classes")
"""Settings that change the score of a given template. All rows of a table must share them to be comparable."""
METRIC = {"name": "selection/gain", "goal": "maximize"}

_DRAWN: dict[str, tuple[tuple[str, str], Callable[[np.random.Generator, float, float], float]]] = {
    "uniform": (("min", "max"), lambda rng, low, high: rng.uniform(low, high)),
    "int_uniform": (("min", "max"), lambda rng, low, high: float(rng.integers(math.ceil(low), math.floor(high) + 1))),
    "log_uniform": (("min", "max"), lambda rng, low, high: math.exp(rng.uniform(low, high))),
    "log_uniform_values": (("min", "max"), lambda rng, low, high: math.exp(rng.uniform(math.log(low), math.log(high)))),
    "normal": (("mu", "sigma"), lambda rng, mean, deviation: rng.normal(mean, deviation)),
    "log_normal": (("mu", "sigma"), lambda rng, mean, deviation: rng.lognormal(mean, deviation)),
    "beta": (("a", "b"), lambda rng, a, b: rng.beta(a, b)),
}
"""Distribution → the names of its numbers, and a function that draws a value from these numbers.

The prefix `q_` before the name of a distribution rounds its values to multiples of `q`.
"""


class Parameter(BaseModel):
    """The entry of a sweep file for one setting, or for a group of settings."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    value: Any = None
    values: list[Any] | None = Field(None, min_length=1)
    probabilities: list[float] | None = None
    distribution: str | None = None
    min: int | float | None = None
    max: int | float | None = None
    mu: float = 0.0
    sigma: float = 1.0
    a: float | None = None
    b: float | None = None
    q: float = 1.0
    parameters: dict[str, Parameter] | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether every run has the same value."""
        return "value" in self.model_fields_set

    @property
    def kind(self) -> str:
        """The name of the distribution. As in W&B, the default is `int_uniform` if both `min` and `max` are whole."""
        whole = isinstance(self.min, int) and isinstance(self.max, int)
        return self.distribution or ("int_uniform" if whole else "uniform")

    def all(self) -> Sequence[Any]:
        """Return all values of the parameter, in order; empty if the values cannot be listed."""
        if self.values is not None or self.kind != "int_uniform" or self.min is None or self.max is None:
            return self.values or ()
        return range(math.ceil(self.min), math.floor(self.max) + 1)

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a random value. Values of a continuous distribution have six significant digits.

        Raises:
            ValueError, ArithmeticError: no value can be drawn; the message says why.
        """
        if self.values is not None:
            return self.values[rng.choice(len(self.values), p=self.probabilities)]
        kind, rounded = self.kind.removeprefix("q_"), self.kind.startswith("q_")
        if kind not in _DRAWN:
            raise ValueError(f"there is no distribution {self.kind!r}; there are: {', '.join(_DRAWN)}")
        names, drawn = _DRAWN[kind]
        if lacking := [name for name in names if getattr(self, name) is None]:
            raise ValueError(f"it needs {' and '.join(lacking)}")
        value = drawn(rng, *(getattr(self, name) for name in names))
        value = round(value / self.q) * self.q if rounded else value
        whole = self.q.is_integer() if rounded else kind == "int_uniform"
        return round(value) if whole else float(f"{value:.6g}")


class SweepFile(BaseModel):
    """The content of a sweep file: the keys of W&B that a grid supports, and our own words `count` and `draw_seed`."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["grid", "random"]
    parameters: dict[str, Parameter] = Field(min_length=1)
    command: list[str] = ["ipo", "optimize", "${args_no_hyphens}"]
    program: Literal["ipo"] | None = None
    run_cap: int | None = Field(None, ge=1)
    metric: dict[str, Any] = METRIC
    name: str | None = None
    description: Any = None
    project: Any = None
    entity: Any = None
    count: int | None = Field(None, ge=1)
    draw_seed: int = Field(0, ge=0)


def grid_of(content: dict[str, Any], file: Path, words: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return the content of a grid file that runs the combinations of a sweep file.

    A random search with a larger `count` begins with the same rows, so it can go on in the same folder. A combination
    that is drawn twice is one row. Seeds and data sets are not drawn: each row is done for all of them.

    Args:
        content: the content of the sweep file.
        file: the path of the sweep file, for messages and the title.
        words: words of the command line. `count` is the largest number of rows; `draw_seed` is the seed that draws the
            rows.

    Returns:
        The content of the grid file, and the words that are not about the sweep, for the grid.

    Raises:
        InputError: the file is no sweep file, a parameter cannot be listed or drawn, the file asks for something that
            only the server of W&B can do, or a word sets a swept parameter.
    """
    given = read_words(words)
    sweep = _checked({**content, **{key: given[key] for key in OURS if key in given}}, file)
    parameters = dict(_flat(sweep.parameters))
    left = [word for word in words if word.removeprefix("--").partition("=")[0] not in OURS]
    set_here = dotted(nested(read_words(left)))
    fixed = overlaid(
        nested(_of_command(sweep.command, file)), nested({n: p.value for n, p in parameters.items() if p.is_fixed})
    )
    swept = {name: how for name, how in parameters.items() if not how.is_fixed}
    for name in swept:
        (full,) = dotted(nested({name: ""}))  # `strategy` and `strategy.name` are one setting
        if full in set_here:
            raise InputError(f"{name} is swept in {file}; take it from the command line or from the file.")
        if full.partition(".")[0] in SHARED:
            raise InputError(
                f"{name} is swept in {file}, and the rows of a table share it, since it changes what they are held "
                f"against; fix it, and run the file once for each {name}."
            )
    preset = fixed.pop("preset", "default")
    protocol = "base-to-new" if fixed.pop("classes", "all") == "base-to-new" else "few-shot"
    fixed.pop("track", None)
    data, seeds = (_each(name, swept, fixed, default, file) for name, default in (("data", "embedded"), ("seed", 0)))
    limits = [limit for limit in (sweep.count, sweep.run_cap) if limit is not None]
    if sweep.method == "random" and not limits:
        raise InputError("a random search does not end by itself; say how many rows: count=N, or run_cap in the file.")
    combinations = _product(swept, file) if sweep.method == "grid" else _draws(swept, sweep.draw_seed, file)
    rows = {}
    for one in itertools.islice(combinations, min([*limits, MOST + 1])):
        label = ", ".join(f"{name}={value}" for name, value in one.items())
        method = one.pop("preset", preset)
        method = METHODS.get(method, method)
        rows[label] = {"label": label or method, "method": method, "settings": one}
    grid = {"title": sweep.name or file.stem, "protocol": protocol, "data": data, "seeds": seeds}
    return {**grid, "methods": ["baseline", *rows.values()], "settings": dotted(fixed)}, left


def _checked(content: dict[str, Any], file: Path) -> SweepFile:
    if content.get("method") == "bayes" or "early_terminate" in content:
        raise InputError(
            f"the method bayes and early_terminate of {file} need the server of Weights & Biases (`wandb sweep`), "
            "which knows other runs; here a sweep has the method grid or random and stops no run early."
        )
    try:
        sweep = SweepFile.model_validate(content)
    except ValidationError as error:
        raise input_error(error, str(file)) from error
    if not METRIC.items() <= sweep.metric.items():
        raise InputError(
            f"the metric in {file} is not selection/gain with the goal maximize, by which rows are compared here: test "
            "pictures that were used to choose cannot test the choice."
        )
    return sweep


def _flat(parameters: dict[str, Parameter], above: str = "") -> Iterator[tuple[str, Parameter]]:
    """Yield each parameter with its dotted name; parameters in groups are included."""
    for name, how in parameters.items():
        yield from [(above + name, how)] if how.parameters is None else _flat(how.parameters, f"{above}{name}.")


def _of_command(command: list[str], file: Path) -> dict[str, Any]:
    """Return the settings that the words of a sweep file's command set."""
    rest = command[command.index("optimize") + 1 :] if "optimize" in command else []
    words = [word for word in rest if not re.fullmatch(r"\$\{args(_\w+)?\}", word)]
    if words == rest:
        raise InputError(
            f"the command in {file} is not of the form [ipo, optimize, …, ${{args_no_hyphens}}]; leave it out, or "
            "take `wandb sweep`, which runs other programs too."
        )
    return nested(read_words(words))  # refuses files: a run's file may name code nobody typed


def _each(name: str, swept: dict[str, Parameter], fixed: dict[str, Any], default: Any, file: Path) -> list[Any]:
    """Remove a setting from the swept or fixed settings; return its values. Each row is done for all these values."""
    return _values(name, swept.pop(name), file) if name in swept else [fixed.pop(name, default)]


def _values(name: str, how: Parameter, file: Path) -> list[Any]:
    values = list(itertools.islice(how.all(), MOST + 1))  # MOST + 1 values are refused by the grid's limit
    if not values:
        raise InputError(f"{name} in {file} needs a list of values, or whole numbers from min to max.")
    return values


def _product(swept: dict[str, Parameter], file: Path) -> Iterator[dict[str, Any]]:
    for chosen in itertools.product(*(_values(name, how, file) for name, how in swept.items())):
        yield dict(zip(swept, chosen, strict=True))


def _draws(swept: dict[str, Parameter], seed: int, file: Path) -> Iterator[dict[str, Any]]:
    for number in itertools.count():
        rng, drawn = np.random.default_rng([seed, number]), {}
        for name, how in swept.items():
            try:
                drawn[name] = how.draw(rng)
            except (ValueError, ArithmeticError) as error:
                why, _, _ = str(error).partition(". ")  # numpy adds a pointer to its pages
                raise InputError(f"the parameter {name} in {file} cannot be drawn: {why}.") from error
        yield drawn
