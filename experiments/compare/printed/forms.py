"""Printed templates beside measured ones as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ipo_prompts.experiments.compare.printed.agree import POINTS, Compared, Row, all_agree, answer
from ipo_prompts.experiments.compare.text_table import code, plain, text_table
from ipo_prompts.experiments.data.dataset import DIFFERENT

TITLE = "Printed templates, measured again"


def documents(
    found: Sequence[Compared], absent: Mapping[str, str], precisions: Sequence[str], notes: Sequence[str]
) -> dict[str, str]:
    """Return `table.md`, `table.csv` and `table.json`.

    Args:
        found: the data sets that were measured.
        absent: data set → why it was not, a sentence.
        precisions: the columns.
        notes: sentences below the summary.
    """
    return {
        "table.md": _markdown(found, absent, precisions, notes),
        "table.csv": _csv(found),
        "table.json": json.dumps(_json(found, absent, notes), indent=1, ensure_ascii=False) + "\n",
    }


def summary(found: Sequence[Compared], precisions: Sequence[str]) -> tuple[list[str], list[list[str]]]:
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
    found: Sequence[Compared], absent: Mapping[str, str], precisions: Sequence[str], notes: Sequence[str]
) -> str:
    parts = [f"## {TITLE}", f"**{answer(found, list(absent))}**", text_table(*summary(found, precisions))]
    parts.append(
        f"A row agrees when base and new are each within one picture or {POINTS} points of print, whichever is more; "
        "the same precision counts for all data sets, the one with more rows that agree. The others do not decide: "
        "their numbers are not one measurement of one CLIP."
    )
    parts += [plain(note) for note in notes]
    parts += [f"Not measured: {plain(name)}. {plain(why)}" for name, why in absent.items()]
    if absent:
        parts.append(
            f"With its pictures at hand, `ipo benchmark paper-templates data={next(iter(absent))}` measures one alone."
        )
    parts += [_section(one, precisions) for one in found]
    return "\n\n".join(parts) + "\n"


def _section(one: Compared, precisions: Sequence[str]) -> str:
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
    if one.split.startswith(DIFFERENT):
        about.append(f"The split is another one ({plain(one.split.removeprefix(DIFFERENT))}): these need not agree.")
    return f"### {plain(one.table.data)}\n\n{' '.join(about)}\n\n{text_table(head, rows)}"


def _three(base: float, new: float, both: float) -> str:
    return f"{base:.2f} / {new:.2f} / {both:.2f}"


def _agreement(row: Row, precisions: Sequence[str]) -> str:
    """Say where a row agrees; where nowhere, the larger difference in the nearest precision."""
    if not row.outcomes:
        return "–"
    agreeing = [name for name in precisions if name in row.outcomes and row.outcomes[name].agrees]
    said = "yes" if len(agreeing) == len(row.outcomes) else f"in {', '.join(agreeing)}"
    if not agreeing:
        points, half = min((one.worst for one in row.outcomes.values()), key=lambda worst: abs(worst[0]))
        said = f"no, {half} {points:+.2f}"
    return said if row.decides else f"({said})"


def _csv(found: Sequence[Compared]) -> str:
    text = io.StringIO()
    head = ["data", "split", "template", "decides", "precision", "printed_base", "printed_new", "printed_H"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*head, "base", "new", "H", "n_base", "n_new", "agrees", "to_know"])
    for one in found:
        for row in one.rows:
            told = (row.printed.base, row.printed.new, row.printed.H)
            for name, o in row.outcomes.items():
                values = (f"{value:.4f}" for value in (o.base, o.new, o.H))
                about = [one.table.data, one.split, row.printed.template, row.decides, name, *told]
                writer.writerow([*about, *values, *one.sizes, o.agrees, " ".join([*row.remarks, *row.contradictions])])
    return text.getvalue()


def _json(found: Sequence[Compared], absent: Mapping[str, str], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "title": TITLE,
        "answer": answer(found, list(absent)),
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
