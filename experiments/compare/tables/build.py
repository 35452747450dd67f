"""From cells to a table: scores, gains corrected for their number, costs, and verdicts in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipo.experiments.compare.methods import METHODS, SUBJECT
from ipo.experiments.compare.published import PublishedRow, data_key, library
from ipo.experiments.compare.tables.cells import read_grid
from ipo.experiments.compare.tables.notes import notes
from ipo.experiments.compare.tables.quantities import (
    MEAN,
    MEAN_OF_H,
    MEAN_WITHOUT_EUROSAT,
    ColumnDifference,
    H,
    difference,
    score,
    targets,
)
from ipo.experiments.compare.tables.runs import CellContent, Grid, Runs, align
from ipo.experiments.compare.tables.table import MethodGain, Row, Scope, SearchCost, Table
from ipo.experiments.compare.tables.verdicts import opponents, verdicts
from ipo.metrics.errors import InputError
from ipo.metrics.evidence import holm

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
    scopes = _scopes(grid)
    gains = [gain for scope in scopes for gain in _gains(grid, scope, columns, references)]
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
        rows=tuple(_row(grid, scope, method, columns) for scope in scopes for method in grid.methods),
        gains=tuple(gains),
        searches=tuple(
            search
            for scope in scopes
            for method in grid.methods
            if (search := _search(grid, scope, method, reference)) is not None
        ),
        verdicts=tuple(verdicts(grid, scopes, headline, gains, reference)),
        notes=tuple(notes(grid, scopes, columns, published)),
        published=tuple(published),
    )


def _usual_order(cells: Sequence[CellContent]) -> list[str]:
    """The papers' order of data sets; names that they do not have come after, by the alphabet."""
    usual = list(library().tables[0].rows)
    names = {str(cell["cell"]["data"]) for cell in cells}
    names |= {str(side) for cell in cells for side in cell.get("scores") or ()}
    ranks = {name: usual.index(data_key(name)) if data_key(name) in usual else len(usual) for name in names}
    return sorted(names, key=lambda name: (ranks[name], name))


def _columns(grid: Grid) -> tuple[tuple[str, ...], str]:
    if {"base", "new"} <= set(grid.sides):
        several = (MEAN_OF_H,) if len(grid.data) > 1 else ()
        return (*grid.sides, H, *several), H
    if "test" in grid.sides:
        return grid.sides, "test"
    target_sides = [side for side in grid.sides if side != "source"]
    with_eurosat = len(target_sides) > 1 and any(data_key(side) == "eurosat" for side in target_sides)
    return (*grid.sides, MEAN, *((MEAN_WITHOUT_EUROSAT,) if with_eurosat else ())), MEAN


def _scopes(grid: Grid) -> tuple[Scope, ...]:
    scopes = [Scope(data, (data,), grid.splits.get(data, "own")) for data in grid.data]
    if len(grid.data) > 1 and "source" not in grid.sides and MEAN not in _columns(grid)[0]:
        scopes.append(_average("average", grid.data, grid))
        rest = tuple(data for data in grid.data if data_key(data) != "eurosat")
        if len(rest) < len(grid.data):
            scopes.append(_average("average without EuroSAT", rest, grid))
    return tuple(scopes)


def _average(name: str, data: tuple[str, ...], grid: Grid) -> Scope:
    splits = [grid.splits.get(one, "own") for one in data]
    return Scope(name, data, next((split for split in splits if split.startswith("different")), splits[0]))


def _group(grid: Grid, scope: Scope, method: str) -> list[Runs] | None:
    """The method's runs on all data sets of a scope; None when one is missing: an average of fewer would mislead."""
    found = [grid.runs[data, method] for data in scope.data if (data, method) in grid.runs]
    return found if len(found) == len(scope.data) else None


def _applies(column: str, scope: Scope, group: Sequence[Runs]) -> bool:
    if column == MEAN_OF_H:
        return scope.is_average
    if column in (H, MEAN):
        return True
    if column == MEAN_WITHOUT_EUROSAT:
        return bool(targets(column, group[0]))
    return all(column in runs.values for runs in group)


def _row(grid: Grid, scope: Scope, method: str, columns: Sequence[str]) -> Row:
    group = _group(grid, scope, method)
    if group is None:
        return Row(scope.name, method, {}, 0, _why_absent(grid, scope, method))
    scores = {column: score(column, group) if _applies(column, scope, group) else None for column in columns}
    seeds = min(len(runs.seeds) for runs in group)
    partly = [reason for data in scope.data for reason in grid.absent.get((data, method), ())]
    return Row(scope.name, method, scores, seeds, "; ".join(dict.fromkeys(partly)))


def _why_absent(grid: Grid, scope: Scope, method: str) -> str:
    reasons: dict[str, list[str]] = {}
    for data in scope.data:
        if (data, method) not in grid.runs:
            for reason in grid.absent.get((data, method), ("not run",)):
                reasons.setdefault(reason, []).append(data)
    if len(scope.data) == 1:
        return "; ".join(reasons)
    return "; ".join(f"{reason} ({', '.join(data)})" for reason, data in reasons.items())


def _gains(grid: Grid, scope: Scope, columns: Sequence[str], references: Sequence[str]) -> list[MethodGain]:
    """Compare each method with the references, ours with its controls too; Holm's family is one method and column."""
    found = []
    for method in grid.methods:
        ours = _group(grid, scope, method)
        if ours is None:
            continue
        others = [*references, *(opponents() if method == SUBJECT else ())]
        for column in columns:
            family: list[tuple[str, ColumnDifference]] = []
            for other in dict.fromkeys(others):
                theirs = _group(grid, scope, other)
                if (
                    other == method
                    or theirs is None
                    or not _applies(column, scope, ours)
                    or not _applies(column, scope, theirs)
                ):
                    continue
                compared = difference(column, ours, theirs)
                if compared is not None:
                    family.append((other, compared))
            corrected = holm([compared.effect.p for _, compared in family])
            these = [compared.these for _, compared in family]
            corrected_these = holm([effect.p for effect in these if effect is not None])
            for place, (other, compared) in enumerate(family):
                found.append(
                    MethodGain(
                        scope=scope.name,
                        method=method,
                        other=other,
                        column=column,
                        effect=compared.effect,
                        corrected=corrected[place],
                        these=compared.these,
                        corrected_these=None if compared.these is None else corrected_these[place],
                        comparisons=len(family),
                        seeds=compared.seeds,
                    )
                )
    return found


def _search(grid: Grid, scope: Scope, method: str, reference: str) -> SearchCost | None:
    group = _group(grid, scope, method)
    if group is None:
        return None
    searched_on = next(side for side in ("base", "test", "source", *grid.sides) if side in group[0].values)
    pairs = [align(ours, theirs) for ours, theirs in zip(group, _group(grid, scope, reference) or (), strict=False)]
    # A fixed method's run stands for any seed on the test pictures alone: each seed has search pictures of its own.
    found = [pair for pair in pairs if pair and all(one.ran_with_its_seeds() for one in pair)]
    optimism = None
    if len(found) == len(group):
        ours_on_search = _mean_over([ours for ours, _ in found], _value("search"))
        theirs_on_search = _mean_over([theirs for _, theirs in found], _value("search"))
        on_test = sum(ours.means[searched_on] - theirs.means[searched_on] for ours, theirs in found) / len(found)
        if ours_on_search is not None and theirs_on_search is not None:
            optimism = ours_on_search - theirs_on_search - on_test
    return SearchCost(
        scope=scope.name,
        method=method,
        search=_mean_over(group, _value("search")),
        selection=_mean_over(group, _value("selection")),
        test=sum(runs.means[searched_on] for runs in group) / len(group),
        optimism=optimism,
        proposals=_mean_over(group, _used("proposals")) or 0.0,
        looked_at=_mean_over(group, _used("looked_at")) or 0.0,
        calls=_mean_over(group, _used("calls")) or 0.0,
        tokens_in=_mean_over(group, _used("tokens_in")) or 0.0,
        tokens_out=_mean_over(group, _used("tokens_out")) or 0.0,
        usd=_mean_over(group, _used("usd")),
    )


Number = Callable[[CellContent], float | None]


def _value(part: str) -> Number:
    return lambda cell: cell[part]["value"] if cell.get(part) else None


def _used(what: str) -> Number:
    return lambda cell: (cell.get("budget") or {}).get(what)


def _mean_over(group: Sequence[Runs], number: Number) -> float | None:
    """Mean over data sets of the mean over seeds; None when any run lacks the number."""
    means: list[float] = []
    for runs in group:
        found = [one for cell in runs.cells if (one := number(cell)) is not None]
        if len(found) < len(runs.cells):
            return None
        means.append(sum(found) / len(found))
    return sum(means) / len(means)
