"""What a run hands over, step by step, judged by goals that were written down before the runs.

Reads the files of cells of the grid `answer`, one for each CLIP. Prints the accuracies of each situation, and the goals
with what was found. Intervals allow for the CLIPs, sets and transformations that values share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bad_names import RULED
from benchmarks.lab.bed import SHIFTED, ShiftedSet, set_of, shared
from benchmarks.lab.crossed import crossed_interval
from benchmarks.lab.gains import CELLS
from ipo_prompts.experiments.compare.documents import unpack
from ipo_prompts.experiments.run.result import RunResult

CLIPS = ("answer-embedded", "answer-plain-91", "answer-plain-92")
"""The kept files of cells."""
FEWEST = 5
"""With fewer values a mean has no interval: two that agree by chance would seem certain."""
TAKEN = ("other names", "images")
STEPS = {
    "as typed": "before",
    "normalised names": "normalised names",
    "text classifier": "text classifier",
    "ipo": "text and images",
    "images alone": "images alone",
}
"""Row of the grid → the head of its column."""


class Found(NamedTuple):
    """What was measured with a CLIP on a set: row → accuracy in percent, and the runs of the rows that search."""

    clip: str
    of: ShiftedSet
    accuracy: dict[str, float]
    runs: dict[str, RunResult]

    @property
    def replaced(self) -> bool:
        """Whether a search for words replaced the initial template."""
        return self.runs["text classifier"].template != self.runs["text classifier"].initial_template

    @property
    def taken(self) -> bool:
        """Whether a run took found names or labelled images."""
        return any(row.kept and row.what in TAKEN for row in self.runs["ipo"].rows_on("test"))


def main() -> None:
    """Print both tables."""
    options = arguments(
        __doc__, cells={"default": ",".join(CLIPS), "help": "names of files of cells, with commas between"}
    )
    found = [one for name in options.cells.split(",") for one in read(name)]
    print("\n".join([*situations(found), "", *goals(found)]))


def read(name: str) -> Iterator[Found]:
    """Yield what a file of cells holds on each set."""
    grid, entries, outcomes = unpack(CELLS / f"{name}.jsonl.gz")
    done = [(entry, one) for entry, one in zip(entries, outcomes, strict=True) if not isinstance(one, str)]
    for data in grid.data:
        own = {entry.label: one for entry, one in done if entry.data == data}
        accuracy = {row: 100 * float(one.tests["test"].values.mean()) for row, one in own.items()}
        runs = {row: one for row, one in own.items() if isinstance(one, RunResult)}
        yield Found(name.removeprefix("answer-"), set_of(data.removeprefix(SHIFTED)), accuracy, runs)


def situation(of: ShiftedSet) -> str:
    """Return the name of a set's situation."""
    if of.kind not in ("", "right"):
        return of.kind
    return "corrupted images" if of.transformations else "clean images"


def situations(found: list[Found]) -> Iterator[str]:
    """Yield the lines of the table of mean accuracies."""
    yield f"| CLIPs and situation, % | {' | '.join(STEPS.values())} | in all |"
    yield "| --- " * (len(STEPS) + 2) + "|"
    groups: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        clips = "demo CLIP" if one.clip == "embedded" else "control CLIPs"
        groups.setdefault((clips, situation(one.of)), []).append(one)
    for (clips, name), own in groups.items():
        means = " | ".join(f"{np.mean([one.accuracy[step] for one in own]):.1f}" for step in STEPS)
        _, gain = _mean(own, "ipo", "as typed")
        yield f"| {clips}, {name} | {means} | {gain} |"


def goals(found: list[Found]) -> Iterator[str]:
    """Yield the lines of the table of goals."""
    kinds: dict[str, list[Found]] = {}
    for one in found:
        kinds.setdefault(situation(one.of), []).append(one)
    clean, changed, shuffled = (kinds[name] for name in ("clean images", "corrupted images", "shuffled"))
    right = [one for one in found if one.of.kind != "shuffled"]
    ruled = [one for kind in RULED for one in kinds[kind]]
    worst = min(_gains(right, "ipo", "as typed"))
    replaced = [one for one in shuffled if one.replaced]
    taken = [one for one in shuffled if one.taken]
    yield "| what is judged | goal | found | met |"
    yield "| --- | --- | --- | --- |"
    yield _goal(
        "clean images: words less names as typed", ">= -0.5", *_mean(clean, "text classifier", "as typed"), -0.5
    )
    yield _goal("clean images: the answer less words", ">= -0.5", *_mean(clean, "ipo", "text classifier"), -0.5)
    yield _goal("corrupted images: the answer less words", ">= 20", *_mean(changed, "ipo", "text classifier"), 20)
    alone = _mean(changed, "ipo", "images alone")
    yield _goal("corrupted images: the answer less images alone", ">= -0.5", *alone, -0.5)
    yield _given_back("names that the rule reads", ruled, clean, "normalised names", 90)
    yield _given_back("synonyms, by words", kinds["synonyms"], clean, "text classifier", 80)
    yield _goal("right labels: the worst answer less names as typed", ">= -5", worst, f"{worst:+.1f}", -5)
    yield _seldom("replace the template", replaced, shuffled, 15)
    yield _seldom("take names or images", taken, shuffled, 5)


def _gains(own: list[Found], row: str, other: str) -> list[float]:
    return [one.accuracy[row] - one.accuracy[other] for one in own]


def _mean(own: list[Found], row: str, other: str) -> tuple[float, str]:
    gains = _gains(own, row, other)
    if len(gains) < FEWEST:
        return float(np.mean(gains)), f"{np.mean(gains):+.1f}"
    specs = [one.of.spec for one in own]
    low, high = crossed_interval(gains, [[one.clip for one in own], specs, *shared(specs)])
    return float(np.mean(gains)), f"{np.mean(gains):+.1f} [{low:.1f}, {high:.1f}]"


def _given_back(what: str, own: list[Found], clean: list[Found], row: str, least: float) -> str:
    """Return the line about what a row gives back of what bad names cost on the same images, in points."""
    known = {(one.clip, one.of.seed): one.accuracy["as typed"] for one in clean}
    cost = np.mean([known[one.clip, one.of.seed] - one.accuracy["as typed"] for one in own])
    share = 100 * float(np.mean(_gains(own, row, "as typed")) / cost)
    return _goal(f"{what}: share of the cost given back", f">= {least} %", share, f"{share:.0f} % of {cost:.1f}", least)


def _seldom(what: str, own: list[Found], shuffled: list[Found], most: float) -> str:
    share = 100 * len(own) / len(shuffled)
    return _goal(f"shuffled labels: runs that {what}", f"<= {most} %", -share, f"{len(own)} of {len(shuffled)}", -most)


def _goal(what: str, goal: str, value: float, found: str, least: float) -> str:
    return f"| {what} | {goal} | {found} | {'yes' if value >= least else 'no'} |"


if __name__ == "__main__":
    main()
