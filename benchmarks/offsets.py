"""What helps without labels and without words? Offsets of several kinds, and EM, over the baseline template.

Each row is fitted to the search and selection pictures of a set without their labels, and names its test pictures.
`balanced` are the pictures as they are; for `Zipf`, as many are drawn with replacement, class k of a random order in
proportion to 1/k, mean of five orders. The test is balanced; a last table weighs it by the same law. Prints gains over
the baseline template in points with 95 % intervals (`gains.py`), leads over centring, and what a rule takes that was
fixed beforehand: the row of the highest mean gain, where a lost point counts as two, if it is shown to be ahead of
centring somewhere and behind it nowhere (ipo docs label-free). CLIPs that were made for templates (`embedded`) decide
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.gains import Crossed, Row
from benchmarks.lab.bed import expanded
from benchmarks.lab.cells import OPTION, Cells, hits_of, short, string_of
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.sources import own
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward, logits_of
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.offsets import CentringOffsets, uniform_offsets
from ipo_prompts.metrics.sampling import Numbers
from ipo_prompts.metrics.template import BASELINE

GROUPS = ("clean", "taught", "untaught")
BALANCED, ZIPF, ZIPF_TEST = "balanced", "Zipf", "Zipf, and so the test"
DRAWS = (BALANCED, ZIPF)
LOPSIDED = (BALANCED, ZIPF_TEST)
COLUMNS = [(group, draw) for draw in DRAWS for group in GROUPS]
ORDERS = 5
BASE, CENTRING, PRIOR, SURE, EM = "baseline", "centring", "prior", "sure prior", "EM"
EM_TEST = "EM, test pictures as well"
ROWS = (CENTRING, PRIOR, SURE, EM, EM_TEST)
KINDS = (CENTRING, PRIOR)
"""The rows that are kinds of `offsets=` today."""
LOST = 2.0
"""What a lost point counts, where a gained one counts 1."""
HARMLESS = -1.0
ROUNDS = 10
"""The rounds of EM."""
Scores = dict[tuple[str, str, str], dict[tuple[str, int], dict[str, Any]]]
"""Group of sets, draw of pictures, row → set and order → the score."""


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "names of CLIPs, with commas between"},
        cells=OPTION,
    )
    names = options.clips.split(",")
    with Cells(options.cells) as cells:
        found = {name: scores(cells, name, small=options.small) for name in names}
    plain = [name for name in names if name != "embedded"]
    together = {f"{len(plain)} control CLIPs": [found[name] for name in plain]} if len(plain) > 1 else {}
    for title, some in {**together, **{short(name): [found[name]] for name in names}}.items():
        for make in (gains, leads):
            print("\n".join(make(title, some)), flush=True)
    decide([found[name] for name in plain or names])


def scores(cells: Cells, clip: str, *, small: bool = False) -> Scores:
    """Score all rows on all sets; a cell is what one set measured, see `measured`."""
    found: Scores = defaultdict(dict)
    load = cache(partial(load_clip, clip))
    for group in GROUPS:
        for spec in expanded(f"embedded:claims-{group}")[slice(1, 4, 2) if small else slice(None)]:
            cell = cells.of((short(clip), spec), partial(measured, load, spec))
            labels = np.array(cell["labels"])
            even = np.ones(len(labels))
            for order, drawn_so in enumerate([cell[BALANCED], *cell[ZIPF]], -1):
                weights = {BALANCED: even}
                if order >= 0:
                    law = 1 / np.array(drawn_so["ranks"])[labels]
                    weights = {ZIPF: even, ZIPF_TEST: law / law.mean()}
                for row in (BASE, *ROWS):
                    right = hits_of(cell[BASE], drawn_so.get(row, ""))
                    for draw, of_pictures in weights.items():
                        hits = right * of_pictures
                        score = {"value": float(hits.mean()), "hits": hits, "labels": labels}
                        found[group, draw, row][spec, max(order, 0)] = score
    return found


def measured(load: Callable[[], Clip], spec: str) -> dict[str, Any]:
    """Return the cell of a set.

    It holds the label of each test picture, the hits of the baseline template, and for balanced pictures and for each
    order of Zipf's law the hits that each row gains and loses; besides, the place of each class in an order: 1 is the
    most frequent.
    """
    own.allow(spec)
    clip, data = load(), load_data(spec, seed=SPLIT_SEED)
    reward = ClipReward(clip, tuple(data.class_names))
    pool, test = (
        reward.encode([one.picture for one in items], [one.label for one in items])
        for items in ([*data.train, *data.val], data.test)
    )
    classes = reward.texts.encode([BASELINE], reward.class_names)[0]
    before = logits_of(clip, test.features, classes).argmax(axis=1) == test.labels
    parts = []
    for ranks, some, also in drawn(pool.labels, test.labels):
        rows = fitted(clip, classes, pool.features[some], test.features, also)
        part: dict[str, Any] = {} if ranks is None else {"ranks": ranks.tolist()}
        parts.append(part | {row: string_of(logits.argmax(axis=1) == test.labels, before) for row, logits in rows})
    return {"labels": test.labels.tolist(), BASE: string_of(before), BALANCED: parts[0], ZIPF: parts[1:]}


def drawn(pool: Numbers, test: Numbers) -> Iterator[tuple[Numbers | None, Numbers, Numbers]]:
    """Yield the place of each class in an order, (C,) from 1, and the unlabelled and the test pictures that a fit sees.

    The first is None for balanced pictures. All test pictures are tested.
    """
    yield None, np.arange(len(pool)), np.arange(len(test))
    for order in range(ORDERS):
        rng = np.random.default_rng(order)
        ranks = 1 + rng.permutation(int(pool.max()) + 1)
        law = 1 / ranks
        some, also = (
            rng.choice(len(labels), len(labels), p=law[labels] / law[labels].sum()) for labels in (pool, test)
        )
        yield ranks, some, also


def fitted(
    clip: Clip, classes: Floats, known: Floats, test: Floats, also: Numbers
) -> Iterator[tuple[str, Doubles | Floats]]:
    """Yield each row and its logits of the test pictures, (n, C), after a fit to unlabelled pictures.

    Args:
        clip: the CLIP.
        classes: the class embeddings of the baseline template, float32 (C, D).
        known: the features of the unlabelled pictures, float32 (m, D).
        test: those of the test pictures, float32 (n, D).
        also: the places of the test pictures that the last row is fitted to as well.
    """
    logits = logits_of(clip, test, classes)
    seen = logits_of(clip, known, classes)
    yield CENTRING, logits + CentringOffsets.from_pictures(known).of(clip, classes)
    yield PRIOR, logits + uniform_offsets(seen)
    yield SURE, logits + sure_prior(seen)
    yield EM, Mixture(classes, known, seen).logits(test, logits)
    both = Mixture(classes, np.concatenate([known, test[also]]), np.concatenate([seen, logits[also]]))
    yield EM_TEST, both.logits(test, logits)


def sure_prior(logits: Floats) -> Doubles:
    """Return less the log of the mean posterior, where a picture weighs 1 − entropy / log C: float64 (C,).

    This is one step of bias correction, as in "domain recentering and confidence-weighted prior calibration" (2026).
    """
    posteriors = softmax(logits).astype(np.float64)
    tiny = np.finfo(np.float64).tiny
    entropy = -(posteriors * np.log(np.maximum(posteriors, tiny))).sum(axis=1)
    sure = np.maximum(1 - entropy / np.log(posteriors.shape[1]), tiny)
    offsets: Doubles = -np.log(np.maximum(sure @ posteriors / sure.sum(), 1e-9))
    return offsets


class Mixture:
    """Normal classes with a shared diagonal covariance, fitted by EM to pictures beside their text posteriors.

    As TransCLIP (Zanella et al. 2024) without its graph of neighbours: a picture's share in a class is in proportion to
    the class's share of pictures × its text posterior × its density. A class mean starts at the mean picture plus the
    class's text row less the mean row, and counts as one picture there, so that a class without pictures keeps it.
    """

    def __init__(self, classes: Floats, features: Floats, logits: Floats) -> None:
        count = len(classes)
        start = features.mean(axis=0) + classes - classes.mean(axis=0)
        self.spread = features.astype(np.float64).var(axis=0) + 1e-6
        shares = softmax(logits).astype(np.float64)
        for _ in range(ROUNDS):
            sums = shares.sum(axis=0)
            self.means = (shares.T @ features + start) / (sums + 1)[:, None]
            squares = (shares.T @ features**2).sum(axis=0) - 2 * ((shares.T @ features) * self.means).sum(axis=0)
            self.spread = (squares + sums @ self.means**2) / len(features) + 1e-6
            self.log_share = np.log((sums + 1) / (len(features) + count))
            shares = softmax(self.logits(features, logits).astype(np.float32)).astype(np.float64)

    def logits(self, features: Floats, logits: Floats) -> Doubles:
        """Return the log of the share of each class in each picture, up to a constant: float64 (n, C)."""
        scaled = self.means / self.spread
        density = features @ scaled.T - (scaled * self.means).sum(axis=1) / 2
        found: Doubles = logits + density + self.log_share
        return found


def row_of(cells: Scores, groups: Sequence[str], draw: str, row: str) -> Row:
    """Return a row of some groups of sets in the form of `gains.py`."""
    joint = {key: score for group in groups for key, score in cells[group, draw, row].items()}
    return Row(100 * float(np.mean([score["value"] for score in joint.values()])), "", "", 0, 0, joint)


def crossed(found: Sequence[Scores], groups: Sequence[str], draw: str, row: str, other: str = BASE) -> Crossed:
    """Compare two rows with several CLIPs."""
    return Crossed.of(*([row_of(cells, groups, draw, one) for cells in found] for one in (row, other)))


def gains(title: str, found: Sequence[Scores]) -> Iterator[str]:
    """Yield the lines of the table of the gains of all rows over the baseline template, with several CLIPs."""
    yield from ("", f"{title}: gain over the baseline template, points", "")
    start = [np.mean([row_of(cells, (group,), draw, BASE).accuracy for cells in found]) for group, draw in COLUMNS]
    heads = [f"{group}, {draw} ({at:.1f} %)" for (group, draw), at in zip(COLUMNS, start, strict=True)]
    yield from header("row", *heads, "worth", "worth, lopsided test")
    for row in ROWS:
        told = [tell(crossed(found, (group,), draw, row)) for group, draw in COLUMNS]
        yield f"| {row} | {' | '.join(told)} | {worth(found, row):.1f} | {worth(found, row, LOPSIDED):.1f} |"


def leads(title: str, found: Sequence[Scores]) -> Iterator[str]:
    """Yield the lines of the table of leads over centring, and of gains on a lopsided test."""
    yield from ("", f"{title}: lead over centring; gain where the test is weighted by Zipf's law as well, points", "")
    yield from header("row", *(f"{group}, {draw}" for group, draw in COLUMNS), *(f"{g}, {ZIPF_TEST}" for g in GROUPS))
    for row in ROWS:
        ahead = ["–" if row == CENTRING else tell(crossed(found, (g,), draw, row, CENTRING)) for g, draw in COLUMNS]
        told = [tell(crossed(found, (group,), ZIPF_TEST, row)) for group in GROUPS]
        yield f"| {row} | {' | '.join([*ahead, *told])} |"


def header(*cells: str) -> list[str]:
    """Return the first two lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |", "| --- " * len(cells) + "|"]


def tell(one: Crossed) -> str:
    """Return a mean gain with its interval."""
    low, high = one.interval()
    return f"{one.gains.mean():+.1f} [{low:.1f}, {high:.1f}]"


def worth(found: Sequence[Scores], row: str, draws: Sequence[str] = DRAWS) -> float:
    """Return what a row is worth by the rule, in points."""
    kinds = [crossed(found, groups, draw, row).gains for groups in (GROUPS[:1], GROUPS[1:]) for draw in draws]
    return float(np.mean([np.where(gains < 0, LOST * gains, gains).mean() for gains in kinds]))


def decide(found: Sequence[Scores]) -> None:
    """Print what the rule takes."""
    first = max((BASE, *ROWS), key=lambda row: worth(found, row))
    ends = [crossed(found, (group,), draw, first, CENTRING).interval() for group, draw in COLUMNS]
    ahead, behind = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
    also = [worth(found, row, LOPSIDED) for row in (first, CENTRING)]
    print(
        f"\nHighest worth: {first}. Its lead over centring is shown in {ahead} columns of {len(ends)}, centring's over "
        f"it in {behind}. Worth with a lopsided test: {also[0]:.1f}, centring {also[1]:.1f}."
    )
    advice = first if ahead and not behind and also[0] >= also[1] else CENTRING
    best = {
        max(ROWS, key=lambda row, at=at: crossed(found, at[:1], at[1], row).gains.mean())  # type: ignore[misc]
        for at in COLUMNS
    }
    clean = [crossed(found, GROUPS[:1], draw, row).interval()[0] > HARMLESS for row in ROWS for draw in DRAWS]
    harmless = [row for row, *ok in zip(ROWS, clean[::2], clean[1::2], strict=True) if all(ok)]
    leave = [kind for kind in KINDS if kind not in {advice, *best}]
    print(f"The advice: {advice}. Best in a column: {', '.join(sorted(best))}. Kinds that leave: {leave}.")
    built = "yes" if first in (EM, EM_TEST) else "no"
    print(f"EM is built: {built}. Costs nothing on clean pictures: {', '.join(harmless) or 'no row'}.")


if __name__ == "__main__":
    main()
