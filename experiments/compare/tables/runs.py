"""What a table is made of: all seeds of one method on one data set, read from the cells of a grid and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.methods.base import Method
from ipo_prompts.experiments.data.dataset import DIFFERENT, why_different
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Sampling

CellContent = Mapping[str, Any]


@dataclass(frozen=True)
class Runs:
    """A method on a data set under its seeds; all sides keep the order of `seeds`.

    Attributes:
        seeds: ascending.
        values: side ("base", "test", a target's name …) → what each unit contributes, (seeds, units): 1.0 for a hit,
            or a fraction such as a scene's IoU.
        sampling: side → how its units were drawn.
        cells: one per seed.
        is_fixed: whether no seed changes it; a row with a label of its own may depend on it.
    """

    data: str
    method: str
    seeds: tuple[int, ...]
    values: Mapping[str, Doubles]
    sampling: Mapping[str, Sampling]
    cells: tuple[CellContent, ...]
    is_fixed: bool = False

    def at(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of some seeds; the one run of a method that no seed changes stands for any seed."""
        if tuple(seeds) == self.seeds:
            return self
        rows = [self.seeds.index(seed) if seed in self.seeds else 0 for seed in seeds]
        values = {side: found[rows] for side, found in self.values.items()}
        return replace(self, seeds=tuple(seeds), values=values, cells=tuple(self.cells[row] for row in rows))

    def ran_with_its_seeds(self) -> bool:
        """Whether every row is of a run with that very seed; see `at`."""
        return all(cell["cell"]["seed"] == seed for seed, cell in zip(self.seeds, self.cells, strict=True))

    @cached_property
    def means(self) -> dict[str, float]:
        """Side → value averaged over seeds."""
        return {side: float(values.mean()) for side, values in self.values.items()}

    @cached_property
    def gaps(self) -> dict[str, str]:
        """Side → why the method has no score there, where others may have one."""
        return {side: why for cell in self.cells for side, why in cell["gaps"].items()}

    def counts_hits(self, side: str) -> bool:
        """Whether the units of a side are right or wrong."""
        return all("hits" in cell["scores"][side] for cell in self.cells)

    def same_templates(self, other: Runs) -> bool:
        """Whether both ended with the same templates under every seed, so that nothing is to be compared.

        Where the same text scores differently, another CLIP or other class names make the difference.
        """
        ours, theirs = ([cell.get("templates") for cell in runs.cells] for runs in (self, other))
        scored_alike = self.values.keys() == other.values.keys() and all(
            np.array_equal(values, other.values[side]) for side, values in self.values.items()
        )
        return None not in ours and ours == theirs and scored_alike


@dataclass(frozen=True)
class Grid:
    """All cells of one table.

    Attributes:
        protocol: of every cell.
        measure: what the values are, "accuracy" or a reward's own such as "mean IoU".
        unit: what they are of, in the plural: "pictures", "queries", "scenes".
        sides: in the order of their columns.
        runs: (data, method) → runs.
        absent: (data, method) → why some or all of its seeds are missing.
        splits: data → "official", "own" or "different: why".
    """

    protocol: str
    measure: str
    unit: str
    data: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    sides: tuple[str, ...]
    runs: Mapping[tuple[str, str], Runs]
    absent: Mapping[tuple[str, str], tuple[str, ...]]
    splits: Mapping[str, str]


def align(a: Runs, b: Runs) -> tuple[Runs, Runs] | None:
    """Bring two methods to the seeds that both ran with; None when there are none."""
    if a.is_fixed:
        seeds = list(b.seeds)
    elif b.is_fixed:
        seeds = list(a.seeds)
    else:
        seeds = [seed for seed in a.seeds if seed in b.seeds]
    return (a.at(seeds), b.at(seeds)) if seeds else None


Key = tuple[str, str, int]
"""Data, method, seed."""


def read_grid(cells: Sequence[CellContent], data_order: Sequence[str], methods: Mapping[str, Method]) -> Grid:
    """Check cells and put them in order; the order of `cells` does not matter.

    The rows that are methods as they are come first, in the order of `methods`.

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
    keys = sorted(by_key, key=lambda key: (rank(key[0], data_order), rank(key[1], list(methods)), key[2]))
    scored = {key: by_key[key] for key in keys if not by_key[key].get("absent")}
    if not scored:
        raise InputError("no cell of this table has scores; see the messages of the runs.")
    measure = _the_one("measures", [cell["measure"] for cell in scored.values()])
    unit = _the_one("units", [cell["unit"] for cell in scored.values()])
    _check_scores(scored, unit)
    rows: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        rows.setdefault(key[:2], []).append(key)
    reasons = {row: [str(by_key[key]["absent"]) for key in found if key not in scored] for row, found in rows.items()}
    found = {row: {key: scored[key] for key in found if key in scored} for row, found in rows.items()}
    sides = {side for cell in scored.values() for side in cell["scores"]}
    return Grid(
        protocol=protocol,
        measure=measure,
        unit=unit,
        data=tuple(dict.fromkeys(key[0] for key in keys)),
        methods=tuple(sorted({key[1] for key in keys}, key=lambda method: rank(method, list(methods)))),
        seeds=tuple(sorted({key[2] for key in keys})),
        sides=tuple(sorted(sides, key=lambda side: rank(side, ("base", "new", "test", "source", *data_order)))),
        runs={row: _runs(cells, methods.get(row[1])) for row, cells in found.items() if cells},
        absent={row: tuple(dict.fromkeys(why)) for row, why in reasons.items() if why},
        splits={key[0]: _split(cell["scores"]) for key, cell in scored.items()},
    )


def _split(scores: Mapping[str, Any]) -> str:
    """The split of a row; where its columns are data sets of their own, each that differs is named."""
    splits = {side: str(score["split"]) for side, score in sorted(scores.items())}
    different = {side: why for side, split in splits.items() if (why := why_different(split))}
    if not different or len(set(splits.values())) == 1:
        return splits[next(iter(different or splits))]
    return DIFFERENT + "; ".join(f"{side}: {why}" for side, why in different.items())


def _runs(cells: Mapping[Key, CellContent], known: Method | None) -> Runs:
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
        sampling={
            side: Sampling.of(score["n"], score.get("labels"), score.get("draws"))
            for side, score in first["scores"].items()
        },
        cells=tuple(cells.values()),
        is_fixed=known is not None and not known.depends_on_seed,
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
    numbers = found if isinstance(found, list) and len(found) == n else []
    if name == "values" and not (numbers and all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers)):
        return f"its values are not {n} numbers"
    for what in ("labels", "draws"):
        if score.get(what) is not None and len(score[what]) != n:
            return f"it has {len(score[what])} {what} for n = {n}"
    value, mean = score["value"], float(_values(score).mean())
    return None if abs(mean - value) <= 1e-5 else f"its value {value} is not the mean of its {name}, {mean:.6f}"


def _name(key: Key) -> str:
    return f"{key[0]} / {key[1]} / seed {key[2]}"


def rank(name: str, order: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
    """The place in an order; names outside it follow, "n = 5" before "n = 10"."""
    pieces = [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d+)", name)]
    return (list(order).index(name) if name in order else len(order), pieces)


def _values(score: Mapping[str, Any]) -> Doubles:
    if "hits" not in score:
        return np.asarray(score["values"], dtype=np.float64)
    return (np.frombuffer(score["hits"].encode("ascii"), np.uint8) - ord("0")).astype(np.float64)
