"""From cells to a table: scores, gains corrected for their number, costs, and verdicts in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.published import PublishedRow, data_key, library
from ipo_prompts.experiments.compare.tables.runs import CellContent, Grid, Runs, align, read_grid
from ipo_prompts.experiments.compare.tables.sentences import notes, opponents, verdicts
from ipo_prompts.experiments.compare.tables.table import (
    MEAN,
    MEAN_OF_H,
    MEAN_WITHOUT_EUROSAT,
    MEANS,
    H,
    MethodGain,
    Scope,
    Table,
    TableRow,
    column_score,
    difference,
    targets,
)
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.verdict import judge

REFERENCES = ("anchor", "hand-written", "ensemble-80")
COUNTS = ("proposals", "looked_at", "calls", "tokens_in", "tokens_out")


def build_table(
    cells: Sequence[CellContent], reference: str = "anchor", published: Sequence[PublishedRow] = ()
) -> Table:
    """Make the table of one protocol; all that is made of it has the same bytes for the same cells.

    Args:
        cells: contents of `cell.json` files, in any order; those that could not be made hold their reason as `absent`.
        reference: the method that gains are first counted from; hand-written and the 80-ensemble are always beside it.
        published: rows to show beside accuracies of ours; see `published_rows`.

    Raises:
        InputError: see `read_grid`; or no cell of the reference.
    """
    grid = read_grid(cells, _usual_order(cells), list(METHODS))
    if reference not in grid.methods:
        raise InputError(f"no cell of the reference {reference!r}; it must be one of {', '.join(grid.methods)}.")
    references = tuple(dict.fromkeys((reference, *REFERENCES)))
    published = published if grid.measure == "accuracy" else ()
    columns, headline = _columns(grid)
    table = Table(
        protocol=grid.protocol,
        measure=grid.measure,
        unit=grid.unit,
        reference=reference,
        references=references,
        columns=columns,
        headline=headline,
        seeds=grid.seeds,
        scopes=_scopes(grid, columns),
        rows={},
        gains={},
        searches={},
        verdicts=(),
        notes=(),
        published=tuple(published),
    )
    for scope in table.scopes:
        groups = _groups(grid, scope)
        for method in grid.methods:
            table.rows[scope.name, method] = _row(grid, scope, method, columns, groups.get(method))
        table.gains.update(_gains(scope, groups, columns, references, grid.methods if len(grid.data) > 1 else ()))
        table.searches.update({(scope.name, method): _search(method, groups, reference) for method in groups})
    return replace(table, verdicts=tuple(verdicts(table)), notes=tuple(notes(grid, table)))


def _usual_order(cells: Sequence[CellContent]) -> list[str]:
    """The papers' order of data sets; names that they do not have come after, by the alphabet."""
    ranks = {key: rank for rank, key in enumerate(library().tables[0].rows)}
    names = {str(cell["cell"]["data"]) for cell in cells}
    names |= {str(side) for cell in cells for side in cell.get("scores") or ()}
    return sorted(names, key=lambda name: (ranks.get(data_key(name), len(ranks)), name))


def _columns(grid: Grid) -> tuple[tuple[str, ...], str]:
    if {"base", "new"} <= set(grid.sides):
        several = (MEAN_OF_H,) if len(grid.data) > 1 else ()
        return (*grid.sides, H, *several), H
    if "test" in grid.sides:
        return grid.sides, "test"
    if grid.protocol == "cross-clip":
        return grid.sides, grid.sides[0]
    if grid.protocol == "looks":
        columns = sorted(grid.sides, key=lambda side: int(side.partition(" ")[0]))
        return tuple(columns), columns[-1]
    target_sides = [side for side in grid.sides if side != "source"]
    with_eurosat = len(target_sides) > 1 and any(data_key(side) == "eurosat" for side in target_sides)
    return (*grid.sides, MEAN, *((MEAN_WITHOUT_EUROSAT,) if with_eurosat else ())), MEAN


def _scopes(grid: Grid, columns: Sequence[str]) -> tuple[Scope, ...]:
    named: list[tuple[str, tuple[str, ...]]] = [(data, (data,)) for data in grid.data]
    if len(grid.data) > 1 and MEAN not in columns:
        named.append(("average", grid.data))
        rest = tuple(data for data in grid.data if data_key(data) != "eurosat")
        if 0 < len(rest) < len(grid.data):
            named.append(("average without EuroSAT", rest))
    scopes = []
    for name, data in named:
        splits = [grid.splits.get(one, "own") for one in data]
        scopes.append(Scope(name, data, next(filter(why_different, splits), splits[0])))
    return tuple(scopes)


def _groups(grid: Grid, scope: Scope) -> dict[str, list[Runs]]:
    """The runs of each method that has all data sets of a scope: an average of fewer would mislead."""
    return {
        method: [grid.runs[data, method] for data in scope.data]
        for method in grid.methods
        if all((data, method) in grid.runs for data in scope.data)
    }


def _applies(column: str, scope: Scope, group: Sequence[Runs]) -> bool:
    if column not in (H, MEAN_OF_H, *MEANS):
        return all(column in runs.values for runs in group)
    if any(runs.gaps for runs in group):  # a mean over fewer sides than the others' would mislead
        return False
    if column == MEAN_OF_H:
        return scope.is_average and _applies(H, scope, group)
    if column == H:
        return all({"base", "new"} <= {*runs.values} for runs in group)
    return bool(targets(column, group[0]))


def _row(grid: Grid, scope: Scope, method: str, columns: Sequence[str], group: Sequence[Runs] | None) -> TableRow:
    if group is None:
        return TableRow(0, _why_absent(grid, scope, method), {})
    scores = {column: column_score(column, group) if _applies(column, scope, group) else None for column in columns}
    partly = [reason for data in scope.data for reason in grid.absent.get((data, method), ())]
    saw = {cell.get("labelled_per_class") for runs in group for cell in runs.cells}
    why = {side: reason for runs in group for side, reason in runs.gaps.items()}
    missing = [column for column in columns if why and scores[column] is None]
    return TableRow(
        seeds=min(len(runs.seeds) for runs in group),
        absent="; ".join(dict.fromkeys(partly)),
        scores=scores,
        labelled_per_class=saw.pop() if len(saw) == 1 else None,
        gaps={column: why.get(column) or "; ".join(dict.fromkeys(why.values())) for column in missing},
    )


def _why_absent(grid: Grid, scope: Scope, method: str) -> str:
    reasons: dict[str, list[str]] = {}
    for data in scope.data:
        if (data, method) not in grid.runs:
            for reason in grid.absent.get((data, method), ("not run",)):
                reasons.setdefault(reason, []).append(data)
    if len(scope.data) == 1:
        return "; ".join(reasons)
    return "; ".join(f"{reason} ({', '.join(data)})" for reason, data in reasons.items())


def _gains(
    scope: Scope,
    groups: Mapping[str, Sequence[Runs]],
    columns: Sequence[str],
    references: Sequence[str],
    shown: Sequence[str],
) -> Iterator[tuple[tuple[str, str, str, str], MethodGain]]:
    """Compare each method with the references, ours with its opponents and all that is `shown` beside it, too.

    Holm's family is one method and column.
    """
    for method, column in product(groups, columns):
        others = dict.fromkeys([*references, *([*opponents(), *shown] if method == SUBJECT else ())])
        family = {
            other: compared
            for other in others
            if other in groups
            and other != method
            and all(_applies(column, scope, groups[one]) for one in (method, other))
            and (column not in MEANS or targets(column, groups[method][0]) == targets(column, groups[other][0]))
            and (compared := difference(column, groups[method], groups[other]))
        }
        name = f"comparisons of {method} in this row and column"
        here = judge({other: effects.these for other, (effects, _) in family.items()}, name)
        general = {other: effects.like_these for other, (effects, _) in family.items()}
        like_these = judge({other: effect for other, effect in general.items() if effect}, name)
        for other, (_, seeds) in family.items():
            yield (scope.name, method, other, column), MethodGain(here[other], like_these.get(other), seeds)


def _search(method: str, groups: Mapping[str, Sequence[Runs]], reference: str) -> dict[str, float | None]:
    """Return what a search cost and how much better it looked; see `Table.searches`."""
    group = groups[method]
    searched_on = next(side for side in ("base", "test", "source", *group[0].values) if side in group[0].values)

    def on_test(group: Sequence[Runs]) -> float:
        return fmean(runs.means[searched_on] for runs in group)

    def looked_better(group: Sequence[Runs]) -> float | None:
        on_search = _mean_over(group, "search", "value")
        return None if on_search is None else on_search - on_test(group)

    pairs = [align(ours, theirs) for ours, theirs in zip(group, groups.get(reference, ()), strict=False)]
    # A fixed method's run stands for any seed on the test pictures alone: each seed has search pictures of its own.
    found = [pair for pair in pairs if pair and all(one.ran_with_its_seeds() for one in pair)]
    both = [looked_better(one) for one in zip(*found, strict=True)] if len(found) == len(group) else [None]
    return {
        "search": _mean_over(group, "search", "value"),
        "selection": _mean_over(group, "selection", "value"),
        "test": on_test(group),
        "optimism": None if None in both else both[0] - both[1],  # type: ignore[operator]
        **{name: _mean_over(group, "budget", name) or 0.0 for name in COUNTS},
        "usd": _mean_over(group, "budget", "usd"),
        "gain_held_back": _mean_over(group, "choice", "gain"),
    }


def _mean_over(group: Sequence[Runs], part: str, name: str) -> float | None:
    """Mean over data sets of the mean over seeds of a number in a part of the cells; None when any run lacks it."""
    means: list[float] = []
    for runs in group:
        numbers: list[Any] = [(cell.get(part) or {}).get(name) for cell in runs.cells]
        if None in numbers:
            return None
        means.append(fmean(numbers))
    return fmean(means)
