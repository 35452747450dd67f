"""What a table says in sentences: ours against each baseline and control, and the notes below the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.tables.runs import Grid
from ipo_prompts.experiments.compare.tables.table import MEAN_OF_H, H, MethodGain, Table
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.experiments.run.settings import PUBLISHED_CLIP


def opponents() -> list[str]:
    """Return the methods that IPO is held against, in the order of a table."""
    return [name for name, method in METHODS.items() if method.is_opponent and name != SUBJECT]


def verdicts(table: Table) -> Iterator[str]:
    """Format IPO's comparisons, for better or worse, on the averages where there are any, else on each data set.

    A table without IPO (an ablation, whose rows are variants) has each row's comparison with the reference.
    """
    methods = table.methods
    if SUBJECT in methods and table.reference != SUBJECT:
        others = dict.fromkeys([table.reference, *opponents(), *(methods if table.is_of_several else ())])
        pairs = [(SUBJECT, other) for other in others if other in methods and other != SUBJECT]
    else:
        pairs = [(method, table.reference) for method in methods if method != table.reference]
    controls = [name for name, method in METHODS.items() if method.is_control]
    for scope in table.averages or table.scopes:
        number = f" of {len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}" if scope.is_average else ""
        start = f"{scope.name}{number}, {table.headline}: "
        for method, other in pairs:
            gain = table.over(scope, method, other)
            names = _name(method), _name(other)
            missing = f"{' and '.join(names)} are not compared; one of them is absent."
            yield start + (_sentence(gain, *names) if gain else missing)
        for name in controls:
            if gain := table.over(scope, SUBJECT, name):
                yield start + _control(gain, name)


def _sentence(gain: MethodGain, method: str, other: str) -> str:
    verdict = gain.verdict
    verb = "ended with" if verdict.outcome == "same templates" else "shows"
    words = f"{method} {verb} {verdict.against(other)}"
    if gain.like_these is not None:
        general = {"gain": "a gain", "loss": "a loss"}.get(gain.like_these.outcome, "no evidence of a gain")
        words = f"{words}. For {gain.like_these.covers}: {general}, {gain.like_these.numbers}"
    return words + (". One seed: the luck of the search is not covered." if gain.seeds == 1 else ".")


def _name(row: str) -> str:
    return METHODS[row].label if row in METHODS else f"“{row}”"


def _control(gain: MethodGain, control: str) -> str:
    subject, shows = _name(SUBJECT), METHODS[control].shows
    if gain.verdict.outcome != "gain":
        return f"{subject} is not shown to beat its control, {_name(control)}: no evidence that {shows}."
    beats = f"{subject} beats its control, {_name(control)}"
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
