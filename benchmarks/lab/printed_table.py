"""Compares printed accuracies of templates with measured ones, and makes an answer, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.compare.layout import code, plain, text_table
from ipo_prompts.experiments.compare.published import TemplateRow, TemplateTable, contradictions
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.metrics.sampling import harmonic_mean

POINTS = 0.15
"""Two numbers agree when they differ by at most one picture or this many points, whichever is more.

Other machines and other rounding change numbers by about this much. Where the paper prints a template twice, its two
numbers differ by up to 0.06 points.
"""
ROUNDING = 0.005
"""The largest rounding error of a number that is printed with two decimals."""


@dataclass(frozen=True)
class TemplateHits:
    """The results of templates with one CLIP.

    Attributes:
        hits: template → two numbers of correct pictures: of the base classes, and of the new classes.
        refused: template → why it cannot be measured, as part of a sentence.
    """

    hits: dict[str, tuple[int, int]]
    refused: dict[str, str]


@dataclass(frozen=True)
class Agreement:
    """The measurement of a printed row with one CLIP, in percent and points.

    Attributes:
        base, new, H: the measured accuracies, and their harmonic mean.
        off: the measured minus the printed value, for base and for new.
        allowed: the largest absolute difference that counts as agreement, for base and for new.
    """

    base: float
    new: float
    H: float
    off: tuple[float, float]
    allowed: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether both differences are within the allowed differences."""
        return all(abs(off) <= allowed + 1e-9 for off, allowed in zip(self.off, self.allowed, strict=True))

    @property
    def worst(self) -> tuple[float, str]:
        """The difference that is larger in relation to the allowed difference, with its sign, and "base" or "new"."""
        place = max((0, 1), key=lambda place: abs(self.off[place]) / self.allowed[place])
        return self.off[place], ("base", "new")[place]


@dataclass(frozen=True)
class PrintedRow:
    """A printed row with its measurements.

    `outcomes` has the measurement for each precision. `remarks` are notes whose text may come from others;
    `contradictions` are notes of ours, in Markdown.
    """

    printed: TemplateRow
    decides: bool
    outcomes: dict[str, Agreement]
    remarks: tuple[str, ...]
    contradictions: tuple[str, ...]

    def agrees(self, precision: str) -> bool:
        """Whether the row was measured in a precision, and agrees with print in that precision."""
        return precision in self.outcomes and self.outcomes[precision].agrees


@dataclass(frozen=True)
class PrintedTable:
    """The printed rows of one data set.

    `sizes` are the numbers of test pictures of the base and of the new classes. For `split`, see `DataSet`.
    """

    table: TemplateTable
    split: str
    sizes: tuple[int, int]
    rows: tuple[PrintedRow, ...]

    def agreeing(self, precision: str, *, decides: bool = True) -> int:
        """Return how many rows agree, among the rows that decide or, if not `decides`, among the other rows."""
        return sum(row.decides is decides and row.agrees(precision) for row in self.rows)

    def count(self, *, decides: bool = True) -> int:
        """Return the number of rows that decide or, if not `decides`, of the other rows."""
        return sum(row.decides is decides for row in self.rows)


def beside_print(
    table: TemplateTable, split: str, sizes: tuple[int, int], measured: Mapping[str, TemplateHits]
) -> PrintedTable:
    """Return the printed rows of a data set with their measurements; `measured` has the results for each precision."""
    rows = []
    for printed in table.rows:
        found = {name: one.hits[printed.template] for name, one in measured.items() if printed.template in one.hits}
        refused = [why for one in measured.values() if (why := one.refused.get(printed.template))]
        remarks = (*filter(None, (printed.note,)), *(f"not measured: {why}" for why in refused[:1]))
        outcomes = {name: _outcome(printed, hits, sizes) for name, hits in found.items()}
        known = tuple(_contradictions(printed, table.rows))
        rows.append(PrintedRow(printed, table.decides and printed.decides, outcomes, remarks, known))
    return PrintedTable(table, split, sizes, tuple(rows))


def answer_of_print(found: Sequence[PrintedTable], absent: Sequence[str]) -> str:
    """Return the answer as a text: whether the deciding rows agree, and if not, which data sets differ how much."""
    names = _names(found)
    total = sum(one.count() for one in found)
    agreeing = {name: sum(one.agreeing(name) for one in found) for name in names}
    missing = f" Not measured: {', '.join(map(plain, absent))}." if absent else ""
    if not total:
        return f"None of these rows can decide whether data, split and CLIP are right.{missing}"
    best = best_precision(found)
    others = "".join(f", {agreeing[name]} in {name}" for name in names if name != best)
    counted = f"{agreeing.get(best, 0)} of {total} deciding rows agree in {best}{others}"
    if agreeing.get(best, 0) == total:
        both = len(names) > 1 and all(number == total for number in agreeing.values())
        right = (
            "data, split and CLIP are right, and either precision is"
            if both
            else "data, split, CLIP and precision are right"
        )
        return f"{counted}: {right}.{missing}"
    wrong = "; ".join(_wrong(one, best) for one in found if one.agreeing(best) < one.count())
    return f"{counted}. {wrong}.{missing}"


def all_agree(found: Sequence[PrintedTable]) -> bool:
    """Return whether there is one precision in which every row that decides agrees."""
    best = best_precision(found)
    return all(one.agreeing(best) == one.count() for one in found)


def best_precision(found: Sequence[PrintedTable]) -> str:
    """Return the precision in which most rows agree, because the paper names none; of equal precisions, the first."""
    return max(_names(found), key=lambda name: sum(one.agreeing(name) for one in found), default="fp32")


def _names(found: Sequence[PrintedTable]) -> list[str]:
    return list(dict.fromkeys(name for one in found for row in one.rows for name in row.outcomes))


def _outcome(printed: TemplateRow, hits: tuple[int, int], sizes: tuple[int, int]) -> Agreement:
    base, new = (100 * right / n for right, n in zip(hits, sizes, strict=True))
    off = (base - printed.base, new - printed.new)
    allowed = (max(POINTS, 100 / sizes[0]) + ROUNDING, max(POINTS, 100 / sizes[1]) + ROUNDING)
    return Agreement(base, new, harmonic_mean(base, new), off, allowed)


def _contradictions(row: TemplateRow, rows: Sequence[TemplateRow]) -> Iterator[str]:
    """Yield a sentence for each contradiction within a printed row, or between it and another row.

    CLIP reads capitals as small letters, so templates that differ only in capitals should have equal numbers.
    """
    yield from contradictions({"base": row.base, "new": row.new, "H": row.H}, row.follows)
    for other in rows:
        same = other.template.casefold() == row.template.casefold()
        if same and (other.base, other.new) != (row.base, row.new):
            spelt = "" if other.template == row.template else f" as {code(other.template)}"
            yield f"Also printed{spelt} with {other.base:.2f} / {other.new:.2f}."


def _wrong(one: PrintedTable, precision: str) -> str:
    rows = [row for row in one.rows if row.decides and not row.agrees(precision)]
    measured = [row for row in rows if precision in row.outcomes]
    other = ", another split" if why_different(one.split) else ""
    text = f"{plain(one.table.data)}{other}: {one.agreeing(precision)} of {one.count()} agree"
    if not measured:
        return f"{text}, the others cannot be measured"
    row = max(measured, key=lambda row: abs(row.outcomes[precision].worst[0]))
    points, half = row.outcomes[precision].worst
    return f"{text}, off by up to {points:+.2f} points ({half}, {code(row.printed.template)})"


TITLE = "Printed templates, measured again"


def printed_documents(
    found: Sequence[PrintedTable], absent: Mapping[str, str], precisions: Sequence[str], notes: Sequence[str]
) -> dict[str, str]:
    """Return `table.md`, `table.csv` and `table.json`.

    Args:
        found: the data sets that were measured.
        absent: data set → why it was not measured, as a sentence.
        precisions: the precisions, which are the columns.
        notes: sentences to print below the summary.
    """
    return {
        "table.md": _markdown(found, absent, precisions, notes),
        "table.csv": _csv(found),
        "table.json": json.dumps(_json(found, absent, notes), indent=1, ensure_ascii=False) + "\n",
    }


def agreeing_rows(found: Sequence[PrintedTable], precisions: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table that says how many rows of each data set agree."""
    head = [
        "data",
        "rows that decide",
        *(f"agree in {name}" for name in precisions),
        "others",
        "of which agree",
        "split",
    ]
    rows = []
    for one in found:
        others = max((one.agreeing(name, decides=False) for name in precisions), default=0)
        counts = (one.count(), *map(one.agreeing, precisions), one.count(decides=False), others)
        rows.append([plain(one.table.data), *map(str, counts), plain(one.split.partition(":")[0])])
    return head, rows


def _markdown(
    found: Sequence[PrintedTable], absent: Mapping[str, str], precisions: Sequence[str], notes: Sequence[str]
) -> str:
    parts = [
        f"## {TITLE}",
        f"**{answer_of_print(found, list(absent))}**",
        text_table(*agreeing_rows(found, precisions)),
    ]
    parts.append(
        f"A row agrees when base and new are each within one picture or {POINTS} points of print, whichever is more; "
        "the same precision counts for all data sets, the one with more rows that agree. The others do not decide: "
        "their numbers are not one measurement of one CLIP."
    )
    parts += [plain(note) for note in notes]
    parts += [f"Not measured: {plain(name)}. {plain(why)}" for name, why in absent.items()]
    if absent:
        parts.append(
            f"With its pictures at hand, `python -m benchmarks paper-templates data={next(iter(absent))}` measures one "
            "alone."
        )
    parts += [_section(one, precisions) for one in found]
    return "\n\n".join(parts) + "\n"


def _section(one: PrintedTable, precisions: Sequence[str]) -> str:
    head = ["printed base / new / H", *precisions, "agrees", "template", "to know"]
    rows = [
        [
            _three(row.printed.base, row.printed.new, row.printed.H),
            *(_three(o.base, o.new, o.H) if (o := row.outcomes.get(name)) else "–" for name in precisions),
            _agreement(row, precisions),
            code(row.printed.template),
            " ".join([*map(plain, row.remarks), *row.contradictions]),
        ]
        for row in one.rows
    ]
    base, new = one.sizes
    about = [f"{base:,} + {new:,} test pictures, base + new classes. Printed: {plain(one.table.source)}."]
    about += ["Not checked against the source."] if not one.table.checked else []
    about += [plain(one.table.note)] if one.table.note else []
    if why := why_different(one.split):
        about.append(f"The split is another one ({plain(why)}): these need not agree.")
    return f"### {plain(one.table.data)}\n\n{' '.join(about)}\n\n{text_table(head, rows)}"


def _three(base: float, new: float, both: float) -> str:
    return f"{base:.2f} / {new:.2f} / {both:.2f}"


def _agreement(row: PrintedRow, precisions: Sequence[str]) -> str:
    """Return the precisions in which a row agrees; if there are none, the worst difference in the nearest precision."""
    if not row.outcomes:
        return "–"
    agreeing = [name for name in precisions if name in row.outcomes and row.outcomes[name].agrees]
    said = "yes" if len(agreeing) == len(row.outcomes) else f"in {', '.join(agreeing)}"
    if not agreeing:
        points, half = min((one.worst for one in row.outcomes.values()), key=lambda worst: abs(worst[0]))
        said = f"no, {half} {points:+.2f}"
    return said if row.decides else f"({said})"


def _csv(found: Sequence[PrintedTable]) -> str:
    from pandas import DataFrame

    head = ["data", "split", "template", "decides", "precision", "printed_base", "printed_new", "printed_H"]
    rows = []
    for one in found:
        for row in one.rows:
            told = (row.printed.base, row.printed.new, row.printed.H)
            for name, o in row.outcomes.items():
                about = [one.table.data, one.split, row.printed.template, row.decides, name, *told]
                values = (f"{value:.4f}" for value in (o.base, o.new, o.H))
                rows.append([*about, *values, *one.sizes, o.agrees, " ".join([*row.remarks, *row.contradictions])])
    frame = DataFrame(rows, columns=[*head, "base", "new", "H", "n_base", "n_new", "agrees", "to_know"])
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _json(found: Sequence[PrintedTable], absent: Mapping[str, str], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "title": TITLE,
        "answer": answer_of_print(found, list(absent)),
        "agrees": all_agree(found),
        "notes": list(notes),
        "absent": dict(absent),
        "data": [
            {
                **one.table.model_dump(exclude={"rows"}),
                "split": one.split,
                "n": {"base": one.sizes[0], "new": one.sizes[1]},
                "rows": [
                    {
                        "template": row.printed.template,
                        "decides": row.decides,
                        "printed": {"base": row.printed.base, "new": row.printed.new, "H": row.printed.H},
                        "measured": {
                            name: {
                                **{key: round(getattr(o, key), 4) for key in ("base", "new", "H")},
                                "agrees": o.agrees,
                            }
                            for name, o in row.outcomes.items()
                        },
                        "to_know": [*row.remarks, *row.contradictions],
                    }
                    for row in one.rows
                ],
            }
            for one in found
        ],
    }
