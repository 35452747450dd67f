"""From cells to a table: scores, gains corrected for their number, costs, and verdicts in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Any

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.published import PublishedRow, data_key, library
from ipo_prompts.experiments.compare.tables.cells import read_grid
from ipo_prompts.experiments.compare.tables.notes import notes
from ipo_prompts.experiments.compare.tables.quantities import (
    MEAN,
    MEAN_OF_H,
    MEAN_WITHOUT_EUROSAT,
    MEANS,
    H,
    difference,
    score,
    targets,
)
from ipo_prompts.experiments.compare.tables.runs import CellContent, Grid, Runs, align
from ipo_prompts.experiments.compare.tables.table import MethodGain, Row, Scope, SearchCost, Table
from ipo_prompts.experiments.compare.tables.verdicts import opponents, verdicts
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.verdict import judge

REFERENCES = ("anchor", "hand-written", "ensemble-80")


def build_table(
    cells: Sequence[CellContent], reference: str = "anchor", published: Sequence[PublishedRow] = ()
) -> Table:
    """Make the table of one protocol.

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
    scopes = _scopes(grid, columns)
    rows: list[Row] = []
    gains: list[MethodGain] = []
    searches: list[SearchCost] = []
    for scope in scopes:
        groups = _groups(grid, scope)
        rows += [_row(grid, scope, method, columns, groups.get(method)) for method in grid.methods]
        gains += _gains(scope, groups, columns, references, grid.methods if len(grid.data) > 1 else ())
        searches += [_search(scope, method, groups, reference) for method in groups]
    return Table(
        protocol=grid.protocol,
        measure=grid.measure,
        unit=grid.unit,
        reference=reference,
        references=references,
        columns=columns,
        headline=headline,
        seeds=grid.seeds,
        scopes=scopes,
        rows=tuple(rows),
        gains=tuple(gains),
        searches=tuple(searches),
        verdicts=tuple(verdicts(grid, scopes, headline, gains, reference)),
        notes=tuple(notes(grid, scopes, columns, published)),
        published=tuple(published),
    )


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
        scopes.append(Scope(name, data, next((one for one in splits if one.startswith("different")), splits[0])))
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


def _row(grid: Grid, scope: Scope, method: str, columns: Sequence[str], group: Sequence[Runs] | None) -> Row:
    if group is None:
        return Row(scope.name, method, 0, _why_absent(grid, scope, method), {})
    scores = {column: score(column, group) if _applies(column, scope, group) else None for column in columns}
    seeds = min(len(runs.seeds) for runs in group)
    partly = [reason for data in scope.data for reason in grid.absent.get((data, method), ())]
    saw = {cell.get("labelled_per_class") for runs in group for cell in runs.cells}
    labelled = saw.pop() if len(saw) == 1 else None
    why = {side: reason for runs in group for side, reason in runs.gaps.items()}
    missing = [column for column in columns if why and scores[column] is None]
    gaps = {column: why.get(column) or "; ".join(dict.fromkeys(why.values())) for column in missing}
    return Row(scope.name, method, seeds, "; ".join(dict.fromkeys(partly)), scores, labelled, gaps)


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
) -> Iterator[MethodGain]:
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
        here = judge({other: compared.scopes.these for other, compared in family.items()}, name)
        general = {other: compared.scopes.like_these for other, compared in family.items()}
        like_these = judge({other: effect for other, effect in general.items() if effect}, name)
        for other, compared in family.items():
            yield MethodGain(scope.name, method, other, column, here[other], like_these.get(other), compared.seeds)


def _search(scope: Scope, method: str, groups: Mapping[str, Sequence[Runs]], reference: str) -> SearchCost:
    group = groups[method]
    searched_on = next(side for side in ("base", "test", "source", *group[0].values) if side in group[0].values)
    pairs = [align(ours, theirs) for ours, theirs in zip(group, groups.get(reference, ()), strict=False)]
    # A fixed method's run stands for any seed on the test pictures alone: each seed has search pictures of its own.
    found = [pair for pair in pairs if pair and all(one.ran_with_its_seeds() for one in pair)]

    def on_test(group: Sequence[Runs]) -> float:
        return fmean(runs.means[searched_on] for runs in group)

    optimism = None
    if len(found) == len(group):
        ours, theirs = ([pair[place] for pair in found] for place in (0, 1))
        on_search = [_mean_over(one, "search", "value") for one in (ours, theirs)]
        if on_search[0] is not None and on_search[1] is not None:
            optimism = on_search[0] - on_search[1] - (on_test(ours) - on_test(theirs))
    counts = ("proposals", "looked_at", "calls", "tokens_in", "tokens_out")
    return SearchCost(
        scope=scope.name,
        method=method,
        search=_mean_over(group, "search", "value"),
        selection=_mean_over(group, "selection", "value"),
        test=on_test(group),
        optimism=optimism,
        usd=_mean_over(group, "budget", "usd"),
        gain_held_back=_mean_over(group, "choice", "gain"),
        **{name: _mean_over(group, "budget", name) or 0.0 for name in counts},
    )


def _mean_over(group: Sequence[Runs], part: str, name: str) -> float | None:
    """Mean over data sets of the mean over seeds of a number in a part of the cells; None when any run lacks it."""
    means: list[float] = []
    for runs in group:
        numbers: list[Any] = [(cell.get(part) or {}).get(name) for cell in runs.cells]
        if None in numbers:
            return None
        means.append(fmean(numbers))
    return fmean(means)
