"""One parameter of a sweep file: checked, listed for a grid, drawn for a random search."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare.setting_names import setting_names
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nearest import did_you_mean

DISTRIBUTIONS: dict[str, Callable[[random.Random, dict[str, float]], float]] = {
    "uniform": lambda rng, p: rng.uniform(p["min"], p["max"]),
    "int_uniform": lambda rng, p: rng.randint(math.ceil(p["min"]), math.floor(p["max"])),
    "q_uniform": lambda rng, p: rng.uniform(p["min"], p["max"]),
    "log_uniform": lambda rng, p: math.exp(rng.uniform(p["min"], p["max"])),
    "log_uniform_values": lambda rng, p: math.exp(rng.uniform(math.log(p["min"]), math.log(p["max"]))),
    "q_log_uniform_values": lambda rng, p: math.exp(rng.uniform(math.log(p["min"]), math.log(p["max"]))),
    "normal": lambda rng, p: rng.gauss(p["mu"], p["sigma"]),
    "q_normal": lambda rng, p: rng.gauss(p["mu"], p["sigma"]),
}
"""How each distribution is drawn without a server; those with q_ are then rounded to steps of q."""
_DEFAULTS = {"mu": 0.0, "sigma": 1.0, "q": 1.0}


def checked(name: str, how: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a parameter with `value`, with `values`, or with a distribution and all of its numbers.

    Args:
        name: the setting that is swept.
        how: what the file says of it.
        file: the sweep file, for messages.

    Raises:
        InputError: no such setting, or values or a distribution that cannot be drawn from.
    """
    known = setting_names()
    if name not in known:
        raise InputError(f"unknown setting {name!r} is swept in {file}{did_you_mean(name, known)}.")
    if "value" in how:
        return how
    try:
        return _listed(how) if "values" in how else _distributed(how)
    except ValueError as error:
        raise InputError(f"the parameter {name} in {file} {error}.") from error


def _listed(how: dict[str, Any]) -> dict[str, Any]:
    values, odds = how["values"], how.get("probabilities")
    if not isinstance(values, list) or not values:
        raise ValueError("has no list of values")
    if odds is not None:
        fits = isinstance(odds, list) and len(odds) == len(values) and all(_number(one) and one >= 0 for one in odds)
        if not fits or not math.isclose(sum(odds), 1, abs_tol=1e-6):
            raise ValueError("needs one probability for each value, with the sum 1")
    return how


def _distributed(how: dict[str, Any]) -> dict[str, Any]:
    whole = all(isinstance(how.get(end), int) for end in ("min", "max"))
    kind = how.get("distribution", "int_uniform" if whole else "uniform")
    if not isinstance(kind, str) or kind not in DISTRIBUTIONS:
        raise ValueError(f"has the distribution {kind!r}; there are: {', '.join(DISTRIBUTIONS)}")
    names = ["mu", "sigma"] if kind.endswith("normal") else ["min", "max"]
    if kind.startswith("q_"):
        names.append("q")
    numbers: dict[str, Any] = {key: how.get(key, _DEFAULTS.get(key)) for key in names}
    wrong = next((key for key, value in numbers.items() if not _number(value)), None)
    if wrong:
        raise ValueError(f"needs a number for {wrong}")
    if "min" in numbers and numbers["min"] > numbers["max"]:
        raise ValueError("has a min above its max")
    if kind.endswith("log_uniform_values") and numbers["min"] <= 0:
        raise ValueError("needs a min above 0 for a logarithm")
    if numbers.get("q", 1) <= 0 or numbers.get("sigma", 1) < 0:
        raise ValueError("needs a positive q and sigma")
    if kind == "int_uniform" and math.ceil(numbers["min"]) > math.floor(numbers["max"]):
        raise ValueError("has no whole number between its min and its max")
    return {"distribution": kind, **numbers}


def grid_values(name: str, how: dict[str, Any]) -> list[Any]:
    """Return every value of a checked parameter.

    Raises:
        InputError: it is continuous.
    """
    if "value" in how:
        return [how["value"]]
    if "values" in how:
        return list(how["values"])
    if how["distribution"] == "int_uniform":
        return list(range(math.ceil(how["min"]), math.floor(how["max"]) + 1))
    raise InputError(f"a grid needs values for {name}, not the distribution {how['distribution']}.")


def drawn(name: str, rng: random.Random, how: dict[str, Any]) -> Any:
    """Draw a value of a checked parameter.

    Raises:
        InputError: the draw is beyond what a number can hold.
    """
    if "value" in how:
        return how["value"]
    if "values" in how:
        return rng.choices(how["values"], how.get("probabilities"))[0]
    try:
        value = DISTRIBUTIONS[how["distribution"]](rng, how)
        if "q" not in how:
            return value
        value = round(value / how["q"]) * how["q"]
    except OverflowError as error:
        raise InputError(f"the {how['distribution']} of {name} is too wide to be drawn from; narrow it.") from error
    return round(value) if float(how["q"]).is_integer() else value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
