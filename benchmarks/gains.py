"""The gains of rows of raw cells, with intervals that allow for what sets share: the tables of pages.

Sets such as `embedded:upside-down+blur` share transformations, base pictures and seeds, so that they are no independent
sample. The 95 % interval of a mean over sets is the one of the command's own table, with the sets as independent, plus
the variance of each shared thing, with a quantile of its own: see `crossed_interval`. The four test pictures of a class
are of the same few drawings in all sets, so that base pictures are a class of drawings. The last column counts the
templates that were scored on labelled pictures: the proposed, the scored only, and the phrases that `clip` ranks.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import shared
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.compare.documents import documents, table_of
from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.raw_cells import unpack
from ipo_prompts.experiments.run.config import nested
from ipo_prompts.experiments.run.reading import build
from ipo_prompts.metrics.sampling import Interval, Variance

PHRASES = 300
"""The phrases of the vocabulary that fit the demo CLIP and name no class of the suite."""
CELLS = Path(__file__).parents[1] / "docs/evidence/cells"


@dataclass(frozen=True)
class Row:
    """A row: accuracy in percent; gains over the baseline template and over the default in points, with interval.

    `cells`: set and seed → the score, picture by picture; none where several CLIPs are together.
    """

    accuracy: float
    over_baseline: str
    over_default: str
    labels: int
    looks: float
    cells: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict, repr=False)


def main() -> None:
    """Print a table in Markdown."""
    options = arguments(
        __doc__,
        cells={"type": Path, "default": CELLS / "suite-held-out.jsonl.gz", "help": "raw cells of a grid"},
        column={"default": "test", "help": "such as '300 templates', where rows were read off at several"},
    )
    print("\n".join(of_cells(options.cells, options.column)))


def of_cells(file: Path, column: str = "test") -> list[str]:
    """Return the lines of a table of all rows of a file of cells."""
    rows = rows_of(file, column)
    subject = next(name for name in rows if name.startswith(SUBJECT))
    lines = [f"| row | accuracy | over baseline | over {subject} | labels a class | scored |", "| --- " * 6 + "|"]
    for name, row in rows.items():
        gains = f"{row.over_baseline or '–'} | {row.over_default or '–'}"
        lines.append(f"| `{name}` | {row.accuracy:.1f} | {gains} | {row.labels} | {row.looks:,.0f} |")
    return lines


def rows_of(file: Path, column: str = "test", data: Callable[[str], bool] = lambda name: True) -> dict[str, Row]:
    """Read the rows of a file of cells that have a value in all its sets, or in those that `data` takes.

    A default search that asked no language model gets a name of its own here.
    """
    whole, *cells = _read(file)
    grid = whole.model_copy(update={"data": [name for name in whole.data if data(name)]})
    kept = [(entry, one) for entry, one in zip(*cells, strict=True) if data(entry.cell.data)]
    if not kept:
        return {}
    found, outcomes = [entry for entry, _ in kept], [_of_column(one, column) for _, one in kept]
    table = table_of(grid, found, outcomes)
    if table is None:
        return {}
    content = json.loads(documents(grid, table)["table.json"])
    scope = "average" if len(grid.data) > 1 else grid.data[0]
    scores: dict[str, dict[Any, Any]] = defaultdict(dict)
    looks: dict[str, list[float]] = defaultdict(list)
    labels, asked = {}, {}
    vocabularies = [
        one["budget"]["scored_only"] for e, one in kept if e.cell.method == "vocabulary" and isinstance(one, dict)
    ]
    phrases = vocabularies[0] if vocabularies else PHRASES
    for entry, outcome in zip(found, outcomes, strict=True):
        method, config = entry.method, build(nested(dict(entry.cell.settings)), where=str(file))
        asks = method.uses_lm and config.asks_lm
        if isinstance(outcome, str):
            continue  # the table has no row of it either
        scores[entry.label][entry.cell.data, entry.cell.seed] = outcome["scores"][column]
        described = asks and config.describer == "clip"
        looks[entry.label].append(
            outcome["budget"]["proposals"] + outcome["budget"]["scored_only"] + described * phrases
        )
        labels[entry.label], asked[entry.label] = method.labelled_per_class(config), asks
    here = [one for one in content["gains"] if one["scope"] == scope and one["column"] == column]
    gains = {(one["method"], one["other"]): one for one in here}

    def gain(row: str, other: str) -> str:
        one, sign = (gains[row, other], 1) if (row, other) in gains else (gains.get((other, row)), -1)
        if one is None:
            return ""
        ends = one["like_these"] if scope == "average" else one
        each = _gains(scores[row], scores[other])
        pictures = [] if len(each) < 2 else [_pictures(scores[row], scores[other])]
        half = _wider((ends["high"] - ends["low"]) / 2, list(each.values()), shared(list(each)), pictures)
        mean = sign * one["gain"]
        return f"{mean:+.1f} [{mean - half:.1f}, {mean + half:.1f}]"

    def name_of(row: str) -> str:
        return "ipo-default, no language model" if row == SUBJECT and not asked[row] else row

    return {
        name_of(one["method"]): Row(
            one["scores"][column]["value"],
            gain(one["method"], "baseline"),
            gain(one["method"], SUBJECT),
            labels[one["method"]],
            float(np.mean(looks[one["method"]])),
            scores[one["method"]],
        )
        for one in content["rows"]
        if one["scope"] == scope and one["scores"].get(column)
    }


@cache
def _read(file: Path) -> Any:
    return unpack(file)


def _of_column(outcome: dict[str, Any] | str, column: str) -> dict[str, Any] | str:
    """Leave out the other columns of a cell; a cell without the column is a gap."""
    if isinstance(outcome, str) or column not in outcome["scores"]:
        return outcome if isinstance(outcome, str) else outcome["absent"] or "not run"
    return {**outcome, "scores": {column: outcome["scores"][column]}}


def _wider(half: float, each: list[Any], factors: Any, pictures: list[Variance]) -> float:
    """Return half of the interval of a mean over sets, given the half with the sets as independent."""
    if len(each) < 2:
        return half
    with_, without = (crossed_interval(each, what, more) for what, more in ((factors, pictures), ([], [])))
    more = (with_.high - with_.low) ** 2 - (without.high - without.low) ** 2
    return float(np.sqrt(half**2 + more / 4))


def together(ours: Sequence[Row], theirs: Sequence[Row]) -> str:
    """Return the mean gain of a row over another row, both with several CLIPs, in points, with its interval.

    CLIPs, sets, transformations and drawings are crossed; each CLIP has all sets.
    """
    crossed = Crossed.of(ours, theirs)
    low, high = crossed.interval()
    return f"{np.mean(crossed.gains):+.1f} [{low:.1f}, {high:.1f}]"


@dataclass(frozen=True)
class Crossed:
    """The gains of a row over another with several CLIPs on the same sets.

    Attributes:
        gains: in points, float (CLIPs, sets).
        sets: their names.
        pictures: the variance that shared drawings add to the mean, in points².
    """

    gains: Any
    sets: list[str]
    pictures: Variance

    @classmethod
    def of(cls, ours: Sequence[Row], theirs: Sequence[Row]) -> Crossed:
        """Compare two rows, each given CLIP by CLIP."""
        gains = [_gains(one.cells, other.cells) for one, other in zip(ours, theirs, strict=True)]
        joint = (
            {(name, (clip, seed)): score for clip, row in enumerate(rows) for (name, seed), score in row.cells.items()}
            for rows in (ours, theirs)
        )
        return cls(np.array([list(each.values()) for each in gains]), list(gains[0]), _pictures(*joint))

    def interval(self, level: float = 0.95) -> Interval:
        """Return the interval of the mean gain."""
        clips, sets = self.gains.shape
        names = self.sets * clips
        factors = [*shared(names), names, np.repeat(range(clips), sets).tolist()]
        return crossed_interval(self.gains.ravel(), factors, [self.pictures], level)

    def p(self) -> float:
        """Return the p of no gain: 1 minus the highest level whose interval excludes 0."""
        inside, outside = 1.0, 0.0
        for _ in range(40):
            level = (inside + outside) / 2
            low, high = self.interval(level)
            inside, outside = (level, outside) if low <= 0 <= high else (inside, level)
        return 1 - outside

    def shown(self, gain: float, draws: int, rng: np.random.Generator) -> float:
        """Return the share of grids like this one in which a true gain, in points, would be shown.

        Sets are drawn anew from these, with all CLIPs at once; the CLIPs' own means vary as these do, normally.
        """
        clips = self.gains.mean(axis=1, keepdims=True)
        rest = self.gains - clips
        found = 0
        for _ in range(draws):
            other = rest[:, rng.integers(len(self.sets), size=len(self.sets))]
            drawn = gain + other + rng.normal(0, clips.std(ddof=1), clips.shape)
            found += replace(self, gains=drawn).interval().low > 0
        return found / draws


def _gains(ours: Any, theirs: Any) -> dict[str, Any]:
    """Return for each set the mean gain over seeds, in points."""
    each = defaultdict(list)
    for (name, seed), score in ours.items():
        each[name].append(100 * (score["value"] - theirs[name, seed]["value"]))
    return {name: np.mean(values) for name, values in each.items()}


def _pictures(ours: Any, theirs: Any) -> Variance:
    """Return the variance that shared drawings add to the mean over sets, in points²."""
    own = 0.0
    sums: dict[Any, float] = defaultdict(float)
    sets, seeds = (list(dict.fromkeys(key)) for key in zip(*ours, strict=True))
    for name in sets:
        base = name.rpartition("/")[0]
        pairs = [(ours[name, seed], theirs[name, seed]) for seed in seeds]
        gain = np.mean([_hits(one) - _hits(other) for one, other in pairs], axis=0)
        labels = np.array(pairs[0][0]["labels"])
        each = np.bincount(labels, gain - gain.mean()) * 100 / len(gain) / len(sets)
        own += float(each @ each)
        for label, value in enumerate(each.tolist()):
            sums[base, label] += value
    return Variance(max(0.0, sum(value**2 for value in sums.values()) - own), len(sums) - 1.0)


def _hits(score: dict[str, Any]) -> Any:
    return np.array(list(score["hits"]), dtype=float)


if __name__ == "__main__":
    main()
