"""From `cell.json` files to runs: all seeds of one method on one data set, checked to be comparable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipo.metrics.errors import InputError
from ipo.metrics.statistics import Floats

Cell = Mapping[str, Any]

FIXED_METHODS = frozenset({"anchor", "class-name", "hand-written", "ensemble-80"})
"""Methods that no seed changes: one run of theirs is their run under every seed."""


@dataclass(frozen=True)
class Runs:
    """A method on a data set under its seeds; all sides keep the order of `seeds`.

    Attributes:
        seeds: ascending.
        hits: side ("base", "test", a target's name …) → (seeds, pictures).
        groups: side → number of the group of each picture, from 0 (pictures,), or None where pictures are independent.
        cells: one per seed.
    """

    data: str
    method: str
    seeds: tuple[int, ...]
    hits: Mapping[str, Floats]
    groups: Mapping[str, NDArray[np.int64] | None]
    cells: tuple[Cell, ...]

    def at(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of some seeds; a fixed method's one run stands for any seed."""
        if tuple(seeds) == self.seeds:
            return self
        rows = [self.seeds.index(seed) if seed in self.seeds else 0 for seed in seeds]
        hits = {side: values[rows] for side, values in self.hits.items()}
        return replace(self, seeds=tuple(seeds), hits=hits, cells=tuple(self.cells[row] for row in rows))

    def ran_with_its_seeds(self) -> bool:
        """Whether every row is of a run with that very seed; see `at`."""
        return all(cell["cell"]["seed"] == seed for seed, cell in zip(self.seeds, self.cells, strict=True))

    @cached_property
    def means(self) -> dict[str, float]:
        """Side → accuracy averaged over seeds."""
        return {side: float(values.mean()) for side, values in self.hits.items()}

    @property
    def templates(self) -> list[Any]:
        """The templates with their weights, per seed."""
        return [cell.get("templates") for cell in self.cells]

    def same_templates(self, other: Runs) -> bool:
        """Whether both ended with the same templates under every seed, so that nothing is to be compared."""
        return None not in self.templates and self.templates == other.templates


@dataclass(frozen=True)
class Grid:
    """All cells of one table.

    Attributes:
        protocol: of every cell.
        sides: in the order of their columns.
        runs: (data, method) → runs.
        absent: (data, method) → why some or all of its seeds are missing.
        splits: data → "official", "own" or "different: why".
    """

    protocol: str
    data: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    sides: tuple[str, ...]
    runs: Mapping[tuple[str, str], Runs]
    absent: Mapping[tuple[str, str], tuple[str, ...]]
    splits: Mapping[str, str]


def align(a: Runs, b: Runs) -> tuple[Runs, Runs] | None:
    """Bring two methods to the seeds that both ran with; None when there are none."""
    if a.method in FIXED_METHODS:
        seeds = list(b.seeds)
    elif b.method in FIXED_METHODS:
        seeds = list(a.seeds)
    else:
        seeds = [seed for seed in a.seeds if seed in b.seeds]
    return (a.at(seeds), b.at(seeds)) if seeds else None


def read_grid(cells: Sequence[Cell], data_order: Sequence[str], method_order: Sequence[str]) -> Grid:
    """Check cells and put them in order; the order of `cells` does not matter.

    A cell that could not be made has its reason under `absent`, and no scores.

    Raises:
        InputError: no cells; two protocols; a cell twice; hits that do not fit n, accuracy or groups; pictures that
            differ between cells to be compared.
    """
    if not cells:
        raise InputError("there are no cells to make a table of; run the benchmark first.")
    protocols = sorted({str(cell["cell"]["protocol"]) for cell in cells})
    if len(protocols) > 1:
        raise InputError(f"one table cannot hold the protocols {' and '.join(protocols)}; make one table for each.")
    by_key: dict[tuple[str, str, int], Cell] = {}
    for cell in cells:
        key = _key(cell)
        if not cell.get("absent") and cell.get("schema") != 1:
            raise InputError(f"the cell {_name(key)} has schema {cell.get('schema')!r}; this version reads 1.")
        if key in by_key:
            raise InputError(f"the cell {_name(key)} is there twice; keep one of the two.")
        by_key[key] = cell
    keys = sorted(by_key, key=lambda key: (_rank(key[0], data_order), _rank(key[1], method_order), key[2]))
    scored = [key for key in keys if not by_key[key].get("absent")]
    if not scored:
        raise InputError("no cell of this table has scores; see the messages of the runs.")
    for key in scored:
        _check_scores(key, by_key[key])
    _check_same_pictures(scored, by_key)
    runs: dict[tuple[str, str], Runs] = {}
    for data, method in dict.fromkeys(key[:2] for key in scored):
        runs[data, method] = _runs([(key, by_key[key]) for key in scored if key[:2] == (data, method)])
    absent: dict[tuple[str, str], tuple[str, ...]] = {}
    for key in keys:
        if key not in scored:
            reasons = absent.get(key[:2], ())
            reason = str(by_key[key]["absent"])
            absent[key[:2]] = reasons if reason in reasons else (*reasons, reason)
    splits = {}
    for key in scored:
        splits[key[0]] = _split(by_key[key]["scores"])
    sides = list(dict.fromkeys(side for key in scored for side in by_key[key]["scores"]))
    return Grid(
        protocol=protocols[0],
        data=tuple(dict.fromkeys(key[0] for key in keys)),
        methods=tuple(sorted({key[1] for key in keys}, key=lambda method: _rank(method, method_order))),
        seeds=tuple(sorted({key[2] for key in keys})),
        sides=tuple(sorted(sides, key=lambda side: _rank(side, ("base", "new", "test", "source", *data_order)))),
        runs=runs,
        absent=absent,
        splits=splits,
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


def _runs(cells: Sequence[tuple[tuple[str, str, int], Cell]]) -> Runs:
    (data, method, _), first = cells[0]
    sides = sorted(first["scores"])
    for key, cell in cells:
        if sorted(cell["scores"]) != sides:
            raise InputError(
                f"the cell {_name(key)} has other columns than that of seed {cells[0][0][2]}; run it again."
            )
    return Runs(
        data=data,
        method=method,
        seeds=tuple(key[2] for key, _ in cells),
        hits={side: np.stack([_hits(cell["scores"][side]["hits"]) for _, cell in cells]) for side in sides},
        groups={side: _array(_groups(first["scores"][side])) for side in sides},
        cells=tuple(cell for _, cell in cells),
    )


def _check_scores(key: tuple[str, str, int], cell: Cell) -> None:
    for side, score in cell["scores"].items():
        hits, n, groups = str(score["hits"]), score["n"], score.get("groups")
        wrong = None
        if not hits or len(hits) != n or set(hits) - {"0", "1"}:
            wrong = f"its hits are not {n} zeros and ones"
        elif groups is not None and len(groups) != n:
            wrong = f"it has {len(groups)} groups for {n} pictures"
        elif abs(hits.count("1") / n - float(score["accuracy"])) > 1e-5:
            wrong = f"its accuracy {score['accuracy']} is not that of its hits, {hits.count('1') / n:.6f}"
        if wrong:
            raise InputError(f"the {side} score of the cell {_name(key)} is damaged: {wrong}; run the cell again.")


def _check_same_pictures(keys: Sequence[tuple[str, str, int]], cells: Mapping[tuple[str, str, int], Cell]) -> None:
    seen: dict[tuple[str, str], tuple[tuple[str, str, int], Any]] = {}
    for key in keys:
        for side, score in cells[key]["scores"].items():
            pictures = (cells[key]["picture_ids"].get(side), score["n"], _groups(score))
            first, expected = seen.setdefault((key[0], side), (key, pictures))
            if pictures != expected:
                raise InputError(
                    f"the cells {_name(first)} and {_name(key)} were tested on different {side} pictures or groups of "
                    "them, so that they cannot be compared; run one of the two again on the pictures of the other."
                )


def _key(cell: Cell) -> tuple[str, str, int]:
    about = cell["cell"]
    return str(about["data"]), str(about["method"]), int(about["seed"])


def _name(key: tuple[str, str, int]) -> str:
    return f"{key[0]} / {key[1]} / seed {key[2]}"


def _rank(name: str, order: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
    """The place in an order; names outside it follow, "n = 5" before "n = 10"."""
    pieces = [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d+)", name)]
    return (list(order).index(name) if name in order else len(order), pieces)


def _hits(text: str) -> Floats:
    bits: NDArray[np.uint8] = np.frombuffer(text.encode("ascii"), dtype=np.uint8) - ord("0")
    return bits.astype(np.float64)


def _groups(score: Mapping[str, Any]) -> tuple[int, ...] | None:
    groups = score.get("groups")
    return None if groups is None else tuple(groups)


def _array(groups: tuple[int, ...] | None) -> NDArray[np.int64] | None:
    return None if groups is None else np.unique(np.array(groups), return_inverse=True)[1].astype(np.int64)
