"""Do unlabelled pictures help to choose a template beside a few labelled ones? Loss less a share of fit, against loss.

Phrases of the vocabulary compete. The choice goes by the mean loss on so many labelled pictures a class, less a share
of the fit of all search pictures, both in nats. For each number of labels, the share is taken that gains most on the
open half of the suite, averaged over CLIPs; it is then tried on the sets of claims. ipo docs label-free has the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import SHIFTED, expanded, shared
from benchmarks.lab.cells import OPTION, Cells, show
from benchmarks.lab.crossed import crossed_interval
from benchmarks.label_free import TEMPLATES, Bed, head, line
from ipo_prompts.metrics.arrays import Doubles

SHARES = (0.0, 0.03, 0.1, 0.3, 1.0)
LABELS = (1, 2, 6)
DRAWS = 5
CHOSEN_ON = ("embedded:suite",)
TRIED_ON = ("embedded:claims-taught", "embedded:claims-untaught", "embedded:claims-clean")


def main() -> None:
    """Measure what the file of cells lacks, choose a share, and print what it gains over loss alone."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "names of CLIPs, with commas between"},
        draws={"type": int, "default": DRAWS, "help": "of labelled pictures"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        show(tables(cells, options.clips.split(","), options.draws, small=options.small))


def tables(cells: Cells, clips: Sequence[str], draws: int = DRAWS, *, small: bool = False) -> Iterator[str]:
    """Yield the accuracies by share, and what the best share gains."""
    chosen_on: Sequence[str] = CHOSEN_ON
    tried_on: Sequence[str] = TRIED_ON
    if small:
        chosen_on, tried_on, draws = (f"{SHIFTED}clean@31",), (f"{SHIFTED}held-back/slant+vignette@14",), 1
    beds = [Bed(clip, 20 if small else TEMPLATES) for clip in clips]

    def accuracies(bed: Bed, specs: Sequence[str]) -> Doubles:
        """Return percents, (sets, labels, shares)."""
        keys = [(bed.name, spec, draws) for spec in specs]
        return 100 * np.array([cells.of(key, partial(measured, bed, key[1], draws)) for key in keys])

    means = np.array([accuracies(bed, [name for spec in chosen_on for name in expanded(spec)]) for bed in beds])
    yield from ("Accuracy on the open half, mean over CLIPs and sets, by share of fit:", "")
    yield from head("labels a class", *map(str, SHARES))
    for labels, own in zip(LABELS, means.mean(axis=(0, 1)), strict=True):
        yield line(labels, *(f"{value:.1f}" for value in own))
    best = [1 + int(own[1:].argmax()) for own in means.mean(axis=(0, 1))]
    yield from ("", "Gain over loss alone of the share that is best there, points:", "")
    yield from head("CLIP, sets", *(f"{labels}: share {SHARES[i]}" for labels, i in zip(LABELS, best, strict=True)))
    for bed in beds:
        for spec in tried_on:
            sets = expanded(spec)
            found = accuracies(bed, sets)
            told = (_told(found[:, k, i] - found[:, k, 0], sets) for k, i in enumerate(best))
            yield line(f"{bed.name}, {spec.partition(':')[2]}", *told)


def measured(bed: Bed, spec: str, draws: int) -> list[list[float]]:
    """Return the test accuracy of the template chosen with so many labels and such a share of fit, mean over draws."""
    seen = bed.opened(spec)
    true, losses = seen.searched.labels, np.stack([one.losses for one in seen.scores])
    found = np.zeros((draws, len(LABELS), len(SHARES)))
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(true))
        for k, labels in enumerate(LABELS):
            some = [i for label in range(true.max() + 1) for i in order[true[order] == label][:labels]]
            loss = losses[:, some].mean(axis=1)
            found[draw, k] = [seen.accuracy[int((loss - share * seen.fit).argmin())] for share in SHARES]
    means: list[list[float]] = found.mean(axis=0).round(6).tolist()
    return means


def _told(gains: Doubles, sets: list[str]) -> str:
    if len(sets) < 2:
        return f"{gains.mean():+.1f}"
    low, high = crossed_interval(gains, shared(sets))
    return f"{gains.mean():+.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
