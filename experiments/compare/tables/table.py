"""Makes a table from cells (one per data set, method and seed): scores, gains with corrected p-values, and costs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.methods.base import Method
from ipo_prompts.experiments.compare.published import PublishedRow, data_key, library
from ipo_prompts.experiments.compare.tables.runs import (
    MEAN,
    MEAN_OF_H,
    MEAN_WITHOUT_EUROSAT,
    CellContent,
    ColumnScore,
    H,
    Runs,
    align,
    applies,
    column_score,
    difference,
    sides,
)
from ipo_prompts.experiments.data.dataset import DIFFERENT, why_different
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import Verdict, judge

REFERENCES = ("baseline", "hand-written", "ensemble-80")
"""A table shows gains over these methods, besides the gains over its reference."""
COUNTS = ("proposals", "scored_only", "calls", "tokens_in", "tokens_out")


@dataclass(frozen=True)
class Scope:
    """The subject of a row: one data set, or an average over several.

    Attributes:
        name: the data set, or "average", "average without EuroSAT".
        data: the data sets in the scope.
        split: "official", "own" or "different: why". An average has the first split of its data sets that is
            "different", else the split of its first data set.
    """

    name: str
    data: tuple[str, ...]
    split: str

    @property
    def is_average(self) -> bool:
        """Whether the scope averages data sets."""
        return self.name.startswith("average")


@dataclass(frozen=True)
class TableRow:
    """The scores of a method in a scope.

    Attributes:
        seeds: the number of seeds, the smallest over the data sets.
        absent: why cells of the row are missing; empty if none is missing.
        scores: column → score; None where the column does not apply. Empty if the method has no scores in the scope.
        labelled_per_class: the number of labelled pictures of each class that the method saw; None if not known.
        gaps: column → why the method has no score in it, though other methods may have one.
    """

    seeds: int
    absent: str
    scores: dict[str, ColumnScore | None]
    labelled_per_class: int | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodGain:
    """The gain of one method over another, in one column and scope.

    Attributes:
        verdict: the verdict, for the classes of a data set as given, or for the data sets of an average as given.
        seeds: the number of seeds that both methods have, the smallest over the data sets.
    """

    verdict: Verdict
    seeds: int


@dataclass(frozen=True)
class Table:
    """The numbers of a table, and the runs that the numbers were computed from.

    Attributes:
        measure, unit: the name of the values, and the name of what is scored: accuracy of pictures, mean IoU of scenes.
        headline: the column that verdicts are about.
        methods: the labels of the rows, in the order of the table.
        known: label → method, for the rows that stand for a method itself, not for a variant of it.
        runs: (data, method) → the runs of the method on the data set, where there are any.
        rows: (scope, method) → the scores of the method in the scope.
        gains: (scope, method, other, column) → the gain of the method over the other method.
        searches: (scope, method) → the cost and the optimism of the method's search. Each number is a mean per run,
            over seeds and data sets:

            - `search`, `selection`, `test`: the values of the final templates on pictures of the classes searched on.
              None where no pictures were drawn. A method that learns nothing from these pictures is scored on them,
              too.
            - `optimism`: the gain over the reference on the search pictures minus that gain on the test pictures. Both
              gains are paired, so that easier pictures do not look like over-fitting.
            - `proposals`, `scored_only`, `calls`, `tokens_in`, `tokens_out`: see `Budget`.
            - `usd`: the cost in US dollars; None where a price is unknown.
            - `gain_held_back`: the gain of the chosen template over the search's initial template on held-back
              pictures, see `Choice`; None where no pictures were held back.
    """

    protocol: str
    measure: str
    unit: str
    reference: str
    columns: tuple[str, ...]
    headline: str
    seeds: tuple[int, ...]
    scopes: tuple[Scope, ...]
    published: tuple[PublishedRow, ...]
    methods: list[str]
    known: Mapping[str, Method]
    runs: Mapping[tuple[str, str], Runs]
    rows: dict[tuple[str, str], TableRow] = field(default_factory=dict)
    gains: dict[tuple[str, str, str, str], MethodGain] = field(default_factory=dict)
    searches: dict[tuple[str, str], dict[str, float | None]] = field(default_factory=dict)

    @property
    def averages(self) -> list[Scope]:
        """The scopes that are averages; a table of one data set has none."""
        return [scope for scope in self.scopes if scope.is_average]

    @property
    def data_sets(self) -> list[Scope]:
        """The scopes that are data sets."""
        return [scope for scope in self.scopes if not scope.is_average]

    @property
    def rivals(self) -> list[str]:
        """The rows that IPO is compared with: its opponents, and in a table of several data sets all rows."""
        opponents = [name for name, method in self.known.items() if method.is_opponent]
        everyone = self.methods if len(self.data_sets) > 1 else []
        return [name for name in dict.fromkeys([*opponents, *everyone]) if name != SUBJECT]

    def over(self, scope: Scope, method: str, other: str) -> MethodGain | None:
        """Return the gain of a method over another in the headline; None where they are not compared."""
        return self.gains.get((scope.name, method, other, self.headline))


def build_table(
    cells: Sequence[CellContent],
    reference: str = "baseline",
    published: Sequence[PublishedRow] = (),
    methods: Mapping[str, Method] | None = None,
) -> Table:
    """Make the table of one protocol. The same cells give the same table, and the same bytes in its files.

    Args:
        cells: contents of `cell.json` files, in any order, each once. A cell that could not be made has no scores; its
            `absent` says why. At least one cell has scores.
        reference: the method that gains are computed over. Gains over the methods of `REFERENCES` are added.
        published: published rows to show beside our accuracies; see `published_rows`.
        methods: label → method, for the rows that stand for a method itself, not for a variant of it. These rows come
            first in the table, in this order. None takes the rows whose label is the name of a method.

    Raises:
        InputError: the cells have several measures or units, or cells that are compared differ in pictures or columns.
    """
    labels = {str(cell["cell"]["method"]) for cell in cells}
    known = {name: METHODS.find(name) for name in METHODS if name in labels} if methods is None else methods
    names = sorted(labels, key=lambda label: ([*known].index(label) if label in known else len(known), natural(label)))
    scored: dict[tuple[str, str], list[CellContent]] = defaultdict(list)
    absent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: (_place(cell["cell"]["data"]), cell["cell"]["seed"])):
        row = str(cell["cell"]["data"]), str(cell["cell"]["method"])
        if cell.get("absent"):
            absent[row].append(str(cell["absent"]))
        else:
            scored[row].append(cell)
    data = tuple(dict.fromkeys(sorted((name for name, _ in [*scored, *absent]), key=_place)))
    runs = {row: _runs(row, scored[row], known) for row in product(data, names) if row in scored}
    usable = [cell for one in runs.values() for cell in one.cells]
    measure, unit = (_the_one(f"{what}s", {cell[what] for cell in usable}) for what in ("measure", "unit"))
    _check_tested_alike(usable, unit)
    protocol = str(cells[0]["cell"]["protocol"])
    found = sorted({side for cell in usable for side in cell["scores"]}, key=_place)
    columns, headline = _columns(protocol, tuple(found), len(data) > 1)
    table = Table(
        protocol=protocol,
        measure=measure,
        unit=unit,
        reference=reference,
        columns=columns,
        headline=headline,
        seeds=tuple(sorted({int(cell["cell"]["seed"]) for cell in cells})),
        scopes=tuple(_scopes(data, columns, {row[0]: _split(one.cells[-1]["scores"]) for row, one in runs.items()})),
        published=tuple(published) if measure == "accuracy" else (),
        methods=names,
        known=known,
        runs=runs,
    )
    for scope in table.scopes:
        # An average over fewer data sets than the averages of other methods would mislead.
        rows = {name: [(one, name) for one in scope.data] for name in names}
        groups = {name: [runs[row] for row in found] for name, found in rows.items() if runs.keys() >= {*found}}
        for name in names:
            reasons = {row: absent.get(row, [] if row in runs else ["not run"]) for row in rows[name]}
            table.rows[scope.name, name] = _row(scope, columns, groups.get(name), reasons)
        table.gains.update(_gains(table, scope, groups))
        table.searches.update({(scope.name, name): _search(name, groups, reference) for name in groups})
    return table


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts "n = 5" before "n = 10"."""
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d+)", name)]


def _place(name: str) -> tuple[int, str]:
    """Return a sort key: sides come first, then data sets in the order of the papers, then other names by alphabet."""
    order, key = ["base", "new", "test", "source", *library().tables[0].rows], data_key(name)
    return order.index(key) if key in order else len(order), name


def _runs(row: tuple[str, str], cells: Sequence[CellContent], known: Mapping[str, Method]) -> Runs:
    """Return the runs of one method on one data set, from its cells in the order of their seeds."""
    first = cells[0]
    for cell in cells:
        if cell["scores"].keys() != first["scores"].keys():
            raise InputError(
                f"the cell {_name(cell)} has other columns than that of seed {first['cell']['seed']}; run it again."
            )
    return Runs(
        seeds=tuple(int(cell["cell"]["seed"]) for cell in cells),
        values={side: np.stack([_values(cell["scores"][side]) for cell in cells]) for side in first["scores"]},
        sampling={
            side: Sampling.of(score["n"], score.get("labels"), score.get("draws"))
            for side, score in first["scores"].items()
        },
        cells=tuple(cells),
        is_fixed=row[1] in known and not known[row[1]].depends_on_seed,
    )


def _values(score: Mapping[str, Any]) -> Doubles:
    if "hits" not in score:
        return np.asarray(score["values"], dtype=np.float64)
    return (np.frombuffer(score["hits"].encode("ascii"), np.uint8) - ord("0")).astype(np.float64)


def _the_one(what: str, names: set[str]) -> str:
    if len(names) > 1:
        raise InputError(f"one table cannot hold the {what} {' and '.join(sorted(names))}; make one table for each.")
    return names.pop()


def _check_tested_alike(cells: Sequence[CellContent], unit: str) -> None:
    seen: dict[tuple[str, str], tuple[CellContent, Any]] = {}
    for cell in cells:
        for side, score in cell["scores"].items():
            tested = (cell["picture_ids"].get(side), score["n"], score.get("labels"), score.get("draws"))
            first, expected = seen.setdefault((cell["cell"]["data"], side), (cell, tested))
            if tested != expected:
                raise InputError(
                    f"the cells {_name(first)} and {_name(cell)} were tested on different {side} {unit} or groups of "
                    f"them, so that they cannot be compared; run one of the two again on the {unit} of the other."
                )


def _name(cell: CellContent) -> str:
    return "{data} / {method} / seed {seed}".format_map(cell["cell"])


def _split(scores: Mapping[str, Any]) -> str:
    """Return the split of a cell's test pictures. If its sides have different splits, name each "different" side."""
    splits = {side: str(score["split"]) for side, score in sorted(scores.items())}
    different = {side: why for side, split in splits.items() if (why := why_different(split))}
    if not different or len(set(splits.values())) == 1:
        return splits[next(iter(different or splits))]
    return DIFFERENT + "; ".join(f"{side}: {why}" for side, why in different.items())


def _columns(protocol: str, found: tuple[str, ...], several: bool) -> tuple[tuple[str, ...], str]:
    """Return the columns of a table whose cells have the sides `found`, and the column that is the headline."""
    if {"base", "new"} <= {*found}:
        return (*found, H, *([MEAN_OF_H] if several else [])), H
    if "test" in found:
        return found, "test"
    if protocol == "cross-clip":
        return found, found[0]
    targets = {data_key(side) for side in found if side != "source"}
    with_eurosat = len(found) - ("source" in found) > 1 and "eurosat" in targets
    return (*found, MEAN, *([MEAN_WITHOUT_EUROSAT] if with_eurosat else [])), MEAN


def _scopes(data: tuple[str, ...], columns: Sequence[str], splits: Mapping[str, str]) -> Iterator[Scope]:
    named: dict[str, tuple[str, ...]] = {one: (one,) for one in data}
    if len(data) > 1 and MEAN not in columns:
        rest = tuple(one for one in data if data_key(one) != "eurosat")
        named["average"] = data
        if 0 < len(rest) < len(data):
            named["average without EuroSAT"] = rest
    for name, members in named.items():
        own = [splits.get(one, "own") for one in members]
        yield Scope(name, members, next(filter(why_different, own), own[0]))


def _row(
    scope: Scope,
    columns: Sequence[str],
    group: Sequence[Runs] | None,
    absent: Mapping[tuple[str, str], Sequence[str]],
) -> TableRow:
    reasons: dict[str, list[str]] = {}
    for (data, _), reason in ((row, reason) for row, found in absent.items() for reason in dict.fromkeys(found)):
        reasons.setdefault(reason, []).append(data)
    if group is None:
        where = [f" ({', '.join(data)})" if len(scope.data) > 1 else "" for data in reasons.values()]
        return TableRow(0, "; ".join(map("".join, zip(reasons, where, strict=True))), {})
    scores = {
        column: column_score(column, group)
        if applies(column, group) and (column != MEAN_OF_H or scope.is_average)
        else None
        for column in columns
    }
    saw = {cell.get("labelled_per_class") for runs in group for cell in runs.cells}
    why = {side: reason for runs in group for side, reason in runs.gaps.items()}
    missing = [column for column in columns if why and scores[column] is None]
    return TableRow(
        seeds=min(len(runs.seeds) for runs in group),
        absent="; ".join(reasons),
        scores=scores,
        labelled_per_class=saw.pop() if len(saw) == 1 else None,
        gaps={column: why.get(column) or "; ".join(dict.fromkeys(why.values())) for column in missing},
    )


def _gains(
    table: Table, scope: Scope, groups: Mapping[str, Sequence[Runs]]
) -> Iterator[tuple[tuple[str, str, str, str], MethodGain]]:
    """Compare each method with the references, and IPO also with its rivals; yield key and gain, as in `Table.gains`.

    Holm's correction covers the comparisons of one method in one column.
    """
    for method, column in product(groups, table.columns):
        others = dict.fromkeys([table.reference, *REFERENCES, *(table.rivals if method == SUBJECT else ())])
        family = {
            other: compared
            for other in others
            if other in groups
            and other != method
            and (column != MEAN_OF_H or scope.is_average)
            and all(applies(column, groups[one]) for one in (method, other))
            and sides(column, groups[method][0]) == sides(column, groups[other][0])
            and (compared := difference(column, groups[method], groups[other]))
        }
        effects = {other: effect for other, (effect, _) in family.items()}
        verdicts = judge(effects, f"comparisons of {method} in this row and column")
        for other, (_, seeds) in family.items():
            yield (scope.name, method, other, column), MethodGain(verdicts[other], seeds)


def _search(method: str, groups: Mapping[str, Sequence[Runs]], reference: str) -> dict[str, float | None]:
    """Return the cost and the optimism of a method's search, by name; see `Table.searches`."""
    group = groups[method]
    searched_on = next(side for side in ("base", "test", "source", *group[0].values) if side in group[0].values)

    def looked_better(group: Sequence[Runs]) -> float | None:
        on_search = _mean_over(group, "search", "value")
        return None if on_search is None else on_search - fmean(runs.means[searched_on] for runs in group)

    pairs = [align(ours, theirs) for ours, theirs in zip(group, groups.get(reference, ()), strict=False)]
    # Each seed has other search pictures. So the run of a fixed method stands for other seeds on test pictures only.
    found = [
        pair
        for pair in pairs
        if pair
        and all(seed == cell["cell"]["seed"] for one in pair for seed, cell in zip(one.seeds, one.cells, strict=True))
    ]
    both = [looked_better(one) for one in zip(*found, strict=True)] if len(found) == len(group) else [None]
    return {
        "search": _mean_over(group, "search", "value"),
        "selection": _mean_over(group, "selection", "value"),
        "test": fmean(runs.means[searched_on] for runs in group),
        "optimism": None if None in both else both[0] - both[1],  # type: ignore[operator]
        **{name: _mean_over(group, "budget", name) or 0.0 for name in COUNTS},
        "usd": _mean_over(group, "budget", "usd"),
        "gain_held_back": _mean_over(group, "choice", "gain"),
    }


def _mean_over(group: Sequence[Runs], part: str, name: str) -> float | None:
    """Return the mean of the number `name` in the part `part` of cells: over seeds, then over data sets.

    None if a cell lacks the number.
    """
    numbers: list[list[Any]] = [[(cell.get(part) or {}).get(name) for cell in runs.cells] for runs in group]
    return None if any(None in of_seeds for of_seeds in numbers) else fmean(fmean(of_seeds) for of_seeds in numbers)
