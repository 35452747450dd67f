"""The sentences of a table: IPO against each baseline and control, and the notes below the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ipo_prompts.experiments.compare.methods import Facts
from ipo_prompts.experiments.compare.scores import MEAN_OF_H, H
from ipo_prompts.experiments.compare.table import PUBLISHED, Table
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.experiments.run.config import PUBLISHED_CLIP
from ipo_prompts.metrics.errors import several


def verdicts(table: Table) -> list[str]:
    """Return one sentence for each comparison of IPO with another row.

    IPO is compared on the averages, or on each data set if the table has no averages. In a table without IPO (an
    ablation, whose rows are variants) each row is compared with the reference.
    """
    found: list[str] = []
    methods, facts = table.methods, table.facts
    pairs = [(method, table.reference) for method in methods if method != table.reference]
    subject = table.subject
    if subject and table.reference != subject:
        pairs = [(subject, one) for one in dict.fromkeys([table.reference, *table.rivals]) if one in methods]
    for scope in table.averages or table.scopes:
        number = f" of {len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}" if scope.is_average else ""
        start = f"{scope.name}{number}, {table.headline}: "
        for pair in pairs:
            gain = table.line(scope.name, pair[0], over=pair[1])
            names = [facts[row].label for row in pair]
            missing = f"{' and '.join(names)} are not compared; one of them is absent."
            found.append(start + (_sentence(gain, *names) if gain else missing))
        for name, method in facts.items():
            if method.shows and (gain := table.line(scope.name, subject, over=name)):
                found.append(start + _control(gain, facts[subject].label, method))
    return found


def _sentence(gain: Any, method: str, other: str) -> str:
    verb = "ended with" if gain.outcome == "same templates" else "shows"
    words = f"{method} {verb} {gain.verdict.against(other)}"
    return words + (". One seed: the luck of the search is not covered." if gain.seeds == 1 else ".")


def _control(gain: Any, subject: str, control: Facts) -> str:
    beats = f"{subject} beats its control, {control.label}"
    if gain.outcome != "gain":
        return f"{subject} is not shown to beat its control, {control.label}: no evidence that {control.shows}."
    if gain.seeds == 1:
        return f"{beats}, with one seed, which may be the luck of either search."
    return f"{beats}: {control.shows}."


def notes(table: Table) -> list[str]:
    """Return the notes below a table: what its numbers mean, how its rows differ, how published numbers differ."""
    unit = table.unit
    published = PUBLISHED in set(table.frame.origin)
    cells = [cell for runs in table.runs.values() for cell in runs.cells]
    calls = {cell.done.budget.calls for cell in cells}
    clips = {cell.done.clip.name for cell in cells}
    precisions: dict[str, dict[str, None]] = {}
    for cell in cells:
        precisions.setdefault(cell.done.clip.precision, {})[cell.row] = None
    of_rows = [f"{one} ({several([*rows], len(table.methods))})" for one, rows in sorted(precisions.items())]
    saw: dict[int, dict[str, None]] = {}
    for cell in cells:
        saw.setdefault(cell.facts.labelled, {})[cell.row] = None
    by_labels = "; ".join(f"{number} by {', '.join(saw[number])}" for number in sorted(saw, reverse=True))
    searched = [one for one in table.runs.values() if not one.is_fixed and len(one.seeds) > 1]
    found: list[tuple[object, str]] = [  # whether the note applies, the note
        (
            table.averages,
            "A method that lacks a data set has no mean.",
        ),
        (
            table.averages and table.subject,
            f"The gain of a method over {table.subject} is the comparison of {table.subject} with it, reversed, and "
            "corrected with all of that method's.",
        ),
        (
            True,
            f"Values: {table.measure} in percent, mean over seeds, [95 % interval], ± standard deviation over seeds; n "
            f"counts {unit}. Intervals cover the choice of test {unit} within these classes (variants of one image "
            "are one draw) and, with two or more seeds, the luck of the search; the classes and data sets are taken as "
            "given.",
        ),
        (
            searched and all(one.ignore_seeds() for one in searched),
            "The seed moved nothing: under every seed, each row ended with the same templates and values. ± 0.00 says "
            "nothing about other images, and one seed shows as much.",
        ),
        (
            MEAN_OF_H in table.columns,
            "H is the harmonic mean of base and new; in an average row it is the harmonic mean of the two averaged "
            f"columns, as the papers print it. “{MEAN_OF_H}” averages the data sets' H instead.",
        ),
        (
            H in table.columns and MEAN_OF_H not in table.columns,
            "H is the harmonic mean of base and new, each averaged over seeds.",
        ),
        (
            True,
            f"Gains: paired on the same test {unit} and seeds, for these classes and data sets. p is Holm-corrected "
            "for that method's comparisons in that row (their number in brackets); * marks a corrected p of at most "
            "0.05. Intervals are not corrected, and rows are not corrected for one another.",
        ),
        (
            True,
            f"Optimism: the gain over the reference on the train {unit} minus that on the test {unit} of the same "
            "classes; above 0, the search promised more than the test showed.",
        ),
        *((True, note) for note in _missing_sides(table)),
        (
            len([number for number in saw if number]) > 1,
            "labels/class counts the labelled images of each class that a row saw, to search, train or choose with: "
            f"{by_labels}. Rows with the same number have the same budget; a gain over a row that saw fewer labels may "
            "be due to the labels.",
        ),
        (
            len(calls - {0}) > 1,
            "Methods that ask a language model get the same steps and candidates, unless a note says otherwise. Their "
            "calls differ because some methods ask for one template a call, and because unusable replies are asked for "
            "again, more often by some methods.",
        ),
        (
            published and not clips <= set(PUBLISHED_CLIP),
            f"Published numbers are of {PUBLISHED_CLIP[0]}, ours of {', '.join(sorted(clips))}: "
            "they stand side by side, but cannot be compared.",
        ),
        (
            published or len(precisions) > 1,
            f"Precision of the CLIP: {'; '.join(of_rows)}."
            + (" That of the published numbers is not printed." if published else ""),
        ),
        (
            any(cell.done.budget.scored_only for cell in cells),
            "Proposals are the templates that a search proposed and scored. Scored only are the other templates that "
            "were scored: templates of a list, or composed of given words, without a language model.",
        ),
        *((True, note) for note in _of_methods({cell.row: cell.facts for cell in cells})),
        (len(table.seeds) == 1, "One seed: what the search owes to luck is in no interval."),
        *((True, note) for note in _other_splits(table)),
    ]
    return [note for when, note in found if when]


def _missing_sides(table: Table) -> Iterator[str]:
    had = {
        name: {side for row, runs in table.runs.items() if row[1] == name for side in runs.values}
        for name in table.methods
    }
    sides = {side for found in had.values() for side in found}
    for name, found in had.items():
        if found and (missing := [side for side in table.columns if side in sides - found]):
            yield f"{name} has no value for {', '.join(missing)}."


def _of_methods(rows: Mapping[str, Facts]) -> Iterator[str]:
    for row, facts in rows.items():
        if facts.remark:
            yield f"{row}: {facts.remark}."
        if facts.differs:
            yield f"{row} is not in everything as published: {facts.differs}."


def _other_splits(table: Table) -> Iterator[str]:
    for scope in table.data_sets:
        if why := why_different(scope.split):
            yield f"† {scope.name}: different split ({why}); not comparable with published numbers."
