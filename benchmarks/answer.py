"""What a run answers: names by rule, template, other names and pictures, judged by goals that stood before the runs.

Prints two Markdown tables: the goals of `lab/answer-goals.csv` with what was found, and the accuracies of three
situations, step by step. `lab/one_answer.py` says what a run is, `lab/answer_tables.py` how intervals are made.

`JUDGING` has the sets that judge: pairs of transformations, and seeds, that nobody had looked at when the rules and
gates were chosen. The drawings of 68 classes are those that ship, which tuned them in other sets. Half of the drawings
of the beds with thirty classes are held back; no rule or gate was chosen with them. The gain of pictures on the sets of
claims was known from an earlier rule for pictures.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any, NamedTuple

import torch

from benchmarks.common import arguments
from benchmarks.lab import answer_tables
from benchmarks.lab.answer_tables import Run
from benchmarks.lab.bad_names import KINDS
from benchmarks.lab.bed import SHIFTED, suite
from benchmarks.lab.cells import OPTION, Cells, Key, short, show
from benchmarks.lab.one_answer import FORTY_THREE, LOPSIDED, Asked, Bench

JUDGING = {
    "clean": ("clean@301", "clean@302", "clean@303", "clean@304"),
    "named": ("sepia+dark@305", "faded+pixel@306", "hue+noise@307"),
    "unnamed": ("slant+stripes@308", "ripple+posterise@309", "bulge+double@310"),
}
"""Kind of pictures → the sets that judge. Captions of the demo CLIP named the transformations, or none ever did."""
CLAIMS = {"named": "claims-taught", "unnamed": "claims-untaught"}


@dataclass(frozen=True)
class Bed:
    """Runs that differ only in set and draw; the fields are those of `Asked`. `draws` are made of each set."""

    classes: int
    draws: int
    labels: tuple[str, ...] = ("6",)
    kinds: tuple[str, ...] = ("right",)
    twenty: bool = False
    shuffled: bool = False
    all_steps: bool = False

    def asked(self, data: str) -> Iterator[Asked]:
        """Yield the runs on a set."""
        for draw, labels, kind in product(range(self.draws), self.labels, self.kinds):
            yield Asked(data, self.twenty, self.classes, kind, labels, draw, self.shuffled, self.all_steps)


BEDS = {
    "names": Bed(10, 3, kinds=KINDS),
    "names of 68": Bed(68, 1, kinds=KINDS),
    "claims": Bed(68, 1),
    "labels": Bed(30, 2, ("2", "3", "4", "6", "16", LOPSIDED), twenty=True),
    "few": Bed(10, 2, ("1", "2"), ("right", "years", "synonyms")),
    "template": Bed(10, 5, (FORTY_THREE,), twenty=True, all_steps=True),
    "shuffled": Bed(10, 4, ("2", "6", LOPSIDED), twenty=True, shuffled=True),
}
"""The beds. Held-back base pictures alone have thirty classes, so the claims are of 68 or 30."""


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        jobs={"type": int, "default": 1, "help": "processes, one set each"},
        cells=OPTION,
    )
    plan = list(toy(planned()) if options.small else planned())
    clips = options.clips.split(",")
    with Cells(options.cells) as cells:
        for clip in clips:
            measure(cells, clip, plan, options.jobs)
        show(tables(cells, map(short, clips), plan))


class Planned(NamedTuple):
    """A run to be made, the name of its bed, and the kind of its pictures."""

    bed: str
    pictures: str
    asked: Asked

    def key(self, clip: str) -> Key:
        """Return the key of its cell."""
        asked = self.asked
        return (short(clip), self.bed, asked.data, asked.classes, asked.kind, asked.labels, asked.draw)


def planned() -> Iterator[Planned]:
    """Yield the runs of all beds. The claims judge on sets of their own."""
    claims = {kind: [spec.removeprefix(SHIFTED) for spec in suite(half)] for kind, half in CLAIMS.items()}
    for name, bed in BEDS.items():
        for kind, specs in (claims if name == "claims" else JUDGING).items():
            for data in specs:
                yield from (Planned(name, kind, asked) for asked in bed.asked(data))


def toy(plan: Iterable[Planned]) -> Iterator[Planned]:
    """Yield one run of each bed and kind of names, of four classes and one step."""
    seen = set()
    for bed, pictures, asked in plan:
        if (bed, asked.kind) not in seen:
            seen.add((bed, asked.kind))
            yield Planned(bed, pictures, replace(asked, data="clean", classes=4, all_steps=False))


def measure(cells: Cells, clip: str, plan: Sequence[Planned], jobs: int) -> None:
    """Measure the runs that the cells lack, the runs of a set one after the other in one process."""
    lacking: dict[tuple[str, bool], list[Planned]] = {}
    for one in plan:
        if one.key(clip) not in cells:
            lacking.setdefault((one.asked.data, one.asked.twenty), []).append(one)
    work = [(clip, own) for own in lacking.values()]
    if jobs == 1:
        for done in map(_measured, work):
            _keep(cells, done)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for done in pool.imap_unordered(_measured, work):
            _keep(cells, done)


def _keep(cells: Cells, found: list[tuple[Key, Any]]) -> None:
    for key, cell in found:
        cells.of(key, partial(dict, cell))
    cells.save()
    clip, _, data, *_ = found[0][0]
    print(f"{clip}, {data}: {len(found)} runs", file=sys.stderr, flush=True)


@lru_cache(maxsize=1)
def _bench(clip: str) -> Bench:
    torch.set_num_threads(1)
    return Bench(clip)


def _measured(work: tuple[str, list[Planned]]) -> list[tuple[Key, Any]]:
    clip, plan = work
    return [(one.key(clip), _bench(clip).run(one.asked)) for one in plan]


def tables(cells: Cells, clips: Iterable[str], plan: Sequence[Planned]) -> Iterator[str]:
    """Yield the lines of both tables."""
    runs = [Run(clip, *one, cells.of(one.key(clip), dict)) for clip in clips for one in plan]
    yield from answer_tables.goals(runs)
    for classes in answer_tables.CLASSES:
        yield from ("", f"{classes} classes:", *answer_tables.situations(runs, classes))


if __name__ == "__main__":
    main()
