"""The tables of docs/claims.md and of the README, of the raw cells of `ipo benchmark claims`; nothing is run.

Rows, columns and intervals: see `gains.py`, whose intervals know that sets share their first operation. A set that is
on held-back base pictures counts like any other. What was not run says so.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from common import arguments
from gains import DOCS, Row, rows_of

from ipo_prompts.experiments.embedded.shifts import claims

CLIPS = {
    "plain CLIP of seed 77": "claims-plain-77",
    "plain CLIP of seed 78": "claims-plain-78",
    "our CLIP": "claims-embedded",
}
"""What CLIPs are called, and the raw cells of each."""
COLUMNS = {
    "plain CLIP, seed 77": ("plain CLIP of seed 77", ("untaught", "taught")),
    "plain CLIP, seed 78": ("plain CLIP of seed 78", ("untaught", "taught")),
    "our CLIP, untaught": ("our CLIP", ("untaught",)),
    "our CLIP, taught": ("our CLIP", ("taught",)),
}
"""Columns of the README's table: a CLIP and kinds of sets."""
KINDS = ("untaught", "taught", "clean")
DEFAULT = "ipo-default, no language model"
WAYS = {
    "words put together, the default": DEFAULT,
    "best of random pairs of phrases": "random-pairs",
    "best single phrase": "bank",
    "best of CLIP's 80 templates": "best-of-80",
    "words put together, shipped bank": "ipo-default, shipped bank",
    "best of random pairs, shipped bank": "random-pairs, shipped bank",
    "best single phrase, shipped bank": "bank, shipped",
    "no words: mean of six unlabelled pictures a class taken off": "centred",
    "no words: nearest mean of six labelled pictures a class": "class-mean",
}
"""Rows by what they are, and what cells call them; the general bank where none is named."""
WITH_WORDS = [title for title, row in WAYS.items() if row in (DEFAULT, "random-pairs", "bank", "best-of-80")]
LOOKS = (60, 300, 500, 1600)
LAST = LOOKS[-1]
NOT_RUN = "not run"


def main() -> None:
    """Print the tables in Markdown."""
    options = arguments(__doc__, readme={"action": "store_true", "help": "the README's table instead"})
    if options.readme:
        print("\n".join(readme()))
        return
    print("\n\n".join("\n".join([f"{clip}:", "", *by_kind(clip), "", *by_looks(clip)]) for clip in run()))


def run() -> list[str]:
    """Return the CLIPs of which there are cells."""
    return [clip for clip, file in CLIPS.items() if of(file, KINDS, LAST)]


def readme() -> list[str]:
    """Return the lines of the README's table: gains over the anchor after all looks."""
    columns = {name: of(CLIPS[clip], kinds, LAST) for name, (clip, kinds) in COLUMNS.items()}
    return _gains("", {name: rows for name, rows in columns.items() if rows})


def by_kind(clip: str) -> list[str]:
    """Return the lines of the gains over the anchor after all looks, for each kind of sets."""
    kinds = {**{kind: (kind,) for kind in KINDS}, "untaught and taught": KINDS[:2]}
    columns = {name: of(CLIPS[clip], kind, LAST) for name, kind in kinds.items()}
    return _gains(clip, {name: rows for name, rows in columns.items() if rows})


def _gains(corner: str, columns: dict[str, dict[str, Row]]) -> list[str]:
    heads = [f"{name} ({rows['anchor'].accuracy:.1f} %)" for name, rows in columns.items()]
    lines = [f"| {corner} | {' | '.join(heads)} | labels a class | looks |", "| --- " * (len(heads) + 3) + "|"]
    for title, row in WAYS.items():
        found = [rows.get(row) for rows in columns.values()]
        labels, looks = next(((one.labels, f"{one.looks:,.0f}") for one in found if one), ("", ""))
        gains = " | ".join(one.over_anchor if one else NOT_RUN for one in found)
        lines.append(f"| {title} | {gains} | {labels} | {looks} |")
    return lines


def by_looks(clip: str) -> list[str]:
    """Return the lines of both kinds of shifts together, with the general bank, after so many looks."""
    columns = [of(CLIPS[clip], KINDS[:2], looks) for looks in LOOKS]
    heads = [f"{looks:,} looks" for looks in LOOKS]
    lines = [f"| {clip} | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for title in WITH_WORDS:
        found = [rows.get(WAYS[title]) for rows in columns]
        gains = {title: [one.over_anchor if one else NOT_RUN for one in found]}
        if WAYS[title] != DEFAULT:
            gains["– over the default"] = [one.over_default if one else NOT_RUN for one in found]
        lines += [f"| {name} | {' | '.join(told)} |" for name, told in gains.items()]
    return lines


@lru_cache
def of(file: str, kinds: tuple[str, ...], looks: int) -> dict[str, Row]:
    """Read the rows of some kinds of sets after so many looks; none where no cell of them was run."""
    names = {f"embedded:{one.name}" for kind in kinds for one in claims(f"claims-{kind}")}
    path = DOCS / f"{file}.json.gz"
    if not Path(path).is_file():
        return {}
    return rows_of(path, f"{looks} looks", names.__contains__)


if __name__ == "__main__":
    main()
