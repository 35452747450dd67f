"""The notes below a table: what its numbers are, how they were tested, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.published import PublishedRow
from ipo_prompts.experiments.compare.tables.quantities import MEAN_OF_H, H
from ipo_prompts.experiments.compare.tables.runs import Grid
from ipo_prompts.experiments.compare.tables.table import Scope
from ipo_prompts.experiments.run.settings import PUBLISHED_CLIP


def notes(
    grid: Grid, scopes: Sequence[Scope], columns: Sequence[str], published: Sequence[PublishedRow]
) -> Iterator[str]:
    """Format the notes below a table."""
    unit = grid.unit
    if any(scope.is_average for scope in scopes):
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
    if H in columns:
        yield (
            "H is the harmonic mean of base and new; in an average row that of the two averaged columns, as the papers "
            f"print it. “{MEAN_OF_H}” averages the data sets' H instead."
            if MEAN_OF_H in columns
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
    yield from _unlike(grid, published)
    for scope in scopes:
        if scope.split.startswith("different") and not scope.is_average:
            why = scope.split.partition(":")[2].strip() or "not the official one"
            yield f"† {scope.name}: different split ({why}); not comparable with published numbers."


def _unlike(grid: Grid, published: Sequence[PublishedRow]) -> Iterator[str]:
    """Say where methods, or ours and the published ones, had different conditions."""
    cells = [cell for runs in grid.runs.values() for cell in runs.cells]
    saw: dict[int, list[str]] = {}
    for cell in cells:
        methods = saw.setdefault(cell.get("labelled_per_class", 0), [])
        if cell["cell"]["method"] not in methods:
            methods.append(cell["cell"]["method"])
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
    if published and not clips <= set(PUBLISHED_CLIP):
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
    if told := _shortened(grid):
        yield f"Descriptions of pictures that did not fit into a question, seed by seed: {told}."
    if len(grid.seeds) == 1:
        yield "One seed: what the search owes to luck is in no interval."


def _shortened(grid: Grid) -> str:
    """Say which rows showed their language model shorter or fewer descriptions than there are."""
    told = []
    for (data, row), runs in grid.runs.items():
        seeds = dict.fromkeys(str(cell["shortened"]) for cell in runs.cells if cell.get("shortened"))
        told += [f"{row} on {data}, {'; '.join(seeds)}"] if seeds else []
    return "; ".join(told)
