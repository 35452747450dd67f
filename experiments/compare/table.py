"""Makes a table from cells (one per data set, method and seed): scores, gains with corrected p-values, and costs.

All numbers of a table are in one tidy frame, from which Markdown, CSV, JSON and the terminal's form are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from operator import attrgetter
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo_prompts.experiments.compare.methods import SUBJECTS, Facts
from ipo_prompts.experiments.compare.published import data_key, library, published_rows
from ipo_prompts.experiments.compare.scores import (
    MEAN,
    MEAN_OF_H,
    MEAN_WITHOUT_EUROSAT,
    H,
    Placed,
    Runs,
    align,
    applies,
    column_score,
    difference,
)
from ipo_prompts.experiments.data.dataset import DIFFERENT, why_different
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import judge

if TYPE_CHECKING:
    import pandas

    from ipo_prompts.experiments.compare.cell import Result
    from ipo_prompts.experiments.run.result import Tested

REFERENCES = ("baseline", "hand-written", "ensemble-80")
"""A table shows gains over these methods, besides the gains over its reference."""
COUNTS = ("proposals", "scored_only", "calls", "tokens_in", "tokens_out")
OURS, PUBLISHED = "ours", "published"
COLUMNS = (
    *("protocol", "data", "split", "method", "over", "origin", "column", "measure", "unit", "seeds"),
    *("labelled_per_class", "value", "low", "high", "sd", "n", "draws", "p", "p_corrected", "comparisons", "outcome"),
    *("train", "val", "test", "optimism", *COUNTS, "usd", "val_gain", "remark", "verdict", "gap"),
)
"""The columns of a table's frame. A line is about a data set or an average (`data`), a method, and a column.

- `over`: the other method, if the line is a gain over it; then `value` is the difference. Else empty.
- `origin`: "ours" or "published".
- `split`: see `Scope`.
- `seeds`: the number of seeds, the smallest over the data sets; of a gain, the seeds that both methods have.
- `labelled_per_class`: the labelled images of each class that the method saw; None if not known.
- `value` … `draws`: see `ColumnScore`; `value` is None where the method has no value.
- `p` … `outcome`: see `Verdict`. A gain is for the classes of a data set as given, or for the data sets as given.
- `train`, `val`, `test`: the values of the final templates on images of the classes searched on. None where no
  images were drawn. A method that learns nothing from these images is scored on them, too.
- `optimism`: the gain over the reference on the train images minus that gain on the test images. Both gains are
  paired, so that easier images do not look like over-fitting.
- `proposals` … `usd`: see `Budget`; `usd` is None where a price is unknown.
- `val_gain`: the gain of the chosen template over the search's initial template on held-back images.
- `remark`: why cells are missing; of published numbers, their source.
- `verdict`: the `Verdict` of a gain; else None.
- `gap`: why the method has no value in this column, though it has values in others; else None.

From `train` to `val_gain`, numbers are means per run, over seeds and data sets.
"""


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
class Table:
    """The numbers of a table, and the runs that the numbers were computed from.

    Attributes:
        measure, unit: the name of the values, and the name of what is scored: accuracy of images, mean IoU of scenes.
        headline: the column that verdicts are about.
        subject: the row that verdicts are about; empty if the table has none of `SUBJECTS`.
        methods: the labels of the rows, in the order of the table.
        rivals: the rows that IPO is compared with: its opponents, and in a table of several data sets all rows.
        facts: label → facts of the row's method.
        runs: (data, method) → the runs of the method on the data set, where there are any.
        frame: a line for each number; see `COLUMNS`. Values and differences are fractions.
    """

    protocol: str
    measure: str
    unit: str
    reference: str
    columns: tuple[str, ...]
    headline: str
    subject: str
    seeds: tuple[int, ...]
    scopes: tuple[Scope, ...]
    methods: list[str]
    rivals: list[str]
    facts: Mapping[str, Facts]
    runs: Mapping[tuple[str, str], Runs]
    frame: pandas.DataFrame

    @property
    def averages(self) -> list[Scope]:
        """The scopes that are averages; a table of one data set has none."""
        return [scope for scope in self.scopes if scope.is_average]

    @property
    def data_sets(self) -> list[Scope]:
        """The scopes that are data sets."""
        return [scope for scope in self.scopes if not scope.is_average]

    @cached_property
    def _lines(self) -> dict[tuple[str, str, str, str], Any]:
        lines = self.frame[self.frame.origin == OURS].itertuples()
        return {(line.data, line.method, line.over, line.column): line for line in lines}

    def line(self, data: str, method: str, column: str | None = None, over: str = "") -> Any:
        """Return the line of a method's value, or of its gain over another method; None if there is none.

        If no column is named, it is the headline. The line has the columns of the frame as attributes.
        """
        return self._lines.get((data, method, over, column or self.headline))

    def first(self, data: str, method: str) -> Any:
        """Return any line of a method's values: what holds for all columns, such as its search."""
        return next(line for column in self.columns if (line := self.line(data, method, column)))


def build_table(
    cells: Sequence[Placed],
    reference: str = "baseline",
    shots: int | None = None,
) -> Table:
    """Make the table of one protocol. The same cells give the same table, and the same bytes in its files.

    The rows have the order in which the cells name them.

    Args:
        cells: the cells, each once; data sets and seeds may come in any order. At least one cell has scores.
        reference: the method that gains are computed over. Gains over the methods of `REFERENCES` are added.
        shots: the train images per class; published accuracies for them stand beside ours.

    Raises:
        InputError: the cells have several measures or units, or cells that are compared differ in images or columns.
    """
    import pandas

    facts = {cell.row: cell.facts for cell in cells}
    scored: dict[tuple[str, str], list[Placed]] = defaultdict(list)
    absent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: (_place(cell.data), cell.seed)):
        row = cell.data, cell.row
        if cell.absent:
            absent[row].append(cell.absent)
        else:
            scored[row].append(cell)
    names = [*facts]
    data = tuple(dict.fromkeys(sorted((name for name, _ in [*scored, *absent]), key=_place)))
    runs = {row: _runs(scored[row]) for row in product(data, names) if row in scored}
    usable = [cell for one in runs.values() for cell in one.cells]
    measure, unit = (
        _the_one(f"{what}s", {getattr(cell.done.reward, what) for cell in usable}) for what in ("measure", "unit")
    )
    _check_tested_alike(usable, unit)
    protocol = cells[0].protocol
    found = sorted({side for cell in usable for side in cell.sides}, key=_place)
    columns, headline = _columns(protocol, tuple(found), len(data) > 1)
    scopes = tuple(_scopes(data, columns, {row[0]: _split(one.cells[-1].sides) for row, one in runs.items()}))
    subject = next((name for name in SUBJECTS if name in names), "")
    opponents = [name for name, method in facts.items() if method.is_opponent]
    rivals = dict.fromkeys([*opponents, *(names if len(data) > 1 else [])])
    rivals.pop(subject, None)
    values: list[dict[str, Any]] = []
    gains: list[dict[str, Any]] = []
    for scope in scopes:
        # An average over fewer data sets than the averages of other methods would mislead.
        rows = {name: [(one, name) for one in scope.data] for name in names}
        groups = {name: [runs[row] for row in found] for name, found in rows.items() if runs.keys() >= {*found}}
        for name in names:
            reasons = {row: absent.get(row, [] if row in runs else ["not run"]) for row in rows[name]}
            own = list(_values_of(scope, name, columns, groups, reasons, reference))
            others = [reference, *REFERENCES, *(rivals if name == subject else ())]
            compared = [line for column in columns for line in _gains_of(scope, name, column, others, groups)]
            about = {"data": scope.name, "split": scope.split, "method": name, "over": "", "origin": OURS}
            values += [{**about, **line} for line in own]
            gains += [{**about, **line, "labelled_per_class": own[0]["labelled_per_class"]} for line in compared]
    printed = published_rows(protocol, shots, data) if measure == "accuracy" else []
    everywhere = {"protocol": protocol, "measure": measure, "unit": unit}
    lines = [{**everywhere, **line} for line in [*values, *gains, *printed]]
    return Table(
        protocol=protocol,
        measure=measure,
        unit=unit,
        reference=reference,
        columns=columns,
        headline=headline,
        subject=subject,
        seeds=tuple(sorted({cell.seed for cell in cells})),
        scopes=scopes,
        methods=names,
        rivals=[*rivals],
        facts=facts,
        runs=runs,
        frame=pandas.DataFrame({name: [line.get(name) for line in lines] for name in COLUMNS}, dtype=object),
    )


def _place(name: str) -> tuple[int, str]:
    """Return a sort key: sides come first, then data sets in the order of the papers, then other names by alphabet."""
    order, key = ["base", "new", "test", "source", *library()["tables"][0]["rows"]], data_key(name)
    return order.index(key) if key in order else len(order), name


def _runs(cells: Sequence[Placed]) -> Runs:
    """Return the runs of one method on one data set, from its cells in the order of their seeds."""
    first = cells[0]
    for cell in cells:
        if cell.sides.keys() != first.sides.keys():
            raise InputError(f"the cell {cell.name} has other columns than that of seed {first.seed}; run it again.")
    return Runs(
        seeds=tuple(cell.seed for cell in cells),
        values={side: np.stack([cell.sides[side].values for cell in cells]) for side in first.sides},
        sampling={
            side: Sampling.of(len(tested.answer), tested.labels, tested.draws) for side, tested in first.sides.items()
        },
        cells=tuple(cells),
        is_fixed=not first.facts.depends_on_seed,
    )


def _the_one(what: str, names: set[str]) -> str:
    if len(names) > 1:
        raise InputError(f"one table cannot hold the {what} {' and '.join(sorted(names))}; make one table for each.")
    return names.pop()


def _check_tested_alike(cells: Sequence[Placed], unit: str) -> None:
    seen: dict[tuple[str, str], tuple[Placed, Any]] = {}
    for cell in cells:
        for side, score in cell.sides.items():
            tested = score.images, len(score.answer), score.labels, score.draws
            first, expected = seen.setdefault((cell.data, side), (cell, tested))
            if tested != expected:
                raise InputError(
                    f"the cells {first.name} and {cell.name} were tested on different {side} {unit} or groups of "
                    f"them, so that they cannot be compared; run one of the two again on the {unit} of the other."
                )


def _split(sides: Mapping[str, Tested]) -> str:
    """Return the split of a cell's test images. If its sides have different splits, name each "different" side."""
    splits = {side: tested.split for side, tested in sorted(sides.items())}
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


def _values_of(
    scope: Scope,
    method: str,
    columns: Sequence[str],
    groups: Mapping[str, Sequence[Runs]],
    absent: Mapping[tuple[str, str], Sequence[str]],
    reference: str,
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a method's values in a scope.

    A column that does not apply has no line, or a line with the `gap`. A method without scores has empty lines.
    """
    reasons: dict[str, list[str]] = {}
    for (data, _), found in absent.items():
        for reason in dict.fromkeys(found):
            reasons.setdefault(reason, []).append(data)
    if method not in groups:
        where = [f" ({', '.join(data)})" if len(scope.data) > 1 else "" for data in reasons.values()]
        remark = "; ".join(map("".join, zip(reasons, where, strict=True)))
        for column in columns:
            yield {"column": column, "seeds": 0, "labelled_per_class": None, "remark": remark}
        return
    group = groups[method]
    saw = {cell.facts.labelled for runs in group for cell in runs.cells}
    about = {
        "labelled_per_class": saw.pop() if len(saw) == 1 else None,
        "seeds": min(len(one.seeds) for one in group),
        "remark": "; ".join(reasons),
        **_search(method, groups, reference),
    }
    gaps = {side: reason for runs in group for side, reason in runs.gaps.items()}
    for column in columns:
        if applies(column, group) and (column != MEAN_OF_H or scope.is_average):
            yield {**about, "column": column, **column_score(column, group)._asdict()}
        elif gaps:
            yield {**about, "column": column, "gap": gaps.get(column) or "; ".join(dict.fromkeys(gaps.values()))}


def _gains_of(
    scope: Scope, method: str, column: str, others: Sequence[str], groups: Mapping[str, Sequence[Runs]]
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a method's gains over other methods in a column. Holm's correction covers them."""
    family = {
        other: compared
        for other in dict.fromkeys(others)
        if {method, other} <= groups.keys()
        and other != method
        and (column != MEAN_OF_H or scope.is_average)
        and all(applies(column, groups[one]) for one in (method, other))
        and (compared := difference(column, groups[method], groups[other]))
    }
    verdicts = judge({other: effect for other, (effect, _) in family.items()}, "")
    for other, (_, seeds) in family.items():
        verdict = verdicts[other]
        told = {name: getattr(verdict, name) for name in ("p", "p_corrected", "comparisons", "outcome")}
        about = {"column": column, "over": other, "seeds": seeds, "verdict": verdict}
        yield {**about, **told, "value": verdict.mean, "low": verdict.ci95[0], "high": verdict.ci95[1]}


def _search(method: str, groups: Mapping[str, Sequence[Runs]], reference: str) -> dict[str, float | None]:
    """Return the cost and the optimism of a method's search, by name; see `COLUMNS`."""
    group = groups[method]
    searched_on = next(side for side in ("base", "test", "source", *group[0].values) if side in group[0].values)

    def looked_better(group: Sequence[Runs]) -> float | None:
        on_search = _mean_over(group, lambda cell: cell.shown.get("train"))
        return None if on_search is None else on_search - fmean(runs.means[searched_on] for runs in group)

    pairs = [align(ours, theirs) for ours, theirs in zip(group, groups.get(reference, ()), strict=False)]
    # Each seed has other train images. So the run of a fixed method stands for other seeds on test images only.
    found = [
        pair
        for pair in pairs
        if pair and all(seed == cell.seed for one in pair for seed, cell in zip(one.seeds, one.cells, strict=True))
    ]
    both = [looked_better(one) for one in zip(*found, strict=True)] if len(found) == len(group) else [None]
    return {
        "train": _mean_over(group, lambda cell: cell.shown.get("train")),
        "val": _mean_over(group, lambda cell: cell.shown.get("val")),
        "test": fmean(runs.means[searched_on] for runs in group),
        "optimism": None if None in both else both[0] - both[1],  # type: ignore[operator]
        **{name: _mean_over(group, attrgetter(f"budget.{name}")) for name in (*COUNTS, "usd")},
        "val_gain": _mean_over(group, lambda cell: cell.val_gain),
    }


def _mean_over(group: Sequence[Runs], number: Callable[[Result], float | None]) -> float | None:
    """Return the mean of a number of cells: over seeds, then over data sets. None if a cell lacks the number."""
    numbers = [[number(cell.done) for cell in runs.cells] for runs in group]
    return None if any(None in of_seeds for of_seeds in numbers) else fmean(map(fmean, numbers))  # type: ignore[arg-type]
