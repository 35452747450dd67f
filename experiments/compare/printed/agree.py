"""Where measured and printed numbers agree, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ipo_prompts.experiments.compare.printed.measure import Measured
from ipo_prompts.experiments.compare.published import TemplateRow, TemplateTable, contradictions
from ipo_prompts.experiments.compare.text_table import code, plain
from ipo_prompts.experiments.data.dataset import DIFFERENT
from ipo_prompts.metrics.statistics import harmonic_mean

POINTS = 0.15
"""Two numbers agree when they are one picture or so many points apart, whichever is more: other machines and roundings
change about so much. The paper prints templates twice, with up to 0.06 points between."""
ROUNDING = 0.005
"""Of a number that is printed with two decimals."""


@dataclass(frozen=True)
class Outcome:
    """A printed row as one CLIP has it, in percent.

    Attributes:
        base, new, H: what was measured.
        off: measured minus printed, of base and of new.
        allowed: how far off each may be.
    """

    base: float
    new: float
    H: float
    off: tuple[float, float]
    allowed: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether both are within what is allowed."""
        return all(abs(off) <= allowed + 1e-9 for off, allowed in zip(self.off, self.allowed, strict=True))

    @property
    def worst(self) -> tuple[float, str]:
        """The difference, with its sign, that is larger for what is allowed, and where it is."""
        place = max((0, 1), key=lambda place: abs(self.off[place]) / self.allowed[place])
        return self.off[place], ("base", "new")[place]


@dataclass(frozen=True)
class Row:
    """A printed row: what was printed, what was measured by precision, and what a reader must know of it.

    `remarks` are texts of others; `contradictions` are ours, in Markdown.
    """

    printed: TemplateRow
    decides: bool
    outcomes: dict[str, Outcome]
    remarks: tuple[str, ...]
    contradictions: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """One data set: `sizes` are the test pictures of base and new, `split` is as in `DataSet`."""

    table: TemplateTable
    split: str
    sizes: tuple[int, int]
    rows: tuple[Row, ...]

    def agreeing(self, precision: str, *, decides: bool = True) -> int:
        """Return how many rows agree, of those that decide or of the others."""
        return sum(row.decides is decides and _agrees(row, precision) for row in self.rows)

    def count(self, *, decides: bool = True) -> int:
        """Return how many rows decide, or do not."""
        return sum(row.decides is decides for row in self.rows)


def compare(table: TemplateTable, split: str, sizes: tuple[int, int], measured: Mapping[str, Measured]) -> Compared:
    """Set measured numbers, by precision, beside the printed ones of a data set."""
    rows = []
    for printed in table.rows:
        found = {name: one.hits[printed.template] for name, one in measured.items() if printed.template in one.hits}
        refused = [why for one in measured.values() if (why := one.refused.get(printed.template))]
        remarks = (*filter(None, (printed.note,)), *(f"not measured: {why}" for why in refused[:1]))
        outcomes = {name: _outcome(printed, hits, sizes) for name, hits in found.items()}
        known = tuple(_contradictions(printed, table.rows))
        rows.append(Row(printed, table.decides and printed.decides, outcomes, remarks, known))
    return Compared(table, split, sizes, tuple(rows))


def answer(found: Sequence[Compared], absent: Sequence[str]) -> str:
    """Return the answer: do the rows that decide agree, and if not, which data set does not and by how much."""
    names = _names(found)
    total = sum(one.count() for one in found)
    agreeing = {name: sum(one.agreeing(name) for one in found) for name in names}
    missing = f" Not measured: {', '.join(map(plain, absent))}." if absent else ""
    if not total:
        return f"None of these rows can decide whether data, split and CLIP are right.{missing}"
    best = best_precision(found)
    others = "".join(f", {agreeing[name]} in {name}" for name in names if name != best)
    counted = f"{agreeing.get(best, 0)} of {total} rows that decide agree in {best}{others}"
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


def all_agree(found: Sequence[Compared]) -> bool:
    """Return whether every row that decides agrees, in one precision for all."""
    best = best_precision(found)
    return all(one.agreeing(best) == one.count() for one in found)


def best_precision(found: Sequence[Compared]) -> str:
    """Return the precision in which most rows agree: the paper prints none; of equals the first."""
    return max(_names(found), key=lambda name: sum(one.agreeing(name) for one in found), default="fp32")


def _names(found: Sequence[Compared]) -> list[str]:
    return list(dict.fromkeys(name for one in found for row in one.rows for name in row.outcomes))


def _outcome(printed: TemplateRow, hits: tuple[int, int], sizes: tuple[int, int]) -> Outcome:
    base, new = (100 * right / n for right, n in zip(hits, sizes, strict=True))
    off = (base - printed.base, new - printed.new)
    allowed = (max(POINTS, 100 / sizes[0]) + ROUNDING, max(POINTS, 100 / sizes[1]) + ROUNDING)
    return Outcome(base, new, harmonic_mean(base, new), off, allowed)


def _agrees(row: Row, precision: str) -> bool:
    return precision in row.outcomes and row.outcomes[precision].agrees


def _contradictions(row: TemplateRow, rows: Sequence[TemplateRow]) -> Iterator[str]:
    """Say what of a printed row contradicts itself or another; CLIP reads capitals as small letters."""
    yield from contradictions({"base": row.base, "new": row.new, "H": row.H}, row.follows)
    for other in rows:
        same = other.template.casefold() == row.template.casefold()
        if same and (other.base, other.new) != (row.base, row.new):
            spelt = "" if other.template == row.template else f" as {code(other.template)}"
            yield f"Also printed{spelt} with {other.base:.2f} / {other.new:.2f}."


def _wrong(one: Compared, precision: str) -> str:
    rows = [row for row in one.rows if row.decides and not _agrees(row, precision)]
    measured = [row for row in rows if precision in row.outcomes]
    other = ", another split" if one.split.startswith(DIFFERENT) else ""
    text = f"{plain(one.table.data)}{other}: {one.agreeing(precision)} of {one.count()} agree"
    if not measured:
        return f"{text}, the others cannot be measured"
    row = max(measured, key=lambda row: abs(row.outcomes[precision].worst[0]))
    points, half = row.outcomes[precision].worst
    return f"{text}, off by up to {points:+.2f} points ({half}, {code(row.printed.template)})"
