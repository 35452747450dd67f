"""From `cell.json` files to a grid of runs, checked to be whole and comparable."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.tables.runs import CellContent, Grid, Runs
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Sampling

Key = tuple[str, str, int]
"""Data, method, seed."""


def read_grid(cells: Sequence[CellContent], data_order: Sequence[str], method_order: Sequence[str]) -> Grid:
    """Check cells and put them in order; the order of `cells` does not matter.

    A cell that could not be made has its reason under `absent`, and no scores.

    Raises:
        InputError: no cells; two protocols, measures or units; a cell twice; hits or values that do not fit n, the
            value or groups; pictures that differ between cells to be compared.
    """
    if not cells:
        raise InputError("there are no cells to make a table of; run the benchmark first.")
    protocol = _the_one("protocols", [cell["cell"]["protocol"] for cell in cells])
    by_key: dict[Key, CellContent] = {}
    for cell in cells:
        about = cell["cell"]
        key = str(about["data"]), str(about["method"]), int(about["seed"])
        if key in by_key:
            raise InputError(f"the cell {_name(key)} is there twice; keep one of the two.")
        by_key[key] = cell
    keys = sorted(by_key, key=lambda key: (_rank(key[0], data_order), _rank(key[1], method_order), key[2]))
    scored = {key: by_key[key] for key in keys if not by_key[key].get("absent")}
    if not scored:
        raise InputError("no cell of this table has scores; see the messages of the runs.")
    measure = _the_one("measures", [cell["measure"] for cell in scored.values()])
    unit = _the_one("units", [cell["unit"] for cell in scored.values()])
    _check_scores(scored, unit)
    rows: dict[tuple[str, str], dict[Key, CellContent]] = {}
    absent: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        if key in scored:
            rows.setdefault(key[:2], {})[key] = scored[key]
        else:
            absent.setdefault(key[:2], []).append(str(by_key[key]["absent"]))
    sides = {side for cell in scored.values() for side in cell["scores"]}
    return Grid(
        protocol=protocol,
        measure=measure,
        unit=unit,
        data=tuple(dict.fromkeys(key[0] for key in keys)),
        methods=tuple(sorted({key[1] for key in keys}, key=lambda method: _rank(method, method_order))),
        seeds=tuple(sorted({key[2] for key in keys})),
        sides=tuple(sorted(sides, key=lambda side: _rank(side, ("base", "new", "test", "source", *data_order)))),
        runs={row: _runs(found) for row, found in rows.items()},
        absent={row: tuple(dict.fromkeys(reasons)) for row, reasons in absent.items()},
        splits={key[0]: _split(cell["scores"]) for key, cell in scored.items()},
    )


def _split(scores: Mapping[str, Any]) -> str:
    """The split of a row; where its columns are data sets of their own, each that differs is named."""
    splits = {side: str(score["split"]) for side, score in sorted(scores.items())}
    different = {side: split for side, split in splits.items() if split.startswith("different")}
    if not different or len(set(splits.values())) == 1:
        return next(iter(different.values() or splits.values()))
    return "different: " + "; ".join(
        f"{side}: {split.partition(':')[2].strip() or 'not the official one'}" for side, split in different.items()
    )


def _runs(cells: Mapping[Key, CellContent]) -> Runs:
    """The cells of one row, in the order of their seeds."""
    (data, method, seed), first = next(iter(cells.items()))
    for key, cell in cells.items():
        if {*cell["scores"]} != {*first["scores"]}:
            raise InputError(f"the cell {_name(key)} has other columns than that of seed {seed}; run it again.")
    return Runs(
        data=data,
        method=method,
        seeds=tuple(key[2] for key in cells),
        values={side: np.stack([_values(cell["scores"][side]) for cell in cells.values()]) for side in first["scores"]},
        sampling={side: _sampling(score) for side, score in first["scores"].items()},
        cells=tuple(cells.values()),
    )


def _the_one(what: str, names: Sequence[str]) -> str:
    found = sorted(set(names))
    if len(found) > 1:
        raise InputError(f"one table cannot hold the {what} {' and '.join(found)}; make one table for each.")
    return found[0]


def _check_scores(cells: Mapping[Key, CellContent], unit: str) -> None:
    """Refuse damaged scores, and cells of one data set that were tested on different units."""
    seen: dict[tuple[str, str], tuple[Key, Any]] = {}
    for key, cell in cells.items():
        for side, score in cell["scores"].items():
            wrong = _damage(score)
            if wrong:
                raise InputError(f"the {side} score of the cell {_name(key)} is damaged: {wrong}; run the cell again.")
            tested = (cell["picture_ids"].get(side), score["n"], score.get("labels"), score.get("draws"))
            first, expected = seen.setdefault((key[0], side), (key, tested))
            if tested != expected:
                raise InputError(
                    f"the cells {_name(first)} and {_name(key)} were tested on different {side} {unit} or groups of "
                    f"them, so that they cannot be compared; run one of the two again on the {unit} of the other."
                )


def _damage(score: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a score, in part of a sentence."""
    n, name = score["n"], "hits" if "hits" in score else "values"
    found = score.get(name)
    if name == "hits" and (not found or len(found) != n or set(found) - {"0", "1"}):
        return f"its hits are not {n} zeros and ones"
    if name == "values" and not (isinstance(found, list) and found and len(found) == n and all(map(_finite, found))):
        return f"its values are not {n} numbers"
    for what in ("labels", "draws"):
        if score.get(what) is not None and len(score[what]) != n:
            return f"it has {len(score[what])} {what} for n = {n}"
    value, mean = score["value"], float(_values(score).mean())
    return None if abs(mean - value) <= 1e-5 else f"its value {value} is not the mean of its {name}, {mean:.6f}"


def _finite(number: Any) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)


def _name(key: Key) -> str:
    return f"{key[0]} / {key[1]} / seed {key[2]}"


def _rank(name: str, order: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
    """The place in an order; names outside it follow, "n = 5" before "n = 10"."""
    pieces = [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d+)", name)]
    return (list(order).index(name) if name in order else len(order), pieces)


def _values(score: Mapping[str, Any]) -> Doubles:
    if "hits" not in score:
        return np.asarray(score["values"], dtype=np.float64)
    return (np.frombuffer(score["hits"].encode("ascii"), np.uint8) - ord("0")).astype(np.float64)


def _sampling(score: Mapping[str, Any]) -> Sampling:
    return Sampling.of(score["n"], score.get("labels"), score.get("draws"))
