"""The tables of `benchmarks/answer.py`: goals with what was found, and accuracies step by step.

Runs share CLIPs, sets and drawings. So the intervals are those of `crossed.py`, with CLIPs and sets as factors and the
variance that shared drawings add to that of single pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lab.bad_names import RULED
from benchmarks.lab.cells import hits_of
from benchmarks.lab.crossed import crossed_interval
from benchmarks.lab.one_answer import DRAWINGS, FIELDS, LOPSIDED, Asked
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.nouns import all_above
from ipo_prompts.metrics.sampling import Interval, Sampling, Variance
from ipo_prompts.metrics.template import BASELINE, words
from ipo_prompts.programs.candidates import NO_THINGS, senses

GOALS = Path(__file__).with_name("answer-goals.csv")
LOST = 5.0
"""A run loses if it loses more than this many points."""
MARGIN = 0.5
FEWEST_PICTURES, FEWEST_DRAWS, FEWEST_SURE, FEWEST_HITS = 100, 30, 50, 5
"""The test pictures of a run that can lose; the draws, and the sure pictures, of a group, and the hits of a class."""
COST = 2.0
"""Shares of what names cost are judged where they cost at least this many points."""


class Run(NamedTuple):
    """A cell with what it is of; `pictures` is the kind of pictures: clean, named or unnamed transformations."""

    clip: str
    bed: str
    pictures: str
    asked: Asked
    cell: dict[str, Any]

    @property
    def changed(self) -> str:
        """Whether the pictures are clean or changed."""
        return "clean" if self.pictures == "clean" else "changed"

    def hits(self, step: str) -> Doubles:
        """Return the hits in % after a step: `first`, one of `FIELDS`, or `alone`."""
        found = hits_of(self.cell["first"])
        if step == "alone":
            return 100 * (found + _changes(self.cell["alone"]))
        for field in FIELDS[: FIELDS.index(step) + 1] if step != "first" else ():
            found = found + _changes(self.cell[field])
        return 100 * found


def _changes(text: str) -> Doubles:
    return np.array(["-0+".index(one) - 1 for one in text], dtype=np.float64)


class Judged(NamedTuple):
    """What was found for a goal, and whether it is met."""

    found: str
    met: bool


def goals(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the lines of the table of goals; rows without runs are left out."""
    yield "| what is judged | goal | found | met |"
    yield "| --- " * 4 + "|"
    with GOALS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            own = [run for run in runs if USED[row["row"]](run)]
            if own:
                found, met = JUDGES[row["row"]](own)
                yield f"| {row['what is judged']} | {row['goal']} | {found} | {'yes' if met else 'no'} |"


CLASSES = {10: "names", 68: "names of 68"}
"""Number of classes → the bed in which they have names of all kinds."""


def situations(runs: Sequence[Run], classes: int) -> Iterator[str]:
    """Yield the lines of the table of accuracies, at six labels: the first row, and what each step makes of it."""
    rows = {kind: ("clean", kind) for kind in (*RULED, "synonyms")}
    rows |= {"changed pictures": ("changed", "right"), "clean": ("clean", "right")}
    groups = {
        "control CLIPs": [run for run in runs if run.clip != "embedded"],
        "demo CLIP": [run for run in runs if run.clip == "embedded"],
    }
    yield "| CLIPs and situation, % | before | names by rule | words | words and pictures | pictures alone | in all |"
    yield "| --- " * 7 + "|"
    for group, those in groups.items():
        for title, (pictures, kind) in rows.items():
            there = [run for run in those if run.bed == CLASSES[classes] and run.changed == pictures]
            own = [run for run in there if run.asked.kind == kind]
            if own:
                steps = [
                    np.mean([run.hits(step).mean() for run in own]) for step in ("first", "rule", *FIELDS[2:], "alone")
                ]
                told = " | ".join(f"{value:.1f}" for value in steps)
                yield f"| {group}, {title} | {told} | {_told(_gain(own, 'pictures', 'first'))} |"


# Gains and their intervals.


def _gain(runs: Sequence[Run], step: str, over: str) -> tuple[float, Interval | None]:
    return bounded(runs, [run.hits(step) - run.hits(over) for run in runs])


def bounded(runs: Sequence[Run], values: Sequence[Doubles]) -> tuple[float, Interval | None]:
    """Return the mean over runs of the means of their pictures' values, and its interval; None for a single run."""
    means = np.array([one.mean() for one in values])
    if len(runs) < 2:
        return float(means.mean()), None
    factors: list[list[Hashable]] = [[run.clip for run in runs], [run.asked.data for run in runs]]
    weights = sum(map(len, values)) / (len(values) * np.array(list(map(len, values))))
    every = np.concatenate([weight * one for weight, one in zip(weights, values, strict=True)])
    numbers = np.array([number for run in runs for number in run.cell["drawings"]])
    classes = (numbers // (2 * DRAWINGS)).tolist()
    together = Sampling.of(len(every), classes, numbers.tolist()).these(every)
    more = max(0.0, together.value - Sampling.of(len(every), classes).these(every).value)
    shared = [Variance(more, together.degrees)] if np.isfinite(more) else []
    return float(means.mean()), crossed_interval(means, factors, shared)


def _told(gain: tuple[float, Interval | None], n: int | None = None) -> str:
    mean, ends = gain
    interval = "" if ends is None else f" [{ends.low:.1f}, {ends.high:.1f}]"
    return f"{mean:+.1f}{interval}" + ("" if n is None else f", {n} runs")


def _not_worse(step: str, over: str, group: Callable[[Run], str], runs: Sequence[Run]) -> Judged:
    """Judge a mean of at least -`MARGIN`, without an interval wholly below 0 in any group."""
    whole = _gain(runs, step, over)
    own = {name: _gain(some, step, over) for name, some in _groups(runs, group).items()}
    below = [name for name, (_, ends) in own.items() if ends and ends.high < 0]
    each = "; ".join(f"{name} {_told(one)}" for name, one in own.items())
    return Judged(f"{_told(whole, len(runs))}. {each}", whole[0] >= -MARGIN and not below)


def _at_least(step: str, over: str, least: float, runs: Sequence[Run]) -> Judged:
    whole = _gain(runs, step, over)
    return Judged(f"{_told(whole, len(runs))}. {_by_clip(runs, step, over)}", whole[0] >= least)


def _by_clip(runs: Sequence[Run], step: str, over: str) -> str:
    found = {clip: _gain(own, step, over)[0] for clip, own in _groups(runs, _clip).items()}
    return "; ".join(f"{clip} {mean:+.1f}" for clip, mean in found.items())


def _groups(runs: Sequence[Run], name: Callable[[Run], str]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(name(run), []).append(run)
    return found


def _lost(step: str, over: str, most: float, runs: Sequence[Run]) -> Judged:
    """Judge the share of runs that lose more than `LOST` points."""
    told = [run for run in runs if len(run.cell["first"]) >= FEWEST_PICTURES]
    gains = [float((run.hits(step) - run.hits(over)).mean()) for run in told]
    return _share(sum(gain < -LOST for gain in gains), len(told), most, f"; the worst {min(gains, default=0):+.1f}")


def _share(many: int, of: int, most: float, more: str = "") -> Judged:
    share = many / max(of, 1)
    return Judged(f"{many} of {of} ({share:.1%}){more}", of > 0 and share <= most)


# What the rule and the search give back of what names cost.


def _given_back(runs: Sequence[Run], step: str, before: str) -> tuple[float, float, str]:
    """Return the cost in points, the share of it that a step gives back, and both in words.

    The cost is what the same draws with right names have more. The interval is that of a ratio's linear approximation.
    """
    right = {_draw(run): run.hits(before) for run in runs if run.asked.kind == "right"}
    own = [run for run in runs if run.asked.kind != "right"]
    cost = [right[_draw(run)] - run.hits(before) for run in own]
    back = [run.hits(step) - run.hits(before) for run in own]
    whole = float(np.mean([one.mean() for one in cost]))
    if whole <= 0:
        return whole, float("nan"), f"cost {whole:.1f}"
    share = float(np.mean([one.mean() for one in back])) / whole
    parts = [(gain - share * lost) / whole for gain, lost in zip(back, cost, strict=True)]
    _, ends = bounded(own, parts)
    interval = "" if ends is None else f" [{share + ends.low:.0%}, {share + ends.high:.0%}]"
    return whole, share, f"{share:.0%}{interval} of {whole:.1f} points"


def _draw(run: Run) -> tuple[Any, ...]:
    return run.clip, run.bed, run.asked.data, run.asked.draw


def _by_rule(runs: Sequence[Run]) -> Judged:
    _, pooled, told = _given_back(runs, "rule", "first")
    each = {}
    for kind in RULED:
        own = [run for run in runs if run.asked.kind in ("right", kind)]
        for name, some in _groups(own, lambda run: f"{run.changed}, {run.asked.classes} classes").items():
            if all(run.asked.kind == "right" for run in some):
                continue
            each[f"{kind}, {name}"] = _given_back(some, "rule", "first")
    judged = {name: share for name, (cost, share, _) in each.items() if cost >= COST}
    lowest = min(judged, key=lambda name: judged[name], default="")
    worst = f"; the lowest of {len(judged)}: {lowest} {each[lowest][2]}" if lowest else ""
    n = sum(run.asked.kind != "right" for run in runs)
    return Judged(f"{told}, {n} runs{worst}", pooled >= 0.9 and min(judged.values(), default=1) >= 0.8)


def _by_search(runs: Sequence[Run]) -> Judged:
    _, share, told = _given_back(runs, "names", "template")
    return Judged(f"{told}, {sum(run.asked.kind != 'right' for run in runs)} runs", share >= 0.8)


def _no_things(runs: Sequence[Run]) -> Judged:
    taken = [tuple(pair) for run in runs if run.asked.kind == "synonyms" for pair in run.cell["renamed"]]
    bad = sorted({f"{old} → {new}" for old, new in taken if _is_no_thing(new) and not _is_no_thing(old)})
    return Judged(f"{len(bad)} of {len(taken)} {', '.join(bad)}".strip(), not bad)


def _is_no_thing(name: str) -> bool:
    """Whether the most usual meaning of a name is a person or a part of the body."""
    return any(NO_THINGS & set(all_above(number)) for number in senses(name)[:1])


# Shuffled labels, and probabilities.


def _taken(runs: Sequence[Run]) -> Judged:
    names = sum(bool(run.cell["renamed"]) for run in runs)
    pictures = sum(run.cell["took"] for run in runs)
    either = sum(bool(run.cell["took"] or run.cell["renamed"]) for run in runs)
    return _share(either, len(runs), 0.05, f": {names} names, {pictures} pictures")


def _replaced(runs: Sequence[Run]) -> Judged:
    gains = [float((run.hits("template") - run.hits("rule")).mean()) for run in runs]
    return _share(
        sum(run.cell["chosen"] != BASELINE for run in runs), len(runs), 0.15, f"; {np.mean(gains):+.1f} points"
    )


def _content_words(runs: Sequence[Run]) -> Judged:
    found = {group: np.mean([words(run.cell["chosen"]) for run in own]) for group, own in _groups(runs, _clip).items()}
    whole = float(np.mean([words(run.cell["chosen"]) for run in runs]))
    each = "; ".join(f"{group} {mean:.1f}" for group, mean in found.items())
    return Judged(f"{whole:.2f}, {len(runs)} runs. {each}", whole <= 1.5)


def _lost_classes(runs: Sequence[Run]) -> Judged:
    """Judge how many classes with `FEWEST_HITS` hits before other names were found have none after."""
    many = lost = 0
    for run in runs:
        classes = np.array(run.cell["drawings"]) // (2 * DRAWINGS)
        before, after = (np.bincount(classes, run.hits(step) / 100) for step in ("template", "names"))
        known = before >= FEWEST_HITS
        many += int(known.sum())
        lost += int((after[known] == 0).sum())
    return Judged(f"{lost} of {many} classes", not lost)


def _clip(run: Run) -> str:
    return run.clip


def _sure_as_right(place: int, step: str, runs: Sequence[Run]) -> Judged:
    """Judge the confidence less the accuracy in each group with enough draws; `place` is that of the program."""
    found = {
        name: float(np.mean([100 * run.cell["sure"][place][0] - run.hits(step).mean() for run in own]))
        for name, own in _groups(runs, _group).items()
        if len(own) >= FEWEST_DRAWS
    }
    worst = max(found, key=lambda name: abs(found[name]), default="")
    outside = [f"{name} {gap:+.1f}" for name, gap in found.items() if abs(gap) > LOST]
    told = f"{len(found) - len(outside)} of {len(found)} groups"
    told += f"; the worst {worst} {found[worst]:+.1f}" if worst else ""
    return Judged(told + f"; outside: {', '.join(outside)}" * bool(outside), bool(found) and not outside)


def _above(runs: Sequence[Run]) -> Judged:
    found = {}
    for name, own in _groups(runs, _group).items():
        for place, what in enumerate(("words", "answer")):
            many, right = (sum(run.cell["sure"][place][i] for run in own) for i in (1, 2))
            if many >= FEWEST_SURE:
                found[f"{what}, {name}"] = right / many
    worst = min(found, key=lambda name: found[name], default="")
    low = sum(share < 0.9 for share in found.values())
    told = f"{len(found) - low} of {len(found)} groups" + (f"; the lowest {worst} {found[worst]:.0%}" if worst else "")
    return Judged(told, bool(found) and not low)


def _group(run: Run) -> str:
    return f"{run.clip}, {run.pictures}, {run.asked.classes} classes"


def _named(run: Run) -> bool:
    return run.bed in ("names", "names of 68")


def _right_clean(run: Run) -> bool:
    return _named(run) and run.asked.kind == "right" and run.pictures == "clean"


USED: dict[str, Callable[[Run], bool]] = {
    "rule": lambda run: _named(run) and run.asked.kind in ("right", *RULED),
    "synonyms": lambda run: run.bed == "names of 68" and run.asked.kind in ("right", "synonyms"),
    "things": lambda run: run.asked.kind == "synonyms",
    "lost classes": lambda run: not run.asked.shuffled,
    "right words": _right_clean,
    "right pictures": _right_clean,
    "heads": lambda run: run.bed == "claims",
    "changed ten": lambda run: run.bed == "names" and run.asked.kind == "right" and run.pictures != "clean",
    "labels": lambda run: run.bed == "labels",
    "labels lost": lambda run: run.bed == "labels",
    "few": lambda run: run.bed == "few",
    "template": lambda run: run.bed == "template",
    "template lost": lambda run: run.bed == "template",
    "content words": lambda run: not run.asked.shuffled,
    "shuffled template": lambda run: run.asked.shuffled,
    "shuffled even": lambda run: run.asked.shuffled and run.asked.labels != LOPSIDED,
    "shuffled lopsided": lambda run: run.asked.shuffled and run.asked.labels == LOPSIDED,
    "sure words": lambda run: not run.asked.shuffled,
    "sure answer": lambda run: not run.asked.shuffled,
    "above 98 %": lambda run: not run.asked.shuffled,
}
"""Row of the goals → whether it uses a run."""
JUDGES: dict[str, Callable[[Sequence[Run]], Judged]] = {
    "rule": _by_rule,
    "synonyms": _by_search,
    "things": _no_things,
    "lost classes": _lost_classes,
    "right words": partial(_not_worse, "names", "first", lambda run: f"{run.asked.classes} classes"),
    "right pictures": partial(_not_worse, "pictures", "names", lambda run: f"{run.asked.classes} classes"),
    "heads": partial(_at_least, "pictures", "names", 20.0),
    "changed ten": partial(_at_least, "pictures", "names", 0.0),
    "labels": partial(_not_worse, "pictures", "names", lambda run: f"{run.asked.labels}, {run.changed}"),
    "labels lost": partial(_lost, "pictures", "names", 0.02),
    "few": partial(_not_worse, "pictures", "first", lambda run: f"{run.asked.labels}, {run.asked.kind}"),
    "template": partial(_at_least, "template", "rule", 0.0),
    "template lost": partial(_lost, "template", "rule", 0.0),
    "content words": _content_words,
    "shuffled template": _replaced,
    "shuffled even": _taken,
    "shuffled lopsided": _taken,
    "sure words": partial(_sure_as_right, 0, "names"),
    "sure answer": partial(_sure_as_right, 1, "pictures"),
    "above 98 %": _above,
}
"""Row of the goals → what judges the runs that it uses."""
