"""What domain words add to the default search, over several CLIPs, by kinds of sets.

Reads the cells of grids `domain-words`, one run directory for each CLIP, and keeps of each run its template and its
accuracy on test images. Prints gains in points, with intervals that are crossed over CLIPs, domains and shifts; and
how often the template that was found says what all classes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import CLEAN, SHIFTED, set_of
from benchmarks.lab.cells import Cells, short
from benchmarks.lab.crossed import crossed_interval
from benchmarks.lab.gains import CELLS
from ipo_prompts.experiments.compare.documents import read_folder

Line = dict[str, Any]
SUBJECT = "ipo-default"


def main() -> None:
    """Keep the cells of run directories, and print a table of those of the CLIPs that are asked for."""
    options = arguments(
        __doc__,
        runs={"default": "", "help": "run directories of the grid, with commas between; their cells are kept"},
        clips={"default": "ambiguous-82,ambiguous-83", "help": "names of CLIPs, with commas between"},
        cells={"type": Path, "default": CELLS / "domain-words-search.jsonl.gz", "help": "the file of cells"},
    )
    with Cells(options.cells) as cells:
        for run in filter(None, options.runs.split(",")):
            for key, found in read(Path(run)):
                cells.of(key, partial(dict, found))
    for line in table(lines_of(cells, options.clips.split(","))):
        print(line)


def lines_of(cells: Cells, clips: Sequence[str]) -> list[Line]:
    """Return what was kept of each run with one of these CLIPs."""
    return [
        {"clip": clip, "data": data, "row": row, **found} for (clip, data, row), found in cells.items() if clip in clips
    ]


def read(run: Path) -> Iterator[tuple[tuple[str, str, str], Line]]:
    """Yield the key of each cell of a grid's folder, which is its CLIP, set and row, and what is kept of it."""
    _, entries, outcomes = read_folder(run)
    for entry, outcome in zip(entries, outcomes, strict=True):
        if not isinstance(outcome, str):
            (template,) = outcome.templates or ()
            yield (
                (short(outcome.clip.name), entry.data.removeprefix(SHIFTED), entry.label),
                {
                    "template": template,
                    "test": float(outcome.tests["test"].values.mean()),
                    "looks": outcome.budget.scored_only + outcome.budget.proposals,
                },
            )


def table(lines: list[Line]) -> Iterator[str]:
    """Yield the lines of a table: rows by kinds of sets."""
    kinds: dict[str, Callable[[str, str], bool]] = {
        "one domain, clean": lambda base, shift: bool(base) and shift == CLEAN,
        "one domain, shifted": lambda base, shift: bool(base) and shift != CLEAN,
        "one domain": lambda base, shift: bool(base),
        "mixed": lambda base, shift: not base,
        "all": lambda base, shift: True,
    }
    yield "| row | looks | " + " | ".join(kinds) + " | domain word taken |"
    yield "| --- " * (len(kinds) + 3) + "|"
    rows = list(dict.fromkeys(line["row"] for line in lines))
    value = {(line["row"], line["clip"], line["data"]): line for line in lines}
    for row in rows:
        own = [line for line in lines if line["row"] == row]
        told = []
        for is_kind in kinds.values():
            told.append(_gain(value, row, [(line["clip"], line["data"]) for line in own if is_kind(*_of(line))]))
        taken = [_says_domain(line["template"], _of(line)[0]) for line in own if _of(line)[0]]
        looks = np.mean([line["looks"] for line in own])
        yield f"| {row} | {looks:,.0f} | {' | '.join(told)} | {sum(taken)} of {len(taken)} |"


def _of(line: Line) -> tuple[str, str]:
    of = set_of(line["data"])
    return of.base, "+".join(of.transformations) or CLEAN


def _says_domain(template: str, base: str) -> bool:
    return any(word.strip(".,:") == base for word in template.replace("<CLASS>", "").split())


def _gain(value: dict[tuple[str, str, str], Line], row: str, keys: list[tuple[str, str]]) -> str:
    """Return the accuracy of the default, or what another row has over it, in points with its crossed interval."""
    own = np.array([100 * value[row, *key]["test"] for key in keys])
    if row == SUBJECT:
        return f"{own.mean():.2f} %"
    over = own - [100 * value[SUBJECT, *key]["test"] for key in keys]
    shifts = ["+".join(set_of(data).transformations) for _, data in keys]
    factors = [[clip for clip, _ in keys], [set_of(data).base for _, data in keys], shifts, [data for _, data in keys]]
    low, high = crossed_interval(over, factors)
    return f"{over.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
