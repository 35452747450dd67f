"""When does a run without labels leave the initial template? What a word costs and what lead is needed, calibrated.

Phrases of the vocabulary compete by fit, on the search pictures, in standard deviations of fit over the vocabulary. A
rule is a price for each word, and the lead that the best other template needs over the initial one. Rules are chosen
from a grid by test accuracies of the open half of the suite and of clean sets, with both CLIPs: one by its gain alone,
one by its gain among the rules that keep the initial template on most clean sets. Both, and the rule of runs, are tried
on sets that had no part in the choice; ipo docs label-free says what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import HELD_BACK, PREFIX, SHIFTED, ShiftedSet, expanded
from benchmarks.lab.cells import OPTION, Cells, short, show
from benchmarks.lab.label_free import Asked, competing
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import mean_interval
from ipo_prompts.metrics.template import words
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.optimizer import LEAD, PRICE

PRICES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
TEMPLATES = 300
"""The number of templates that compete."""
LEADS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, float("inf"))
CLEAN = [ShiftedSet((), HELD_BACK if seed % 2 == 0 else "", seed).spec for seed in range(31, 37)]
OTHER_CLEAN = "clean, other seeds"
KEEPS = 0.8
"""The share of the clean sets used in the choice on which the initial template must stay, for each CLIP."""
CHOSEN_ON = {"open half": ["embedded:suite"], OTHER_CLEAN: CLEAN}
OF_RUNS = "of runs without labels"
Rule = tuple[float, float]
"""The price of a word, and the lead needed."""
TRIED_ON = {
    "held-out half": ["embedded:suite-held-out"],
    "claims, taught": ["embedded:claims-taught"],
    "claims, untaught": ["embedded:claims-untaught"],
    "claims, clean": ["embedded:claims-clean"],
}


@dataclass(frozen=True)
class Seen:
    """One set as T templates see it, the initial template first.

    Attributes:
        fit: of each template, in standard deviations over the vocabulary.
        words: the length of each template, see `metrics.template.words`.
        accuracy: of each template on the test pictures.
        labelled: the accuracy of the template with the most hits on all search pictures, with their labels.
    """

    fit: list[float]
    words: list[int]
    accuracy: list[float]
    labelled: float

    def led(self, price: float) -> tuple[int, float]:
        """Return the best template but the initial one, with words paid for, and its lead."""
        net = np.array(self.fit) - price * np.array(self.words)
        best = 1 + int(net[1:].argmax())
        return best, float(net[best] - net[0])

    def gain(self, price: float, lead: float) -> float:
        """Return the gain of a rule over the initial template; 0 where the rule keeps that."""
        best, found = self.led(price)
        return self.accuracy[best] - self.accuracy[0] if found > lead else 0.0


def main() -> None:
    """Measure what the file of cells lacks, choose, and print."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "names of CLIPs, with commas between"},
        cells=OPTION,
        templates={"type": int, "default": TEMPLATES, "help": "that compete"},
    )
    with Cells(options.cells) as cells:
        show(tables(cells, options.clips.split(","), options.templates, small=options.small))


def tables(cells: Cells, clips: Sequence[str], templates: int = TEMPLATES, *, small: bool = False) -> Iterator[str]:
    """Yield the worth of each rule, and a table for each rule that is tried."""
    chosen_on, tried_on = CHOSEN_ON, TRIED_ON
    if small:
        chosen_on, tried_on = {OTHER_CLEAN: CLEAN[1:2]}, {"another": [f"{SHIFTED}held-back/slant+vignette@14"]}
        templates = 20
    beds = {short(clip): Bed(clip, templates) for clip in clips}

    def sets(part: dict[str, list[str]]) -> dict[tuple[str, str], dict[str, Seen]]:
        return {
            (clip, name): {spec: bed.seen(cells, spec) for one in specs for spec in expanded(one)}
            for name, specs in part.items()
            for clip, bed in beds.items()
        }

    calibrated = sets(chosen_on)
    yield from worths(calibrated)
    tried = calibrated | sets(tried_on)
    rules = (*choose(calibrated), (PRICE, LEAD))
    for said, rule in zip(
        ("by the gain alone", f"that stays on {KEEPS:.0%} of clean sets", OF_RUNS), rules, strict=True
    ):
        yield from ("", f"The rule {said}: a word costs {rule[0]} and the lead needed is {rule[1]}.", "")
        yield from table_of(tried, rule)


class Opened(NamedTuple):
    """A set with T templates: the initial template first, then so many phrases.

    `scores` and `fit` are on the search pictures, `accuracy` is on the others.
    """

    templates: list[str]
    phrases: int
    searched: EncodedPictures
    scores: list[Score]
    fit: Doubles
    accuracy: list[float]


class Bed:
    """Sets as one CLIP sees them. It is loaded when a set is measured; templates are encoded once for all sets."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = short(name), count
        self._clip = cache(lambda: load_clip(name))
        self._texts: dict[tuple[str, ...], tuple[list[str], int, Floats]] = {}

    def seen(self, cells: Cells, spec: str) -> Seen:
        """Return a set as seen, from its cell or measured."""
        return Seen(**cells.of((self.name, spec, self.count), partial(self._measured, spec)))

    def opened(self, spec: str) -> Opened:
        """Return a set as it is searched on and tested, with the templates that compete on it."""
        data = load_data(spec, seed=SPLIT_SEED)
        names, clip = tuple(data.class_names), self._clip()
        if names not in self._texts:
            templates, phrases = competing(clip, names, Asked({}, templates=self.count))
            self._texts[names] = templates, phrases, encode_templates(clip.model, clip.tokenizer, templates, names)
        templates, phrases, rows = self._texts[names]
        reward = ClipReward(clip, names)
        searched, test = (
            reward.encode([one.picture for one in items], [one.label for one in items])
            for items in ([*data.train, *data.val], data.test)
        )
        fit = np.array([one.value for one in Fit(clip, names).score_embeddings(templates, list(rows), searched)])
        accuracy = [one.value for one in reward.score_embeddings(templates, list(rows), test)]
        return Opened(
            templates, phrases, searched, reward.score_embeddings(templates, list(rows), searched), fit, accuracy
        )

    def _measured(self, spec: str) -> dict[str, Any]:
        templates, phrases, _, scores, fit, accuracy = self.opened(spec)
        by_labels = [one.rank for one in scores]
        labelled = accuracy[max(range(len(templates)), key=lambda i: by_labels[i])]
        spread = float(np.std(fit[1 : 1 + phrases], ddof=1))
        found = Seen(
            np.round(fit / spread, 4).tolist(),
            [words(one) for one in templates],
            np.round(accuracy, 6).tolist(),
            round(labelled, 6),
        )
        return asdict(found)


def worth(rule: Rule, beds: dict[tuple[str, str], dict[str, Seen]]) -> float:
    """Return what a set gains, a point lost as two, as the mean over CLIPs and beds."""
    gains = [[one.gain(*rule) for one in sets.values()] for sets in beds.values()]
    return float(np.mean([np.mean([gain if gain > 0 else 2 * gain for gain in bed]) for bed in gains]))


def worths(beds: dict[tuple[str, str], dict[str, Seen]]) -> Iterator[str]:
    """Yield the worth of each rule."""
    yield "Points a set gains, a point lost as two, mean over CLIPs and beds; price a word down, lead needed across:"
    yield ""
    yield from head("price", *(str(lead) for lead in LEADS))
    for price in PRICES:
        yield line(str(price), *(f"{100 * worth((price, lead), beds):.2f}" for lead in LEADS))


def choose(beds: dict[tuple[str, str], dict[str, Seen]]) -> tuple[Rule, Rule]:
    """Return the best rule, and the best that stays. Of equal rules the dearer is better."""

    def stays(rule: Rule) -> bool:
        clean = [sets.values() for (_, bed), sets in beds.items() if bed == OTHER_CLEAN]
        return all(np.mean([one.led(rule[0])[1] <= rule[1] for one in sets]) >= KEEPS for sets in clean)

    every = sorted(product(PRICES, LEADS), key=lambda rule: (round(worth(rule, beds), 6), rule))
    return every[-1], [rule for rule in every if stays(rule)][-1]


def table_of(found: dict[tuple[str, str], dict[str, Seen]], rule: Rule) -> Iterator[str]:
    """Yield what a rule does on each bed: how often it stays, should have, and what it gains."""
    yield from head(
        *("CLIP, bed", "sets", "stays", "should have", "loses", "gain", "best fit, no rule", "by labels", "lost in")
    )
    for (clip, bed), sets in found.items():
        yield line(f"{clip}, {bed}", *_cells(sets, rule))


def _cells(sets: dict[str, Seen], rule: Rule) -> Iterator[str]:
    gains = {name: one.gain(*rule) for name, one in sets.items()}
    leads = {name: one.led(rule[0]) for name, one in sets.items()}
    yield str(len(sets))
    yield str(sum(lead <= rule[1] for _, lead in leads.values()))
    yield str(sum(one.accuracy[leads[name][0]] <= one.accuracy[0] for name, one in sets.items()))
    yield str(sum(gain < 0 for gain in gains.values()))
    yield points(list(gains.values()))
    yield points([one.gain(0.0, float("-inf")) for one in sets.values()])
    yield points([one.labelled - one.accuracy[0] for one in sets.values()])
    yield (
        ", ".join(
            f"{name.removeprefix(SHIFTED).removeprefix(PREFIX)} {100 * gain:+.1f}"
            for name, gain in gains.items()
            if gain < 0
        )
        or "none"
    )


def points(gains: Sequence[float]) -> str:
    """Return a mean over sets with its 95 % interval, in points."""
    low, high = mean_interval(gains)
    return f"{100 * np.mean(gains):+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def head(*columns: str) -> Iterator[str]:
    """Yield the head of a Markdown table."""
    yield line(*columns)
    yield line(*["---"] * len(columns))


def line(*cells: object) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def header(*columns: str) -> None:
    """Print the head of a Markdown table."""
    print("\n".join(head(*columns)))


if __name__ == "__main__":
    main()
