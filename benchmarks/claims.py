"""The tables of `ipo docs benchmarks`, from the cells of the grid claims; nothing is run.

For rows, columns and intervals see `gains.py`, whose intervals allow for sets that share their first transformation. A
set of held-back base images counts like any other. Where three CLIPs stand together, their training is crossed with
the sets: a gain has to hold for CLIPs like these three.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import claims
from benchmarks.lab.gains import CELLS, Row, rows_of, together

CLIPS = {
    "control CLIP of seed 77": "claims-plain-77",
    "control CLIP of seed 78": "claims-plain-78",
    "control CLIP of seed 79": "claims-plain-79",
    "demo CLIP": "claims-embedded",
}
"""Name of a CLIP → its raw cells."""
PLAIN = ("control CLIP of seed 77", "control CLIP of seed 78", "control CLIP of seed 79")
GROUPS = {"three control CLIPs": PLAIN, **{clip: (clip,) for clip in CLIPS}}
"""The groups that have tables: CLIPs together, and each CLIP alone."""
KINDS = ("untaught", "taught", "clean")
SEARCH = "ipo-default"
"""The row of `ipo optimize --lm none`: without a language model nothing reads what a describer says."""
WAYS = {
    "`ipo optimize --lm none`: words of the vocabulary put together": SEARCH,
    "best of random pairs of the vocabulary": "random-pairs",
    "best single phrase of the vocabulary": "vocabulary",
    "best of CLIP's 80 templates": "best-of-80",
    "no words: nearest mean of six labelled images a class": "prototype",
}
"""Rows by what they are → their names in cells."""
WITH_MODEL = {
    "proposals of the model, no history shown": "no-history",
    "proposals of the model, history shown": "history",
}
"""Rows of 60 proposals of the local model of half a billion parameters, on the control CLIP of seed 77."""


def main() -> None:
    """Print the tables in Markdown."""
    options = arguments(__doc__)
    if options.small:  # the tests compare all tables with their pages
        print("\n".join(by_kind(next(iter(GROUPS)))))
        return
    print("\n\n".join("\n".join([f"{group}:", "", *by_kind(group)]) for group in GROUPS))
    print("\n".join(["", *with_model()]))


def by_kind(group: str) -> list[str]:
    """Return the lines of the gains over the baseline template by kind of sets."""
    kinds = {**{kind: (kind,) for kind in KINDS}, "untaught and taught": KINDS[:2]}
    return _gains(group, {name: told(group, kind) for name, kind in kinds.items()})


def _gains(corner: str, columns: dict[str, dict[str, Row]]) -> list[str]:
    heads = [f"{name} ({rows['baseline'].accuracy:.1f} %)" for name, rows in columns.items()]
    lines = [f"| {corner} | {' | '.join(heads)} | labels a class | scored |", "| --- " * (len(heads) + 3) + "|"]
    for title, row in WAYS.items():
        found = [rows[row] for rows in columns.values()]
        gains = " | ".join(one.over_baseline for one in found)
        lines.append(f"| {title} | {gains} | {found[0].labels} | {found[0].looks:,.0f} |")
    return lines


def with_model() -> list[str]:
    """Return the lines of rows that ask a language model, on both kinds of shifts together."""
    rows = rows_of(CELLS / "claims-plain-77-lm.jsonl.gz", "test")
    search = of(CLIPS[PLAIN[0]], KINDS[:2])[SEARCH]
    lines = [_line(PLAIN[0], ["over the baseline template", "over the search without a model"]), "| --- " * 3 + "|"]
    return [
        *lines,
        *(
            _line(title, [rows[name].over_baseline, together([rows[name]], [search])])
            for title, name in WITH_MODEL.items()
        ),
    ]


def _line(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def told(group: str, kinds: tuple[str, ...]) -> dict[str, Row]:
    """Return the rows of a CLIP or of several together, on some kinds of sets."""
    clips = [of(CLIPS[clip], kinds) for clip in GROUPS[group]]

    def gain(name: str) -> str:
        if len(clips) == 1 or name == "baseline":
            return clips[0][name].over_baseline
        return together([rows[name] for rows in clips], [rows["baseline"] for rows in clips])

    return {
        name: Row(
            float(np.mean([rows[name].accuracy for rows in clips])),
            gain(name),
            row.labels,
            float(np.mean([rows[name].looks for rows in clips])),
        )
        for name, row in clips[0].items()
    }


@lru_cache
def of(file: str, kinds: tuple[str, ...]) -> dict[str, Row]:
    """Read the rows of a CLIP on some kinds of sets."""
    names = {one.spec for kind in kinds for one in claims(f"claims-{kind}")}
    return rows_of(CELLS / f"{file}.jsonl.gz", "test", names.__contains__)


if __name__ == "__main__":
    main()
