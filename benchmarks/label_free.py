"""When does a run without labels leave the initial template? What a word costs and what lead is needed, calibrated.

Phrases of the vocabulary compete by fit, on the search pictures, in standard deviations of fit over the vocabulary. A
rule is a price for each word, and the lead that the best other template needs over the initial one. Rules are chosen
from a grid by test accuracies of the open half of the suite and of clean sets, with both CLIPs: one by its gain alone,
one by its gain among the rules that keep the initial template on most clean sets. Both are tried on sets that had no
part in the choice; ipo docs label-free says what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import HELD_BACK, SHIFTED, ShiftedSet, expanded
from benchmarks.lab.label_free import Asked, competing
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import mean_interval
from ipo_prompts.metrics.template import words
from ipo_prompts.metrics.text_tower import encode_templates

PRICES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
LEADS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, float("inf"))
CLEAN = [ShiftedSet((), HELD_BACK if seed % 2 == 0 else "", seed).spec for seed in range(31, 37)]
OTHER_CLEAN = "clean, other seeds"
KEEPS = 0.8
"""The share of the clean sets used in the choice on which the initial template must stay, for each CLIP."""
CHOSEN_ON = {"open half": ["embedded:suite"], OTHER_CLEAN: CLEAN}
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
    """Measure, choose, and print."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "names of CLIPs, with commas between"},
        keep={"type": Path, "default": None, "help": "a folder for what was measured of each set"},
        templates={"type": int, "default": 300, "help": "that compete"},
    )
    chosen_on, tried_on, count = CHOSEN_ON, TRIED_ON, options.templates
    if options.small:
        chosen_on, tried_on, count = (
            {OTHER_CLEAN: CLEAN[1:2]},
            {"another": [f"{SHIFTED}held-back/slant+vignette@14"]},
            20,
        )
    clips = options.clips.split(",")
    seen = {name: Bed(name, count, options.keep) for name in clips}
    calibrated = {(clip, bed): seen[clip].sets(specs) for bed, specs in chosen_on.items() for clip in clips}
    rules = choose(calibrated)
    tried = {(clip, bed): seen[clip].sets(specs) for bed, specs in tried_on.items() for clip in clips}
    for said, rule in zip(("by the gain alone", f"that stays on {KEEPS:.0%} of clean sets"), rules, strict=True):
        print(f"\nThe rule {said}: a word costs {rule[0]} and the lead needed is {rule[1]}.\n")
        print_rule(calibrated | tried, rule)


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
    """Measures sets with one CLIP; templates are encoded once for each list of classes."""

    def __init__(self, name: str, count: int, keep: Path | None) -> None:
        self.clip: Clip = load_clip(name)
        self.count, self.keep = count, keep
        self._texts: dict[tuple[str, ...], tuple[list[str], int, Floats]] = {}

    def sets(self, specs: Sequence[str]) -> dict[str, Seen]:
        """Return each set as seen, or as an earlier call kept it."""
        return {spec: self._kept(spec) for one in specs for spec in expanded(one)}

    def _kept(self, spec: str) -> Seen:
        if self.keep is None:
            return self._measured(spec)
        file = self.keep / f"{self.clip.fingerprint[:12]}-{self.count}-{spec.rpartition(':')[2].replace('/', '-')}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(asdict(self._measured(spec))), encoding="utf-8")
        return Seen(**json.loads(file.read_text(encoding="utf-8")))

    def opened(self, spec: str) -> Opened:
        """Return a set as it is searched on and tested, with the templates that compete on it."""
        data = load_data(spec, seed=SPLIT_SEED)
        names, clip = tuple(data.class_names), self.clip
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

    def _measured(self, spec: str) -> Seen:
        templates, phrases, _, scores, fit, accuracy = self.opened(spec)
        by_labels = [one.rank for one in scores]
        labelled = accuracy[max(range(len(templates)), key=lambda i: by_labels[i])]
        spread = float(np.std(fit[1 : 1 + phrases], ddof=1))
        return Seen((fit / spread).tolist(), [words(one) for one in templates], accuracy, labelled)


def choose(beds: dict[tuple[str, str], dict[str, Seen]]) -> tuple[Rule, Rule]:
    """Print the worth of each rule; return the best, and the best that stays. Of equal rules the dearer is better."""

    def worth(rule: Rule) -> float:
        gains = [[one.gain(*rule) for one in sets.values()] for sets in beds.values()]
        return float(np.mean([np.mean([gain if gain > 0 else 2 * gain for gain in bed]) for bed in gains]))

    def stays(rule: Rule) -> bool:
        clean = [sets.values() for (_, bed), sets in beds.items() if bed == OTHER_CLEAN]
        return all(np.mean([one.led(rule[0])[1] <= rule[1] for one in sets]) >= KEEPS for sets in clean)

    print("Points a set gains, a point lost as two, mean over CLIPs and beds; price a word down, lead needed across:\n")
    header("price", *(str(lead) for lead in LEADS))
    for price in PRICES:
        print("|", " | ".join([str(price), *(f"{100 * worth((price, lead)):.2f}" for lead in LEADS)]), "|")
    every = sorted(product(PRICES, LEADS), key=lambda rule: (round(worth(rule), 6), rule))
    return every[-1], [rule for rule in every if stays(rule)][-1]


def print_rule(found: dict[tuple[str, str], dict[str, Seen]], rule: Rule) -> None:
    """Print what a rule does on each bed: how often it stays, should have, and what it gains."""
    header("CLIP, bed", "sets", "stays", "should have", "loses", "gain", "best fit, no rule", "by labels", "lost in")
    for (clip, bed), sets in found.items():
        print("|", " | ".join([f"{clip}, {bed}", *_cells(sets, rule)]), "|")


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
    yield ", ".join(f"{name.partition(':')[2]} {100 * gain:+.1f}" for name, gain in gains.items() if gain < 0) or "none"


def points(gains: Sequence[float]) -> str:
    """Return a mean over sets with its 95 % interval, in points."""
    low, high = mean_interval(gains)
    return f"{100 * np.mean(gains):+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def header(*columns: str) -> None:
    """Print the head of a Markdown table."""
    print("|", " | ".join(columns), "|")
    print("|", " | ".join(["---"] * len(columns)), "|")


if __name__ == "__main__":
    main()
