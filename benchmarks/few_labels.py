"""Do unlabelled pictures help to choose a template beside a few labelled ones? Loss less a share of fit, against loss.

Phrases of the bank compete. The choice goes by the mean loss on so many labelled pictures a class, less a share of the
fit of all pictures to search on, both in nats. The share is the one that gains most on the open half of the suite, mean
over CLIPs, for each number of labels; it is tried on the sets of claims. docs/label-free.md has the goal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import arguments

from ipo_prompts.experiments.compare.label_free import Asked, competing
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded.shifts import expanded, shared
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.statistics import crossed_interval
from ipo_prompts.metrics.text_tower import encode_templates

SHARES = (0.0, 0.03, 0.1, 0.3, 1.0)
LABELS = (1, 2, 6)
CHOSEN_ON = ("embedded:suite",)
TRIED_ON = ("embedded:claims-taught", "embedded:claims-untaught", "embedded:claims-clean")


def main() -> None:
    """Measure, choose a share, and print what it gains over loss alone."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "names of CLIPs, with commas between"},
        draws={"type": int, "default": 5, "help": "of labelled pictures"},
    )
    clips, chosen_on, tried_on, templates = options.clips.split(","), CHOSEN_ON, TRIED_ON, 300
    if options.small:
        chosen_on, tried_on = ("embedded:clean@31",), ("embedded:held-back/slant+vignette@14",)
        options.draws, templates = 1, 20
    tables = {clip: Bed(clip, templates, options.draws) for clip in clips}
    open_half = np.array([[one.measured(spec) for spec in _of(chosen_on)] for one in tables.values()])
    means = 100 * open_half.mean(axis=(0, 1))
    print("Accuracy on the open half, mean over CLIPs and sets, by share of fit:\n")
    _row("labels a class", *SHARES)
    _row(*["---"] * (1 + len(SHARES)))
    for labels, own in zip(LABELS, means, strict=True):
        _row(labels, *(f"{value:.1f}" for value in own))
    best = [1 + int(own[1:].argmax()) for own in means]
    print("\nGain over loss alone of the share that is best there, points:\n")
    _row("CLIP, sets", *(f"{labels}: share {SHARES[i]}" for labels, i in zip(LABELS, best, strict=True)))
    _row(*["---"] * (1 + len(LABELS)))
    for clip, one in tables.items():
        for spec in tried_on:
            sets = expanded(spec)
            gains = 100 * np.array([one.measured(name) for name in sets])
            _row(
                f"{clip}, {spec.partition(':')[2]}",
                *(_told(gains[:, k, i] - gains[:, k, 0], sets) for k, i in enumerate(best)),
            )


class Bed:
    """Measures sets with one CLIP; templates are encoded once for each list of classes."""

    def __init__(self, name: str, templates: int, draws: int) -> None:
        self.clip, self.templates, self.draws = load_clip(name), templates, draws
        self._texts: dict[tuple[str, ...], tuple[list[str], Floats]] = {}

    def measured(self, spec: str) -> list[list[float]]:
        """Return the test accuracy of the template chosen with so many labels and such a share of fit."""
        data, clip = load_data(spec, seed=SPLIT_SEED), self.clip
        names = tuple(data.class_names)
        if names not in self._texts:
            templates, _ = competing(clip, names, Asked({}, templates=self.templates))
            self._texts[names] = templates, encode_templates(clip.model, clip.tokenizer, templates, names)
        templates, rows = self._texts[names]
        reward = ClipReward(clip, names)
        searched, test = (
            reward.encode([one.picture for one in items], [one.label for one in items])
            for items in ([*data.train, *data.val], data.test)
        )
        fit = np.array([one.value for one in Fit(clip, names).score_embeddings(templates, list(rows), searched)])
        losses = np.stack([one.losses for one in reward.score_embeddings(templates, list(rows), searched)])
        accuracy = np.array([one.value for one in reward.score_embeddings(templates, list(rows), test)])
        found = np.zeros((self.draws, len(LABELS), len(SHARES)))
        for draw in range(self.draws):
            order = np.random.default_rng(draw).permutation(len(searched))
            for k, labels in enumerate(LABELS):
                some = [i for label in range(len(names)) for i in order[searched.labels[order] == label][:labels]]
                loss = losses[:, some].mean(axis=1)
                found[draw, k] = [accuracy[int((loss - share * fit).argmin())] for share in SHARES]
        return found.mean(axis=0).tolist()


def _of(specs: Sequence[str]) -> list[str]:
    return [name for spec in specs for name in expanded(spec)]


def _told(gains: Floats, sets: list[str]) -> str:
    if len(sets) < 2:
        return f"{gains.mean():+.1f}"
    low, high = crossed_interval(gains, shared(sets))
    return f"{gains.mean():+.1f} [{low:.1f}, {high:.1f}]"


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
