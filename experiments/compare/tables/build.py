"""From cells to a table: scores, gains corrected for their number, costs; and what it says in sentences.

The sentences hold ours against each baseline and control; the notes are below the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.methods.base import Method
from ipo_prompts.experiments.compare.published import PublishedRow, data_key, library
from ipo_prompts.experiments.compare.tables.runs import CellContent, Grid, Runs, align, rank, read_grid
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
from ipo_prompts.experiments.run.config import PUBLISHED_CLIP
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import is_own
from ipo_prompts.metrics.verdict import judge

REFERENCES = ("anchor", "hand-written", "ensemble-80")
COUNTS = ("proposals", "looked_at", "calls", "tokens_in", "tokens_out")


def build_table(
    cells: Sequence[CellContent],
    reference: str = "anchor",
    published: Sequence[PublishedRow] = (),
    methods: Mapping[str, Method] | None = None,
) -> Table:
    """Make the table of one protocol; all that is made of it has the same bytes for the same cells.

    Args:
        cells: contents of `cell.json` files, in any order; those that could not be made hold their reason as `absent`.
        reference: the method that gains are first counted from; hand-written and the 80-ensemble are always beside it.
        published: rows to show beside accuracies of ours; see `published_rows`.
        methods: the rows that are methods as they are, in the order of the table; by default those with a name of one.

    Raises:
        InputError: see `read_grid`; or no cell of the reference.
    """
    if methods is None:
        labels = {cell["cell"]["method"] for cell in cells}
        methods = {name: METHODS.find(name) for name in METHODS if name in labels}
    grid = read_grid(cells, _usual_order(cells), methods)
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
        shown = [*opponents(methods), *(grid.methods if len(grid.data) > 1 else ())]
        table.gains.update(_gains(scope, groups, columns, references, shown))
        table.searches.update({(scope.name, method): _search(method, groups, reference) for method in groups})
    return replace(table, verdicts=tuple(verdicts(table, methods)), notes=tuple(notes(grid, table)))


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
    if is_own(grid.protocol):  # in the order of the numbers in their names
        columns = tuple(sorted(grid.sides, key=lambda side: rank(side, ())))
        return columns, columns[-1]
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
    """Compare each method with the references, ours with all that is `shown` beside it, too.

    Holm's family is one method and column.
    """
    for method, column in product(groups, columns):
        others = dict.fromkeys([*references, *(shown if method == SUBJECT else ())])
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


def opponents(methods: Mapping[str, Method]) -> list[str]:
    """Return the rows that IPO is held against, in the order of a table."""
    return [name for name, method in methods.items() if method.is_opponent and name != SUBJECT]


def verdicts(table: Table, known: Mapping[str, Method]) -> Iterator[str]:
    """Format IPO's comparisons, for better or worse, on the averages where there are any, else on each data set.

    A table without IPO (an ablation, whose rows are variants) has each row's comparison with the reference.
    """
    methods = table.methods
    if SUBJECT in methods and table.reference != SUBJECT:
        others = dict.fromkeys([table.reference, *opponents(known), *(methods if table.is_of_several else ())])
        pairs = [(SUBJECT, other) for other in others if other in methods and other != SUBJECT]
    else:
        pairs = [(method, table.reference) for method in methods if method != table.reference]
    controls = [name for name, method in known.items() if method.is_control]
    for scope in table.averages or table.scopes:
        number = f" of {len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}" if scope.is_average else ""
        start = f"{scope.name}{number}, {table.headline}: "
        for method, other in pairs:
            gain = table.over(scope, method, other)
            names = _name(method, known), _name(other, known)
            missing = f"{' and '.join(names)} are not compared; one of them is absent."
            yield start + (_sentence(gain, *names) if gain else missing)
        for name in controls:
            if gain := table.over(scope, SUBJECT, name):
                yield start + _control(gain, known[SUBJECT].label, known[name])


def _sentence(gain: MethodGain, method: str, other: str) -> str:
    verdict = gain.verdict
    verb = "ended with" if verdict.outcome == "same templates" else "shows"
    words = f"{method} {verb} {verdict.against(other)}"
    if gain.like_these is not None:
        general = {"gain": "a gain", "loss": "a loss"}.get(gain.like_these.outcome, "no evidence of a gain")
        words = f"{words}. For {gain.like_these.covers}: {general}, {gain.like_these.numbers}"
    return words + (". One seed: the luck of the search is not covered." if gain.seeds == 1 else ".")


def _name(row: str, known: Mapping[str, Method]) -> str:
    return known[row].label if row in known else f"“{row}”"


def _control(gain: MethodGain, subject: str, control: Method) -> str:
    shows = control.shows
    if gain.verdict.outcome != "gain":
        return f"{subject} is not shown to beat its control, {control.label}: no evidence that {shows}."
    beats = f"{subject} beats its control, {control.label}"
    if gain.seeds == 1:
        return f"{beats}, with one seed, which may be the luck of either search."
    if gain.like_these is not None and gain.like_these.outcome != "gain":
        return f"{beats}, for {gain.verdict.covers}, not as a claim about {gain.like_these.covers}."
    return f"{beats}: {shows}."


def notes(grid: Grid, table: Table) -> Iterator[str]:
    """Format the notes below a table."""
    unit = grid.unit
    if table.averages:
        yield (
            "Means take the data sets as a sample: their intervals, p and * are for data sets like these, those of one "
            "data set for its classes. A method that lacks a data set has no mean. What a method has over "
            f"{SUBJECT} is the comparison of {SUBJECT} with it turned round, corrected with all of that method's."
        )
    yield (
        f"Values: {grid.measure} in percent, mean over seeds, [95 % interval], ± standard deviation over seeds; n "
        f"counts {unit}. Intervals cover the choice of test {unit} within these classes (variants of one picture are "
        "one draw) and, with two or more seeds, the luck of the search; the classes and data sets are taken as given."
    )
    if H in table.columns:
        yield (
            "H is the harmonic mean of base and new; in an average row that of the two averaged columns, as the papers "
            f"print it. “{MEAN_OF_H}” averages the data sets' H instead."
            if MEAN_OF_H in table.columns
            else "H is the harmonic mean of base and new, each averaged over seeds."
        )
    yield (
        f"Gains: paired on the same test {unit} and seeds, for these classes and data sets. “Classes like these” and "
        "“data sets like these” take them as a sample. p is Holm-corrected for that method's comparisons in that row "
        "(their number in brackets); * marks a corrected p of at most 0.05. Intervals are not corrected, and rows are "
        "not corrected for one another."
    )
    yield (
        f"Optimism: the gain over the reference on the search {unit} minus that on the test {unit} of the same "
        "classes; above 0, the search looked better than it was."
    )
    for method in grid.methods:
        sides = {side for (_, row), runs in grid.runs.items() if row == method for side in runs.values}
        if sides and (missing := [side for side in grid.sides if side not in sides]):
            yield f"{method} has no value for {', '.join(missing)}."
    yield from _unlike(grid, table)
    for scope in table.scopes:
        if (why := why_different(scope.split)) and not scope.is_average:
            yield f"† {scope.name}: different split ({why}); not comparable with published numbers."


def _unlike(grid: Grid, table: Table) -> Iterator[str]:
    """Say where methods, or ours and the published ones, had different conditions."""
    cells = [cell for runs in grid.runs.values() for cell in runs.cells]
    saw: dict[int, dict[str, None]] = {}
    for cell in cells:
        saw.setdefault(cell.get("labelled_per_class", 0), {})[cell["cell"]["method"]] = None
    if len([number for number in saw if number]) > 1:
        listed = "; ".join(f"{number} by {', '.join(saw[number])}" for number in sorted(saw, reverse=True))
        yield (
            "labels/class counts the labelled pictures of each class that a row saw, to search or train with or to "
            f"choose on: {listed}. Rows of one number share a budget; what a row gains over one that saw fewer may be "
            "due to its labels."
        )
    if len({cell["budget"]["calls"] for cell in cells if cell.get("budget")} - {0}) > 1:
        yield (
            "Methods that ask a language model get the same steps and candidates, unless a note says otherwise. Their "
            "calls differ because some ask for one template a call, and because a reply that cannot be used is asked "
            "for again, and some methods get more of these."
        )
    clips = {str((cell["cell"].get("settings") or {}).get("clip", "embedded")) for cell in cells}
    if table.published and not clips <= set(PUBLISHED_CLIP):
        yield (
            f"Published numbers are of {PUBLISHED_CLIP[0]}, ours of {', '.join(sorted(clips))}: "
            "they stand beside each other and do not compare."
        )
    if any((cell.get("budget") or {}).get("looked_at") for cell in cells):
        yield (
            "Proposals are the templates that a search asked for and scored; looked at are those that were scored "
            "besides, which no language model was asked for: of a list, or composed of given words."
        )
    for row, cell in {cell["cell"]["method"]: cell for cell in cells}.items():
        if cell.get("remark"):
            yield f"{row}: {cell['remark']}."
        if cell.get("differs"):
            yield f"{row} is not in everything as published: {cell['differs']}."
    told = []
    for (data, row), runs in grid.runs.items():
        seeds = dict.fromkeys(str(cell["shortened"]) for cell in runs.cells if cell.get("shortened"))
        told += [f"{row} on {data}, {'; '.join(seeds)}"] if seeds else []
    if told:
        yield f"Descriptions of pictures that did not fit into a question, seed by seed: {'; '.join(told)}."
    if len(grid.seeds) == 1:
        yield "One seed: what the search owes to luck is in no interval."
