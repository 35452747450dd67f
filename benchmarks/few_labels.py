"""Do unlabelled pictures help to choose a template beside a few labelled ones? Loss less a share of fit, against loss.

Phrases of the vocabulary compete. The choice goes by the mean loss on so many labelled pictures a class, less a share
of the fit of all search pictures, both in nats. For each number of labels, the share is taken that gains most on the
open half of the suite, averaged over CLIPs; it is then tried on the sets of claims. ipo docs label-free has the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import SHIFTED, expanded, shared
from benchmarks.lab.crossed import crossed_interval
from benchmarks.label_free import Bed, header
from ipo_prompts.metrics.arrays import Floats

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
    clips, draws = options.clips.split(","), options.draws
    chosen_on: Sequence[str] = CHOSEN_ON
    tried_on: Sequence[str] = TRIED_ON
    templates = 300
    if options.small:
        chosen_on, tried_on = (f"{SHIFTED}clean@31",), (f"{SHIFTED}held-back/slant+vignette@14",)
        draws, templates = 1, 20
    beds = {clip: Bed(clip, templates, None) for clip in clips}
    open_half = np.array([[measured(bed, spec, draws) for spec in _of(chosen_on)] for bed in beds.values()])
    means = 100 * open_half.mean(axis=(0, 1))
    print("Accuracy on the open half, mean over CLIPs and sets, by share of fit:\n")
    header("labels a class", *map(str, SHARES))
    for labels, own in zip(LABELS, means, strict=True):
        _row(labels, *(f"{value:.1f}" for value in own))
    best = [1 + int(own[1:].argmax()) for own in means]
    print("\nGain over loss alone of the share that is best there, points:\n")
    header("CLIP, sets", *(f"{labels}: share {SHARES[i]}" for labels, i in zip(LABELS, best, strict=True)))
    for clip, bed in beds.items():
        for spec in tried_on:
            sets = expanded(spec)
            gains = 100 * np.array([measured(bed, name, draws) for name in sets])
            _row(
                f"{clip}, {spec.partition(':')[2]}",
                *(_told(gains[:, k, i] - gains[:, k, 0], sets) for k, i in enumerate(best)),
            )


def measured(bed: Bed, spec: str, draws: int) -> list[list[float]]:
    """Return the test accuracy of the template chosen with so many labels and such a share of fit."""
    seen = bed.opened(spec)
    true, losses = seen.searched.labels, np.stack([one.losses for one in seen.scores])
    found = np.zeros((draws, len(LABELS), len(SHARES)))
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(true))
        for k, labels in enumerate(LABELS):
            some = [i for label in range(true.max() + 1) for i in order[true[order] == label][:labels]]
            loss = losses[:, some].mean(axis=1)
            found[draw, k] = [seen.accuracy[int((loss - share * seen.fit).argmin())] for share in SHARES]
    means: list[list[float]] = found.mean(axis=0).tolist()
    return means


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
