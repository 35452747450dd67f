"""Which templates reach the choice of the winner, and how it is chosen: rules compared on pictures, by a CLIP's scores.

Templates: single phrases of the shipped vocabulary, random pairs of phrases, and words of domains ("food"). Of each
draw's labelled pictures two thirds search, and with the others they choose; all other pictures test. A rule orders the
templates by their scores on the search pictures, proposes the first of them, and chooses among these. On shuffled
labels no template is better than another: a rule that often leaves the initial template there chooses by something
else.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import arguments
from benchmarks.lab import bed
from benchmarks.lab.bed import CLAIMS, claims, shared
from benchmarks.lab.cells import OPTION, Cells, short
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import losses_of, places_of
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.template import BASELINE, words
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.templates.phrases import Vocabulary, Wording

PAIRS = 700
DOMAIN_WORDS = (
    "food, animal, vehicle, plant, tool, object, activity, machine, toy, symbol, building, person, device, fruit, bird"
)
FORMS = ("a photo of a <CLASS>, a type of {}.", "a photo of a <CLASS>, {}.")
DOMAINS = {
    **bed.DOMAINS,
    "objects": (
        *("umbrella", "key", "alarm clock", "scissors", "camera", "book", "hammer", "bell", "chair", "bed", "glasses"),
        "lock",
    ),
}
"""Classes of the shipped pictures that are of one kind."""
TEN = 10
LABELS = (1, 2, 4, 6)


Order = Literal["accuracy", "places", "loss"]


class Rule(NamedTuple):
    """How a winner is chosen.

    Attributes:
        order: by what templates are ordered on the search pictures.
        price: what each word must add to it, in its unit: a fraction of pictures, or nats.
        number: how many templates are proposed.
        exceed: how many standard errors the best gain must exceed; -inf takes the best in any case.
        within: the winner is the shortest within so many standard errors of the best; -inf takes the best itself.
        decides: what is compared in the choice.
        counted: the words that are counted: all, or content words beyond "a photo of a <CLASS>".
    """

    order: Order = "accuracy"
    price: float = 0.005
    number: int = 60
    exceed: float = 1.0
    within: float = 1.0
    decides: Literal["places", "hits", "hits and loss"] = "places"
    counted: Literal["all", "content"] = "content"


FORMER = Rule(counted="all")
NO = -math.inf
EVERY = 10**6
_PRICES: dict[Order, tuple[float, ...]] = {
    "accuracy": (0.005, 0.0025, 0.0),
    "places": (0.02, 0.01, 0.005, 0.0),
    "loss": (0.02, 0.01, 0.005, 0.0),
}
ORDERS = [Rule(order, price) for order, prices in _PRICES.items() for price in prices]
GUARDS = [(exceed, within) for exceed in (1.0, 0.0, NO) for within in (1.0, 0.5, NO)]
FEW_GUARDS = [(1.0, 1.0), (0.0, NO), (NO, NO)]
NUMBERED = [FORMER, Rule("places", 0.0), Rule("loss", 0.0)]
RULES = list(
    dict.fromkeys(
        [FORMER, *(FORMER._replace(decides=decides) for decides in ("hits", "hits and loss"))]
        + [one._replace(exceed=exceed, within=within) for one in ORDERS for exceed, within in FEW_GUARDS]
        + [
            one._replace(exceed=exceed, within=within)
            for one in (FORMER, Rule("places", 0.0), Rule("places", 0.005))
            for exceed, within in GUARDS
        ]
        + [
            one._replace(number=number, exceed=exceed, within=within)
            for one in NUMBERED
            for number in (12, 30)
            for exceed, within in FEW_GUARDS
        ]
        + [Rule("places", 0.0, EVERY, *guards) for guards in FEW_GUARDS]
    )
)


@dataclass(frozen=True)
class Measured:
    """The logits of all templates on a set, float32 (1 + T, n, C), the initial one first; labels (n,); templates."""

    logits: Floats
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    templates: tuple[str, ...]

    @cached_property
    def words(self) -> dict[str, NDArray[np.int64]]:
        """The words of each template, (1 + T,), in both counts."""
        return {
            "all": np.array([len(template.split()) for template in self.templates]),
            "content": np.array([words(template) for template in self.templates]),
        }


class Scores(NamedTuple):
    """The scores of all templates on the pictures of some classes, each (1 + T, n), and the pictures' labels, (n,)."""

    hits: Doubles
    places: Doubles
    losses: Doubles
    labels: NDArray[np.int64]


def measure(clip: str, place: str, pairs: int) -> Measured:
    """Encode a set once, and all templates with its classes."""
    data, of = load_data(place, seed=0), load_clip(clip)
    items = [*data.train, *data.val, *data.test]
    templates, texts = encoded(clip, tuple(data.class_names), pairs)
    features = FeatureStore(of).encode([item.picture for item in items])
    logits = np.stack([np.float32(of.logit_scale) * (features @ rows.T) for rows in texts])
    return Measured(logits, np.array([item.label for item in items]), tuple(data.class_names), templates)


@lru_cache(maxsize=2)
def encoded(clip: str, class_names: tuple[str, ...], pairs: int) -> tuple[tuple[str, ...], Floats]:
    """Return the templates, the initial one first, and their class embeddings, float32 (1 + T, C, D)."""
    rng, of = random.Random(5), load_clip(clip)
    singles = [phrase.template for phrase in Vocabulary.load().usable(class_names, of)]
    parts = [part for one in singles if (wording := Wording.of(one)) for part in wording.parts]
    both: dict[str, None] = {}
    while len(both) < pairs:
        first, second = rng.sample(parts, 2)
        wording = Wording("photo").plus(first).plus(second)
        if wording.is_readable and len(wording.parts) == 2:
            both[str(wording)] = None
    words = [form.format(word) for form in FORMS for word in DOMAIN_WORDS.split(", ")]
    templates = tuple(dict.fromkeys([BASELINE, *words, *singles, *both]))
    return templates, encode_templates(of.model, of.tokenizer, templates, class_names)


def scored(found: Measured, chosen: NDArray[np.int64], shuffle: np.random.Generator | None = None) -> Scores:
    """Score all templates on the pictures of some classes, which compete; with `shuffle` by labels that say nothing."""
    units = np.flatnonzero(np.isin(found.labels, chosen))
    labels = np.searchsorted(chosen, found.labels[units])
    labels = labels if shuffle is None else shuffle.permutation(labels)
    hits, places, losses = [], [], []
    for rows in found.logits:
        logits = rows[np.ix_(units, chosen)] if len(chosen) < rows.shape[1] else rows
        hits.append(logits.argmax(axis=1) == labels)
        places.append(-np.log(places_of(logits, labels)))
        losses.append(losses_of(logits, labels))
    return Scores(np.array(hits, dtype=np.float64), np.array(places), np.array(losses), labels)


def variances(rows: Doubles, labels: NDArray[np.int64]) -> Doubles:
    """Return the variance of the mean of each row for these classes, as `Sampling.these`; equal counts of labels."""
    n = rows.shape[1]
    each = n // (int(labels.max()) + 1)
    grouped = rows[:, np.argsort(labels, kind="stable")].reshape(len(rows), *((1, n) if each == 1 else (-1, each)))
    return np.asarray(grouped.var(axis=2, ddof=1).mean(axis=1) / n)


@dataclass
class Draw:
    """A draw of labelled pictures: the scores on these, which of them search, and the words of the templates."""

    scores: Scores
    search: NDArray[np.bool_]
    words: dict[str, NDArray[np.int64]]
    _kept: dict[Rule, tuple[Any, ...]] = field(default_factory=dict)

    def winner(self, rule: Rule) -> int:
        """Return the row of the template that a rule chooses."""
        proposed = rule._replace(exceed=0, within=0)
        if proposed not in self._kept:
            self._kept[proposed] = self._propose(proposed)
        rows, values, errors, best, shrunken, error = self._kept[proposed]
        if rule.exceed == NO and values[best] <= values[0]:
            return 0
        if rule.exceed > NO and shrunken <= max(0.0, rule.exceed * error):
            return 0
        if rule.within == NO:
            return int(rows[best])
        good = (values[best] - values <= rule.within * errors) & (values > values[0])
        good[best], good[0] = True, False
        order = np.lexsort((np.arange(len(rows)) != best, -values, self.words[rule.counted][rows]))
        return int(rows[next(row for row in order if good[row])])

    @cached_property
    def _searched(self) -> dict[str, Doubles]:
        """What templates are ordered by, on the search pictures: higher is better, (1 + T,)."""
        hits, places, losses = (rows[:, self.search].mean(axis=1) for rows in self.scores[:3])
        return {"accuracy": hits, "places": places, "loss": -losses}

    def _propose(self, rule: Rule) -> tuple[Any, ...]:
        """Return what all guards need: the proposed rows, their values, the errors of their distances from the best.

        And the place of the best row, its shrunken gain, and the error of the mean gain.
        """
        order, price, number, _, _, decides, counted = rule
        hits, places, losses, labels = self.scores
        value = self._searched[order] - price * self.words[counted]
        proposed = 1 + np.lexsort((-self._searched["loss"][1:], -value[1:]))[:number]
        best_first = np.lexsort((-self._searched["loss"][proposed], -self._searched["accuracy"][proposed]))
        rows = np.r_[0, proposed[best_first]]
        if decides == "hits and loss":
            both = hits / max(hits.std(axis=1).mean(), 1e-9) - losses / losses.std(axis=1).mean()
        evidence = {"places": places, "hits": hits, "hits and loss": None}[decides]
        evidence = (both if evidence is None else evidence)[rows]
        gained = evidence[1:] - evidence[0]
        gains, mean = gained.mean(axis=1), gained.mean(axis=0)
        best = int(np.lexsort((losses[rows[1:]].mean(axis=1), -gains))[0])
        distance, kept = float(gains[best] - mean.mean()), 0.0
        if (among := float(gains.var(ddof=1))) > 0:
            noise = float(variances(gained - mean, labels).sum()) / (len(gains) - 1)
            kept = max(0.0, (1 - noise / among) * distance, distance - math.sqrt(2 * math.log(len(gains)) * noise))
        error = math.sqrt(float(variances(mean[None], labels)[0]))
        errors = np.sqrt(variances(evidence[best + 1] - evidence, labels))
        return rows, evidence.mean(axis=1), errors, best + 1, float(mean.mean()) + kept, error


def draws_of(found: Measured, seeds: int, shuffled: bool) -> Iterator[tuple[str, int, int, Scores]]:
    """Yield each group of classes, the number of labels, the seed, and the scores: all, ten at random, one domain."""
    every = np.arange(len(found.class_names))
    groups = {"all": every}
    for name, names in DOMAINS.items():
        if set(names) <= set(found.class_names):
            groups[name] = np.array(sorted(map(found.class_names.index, names)))
    for name, chosen in [*groups.items(), ("ten", every[:TEN])]:
        fixed = None if shuffled or name == "ten" else scored(found, chosen)
        for seed in range(seeds):
            rng = np.random.default_rng([seed, len(chosen)])
            drawn = np.sort(rng.permutation(every)[:TEN]) if name == "ten" else chosen
            scores = fixed or scored(found, drawn, rng if shuffled else None)
            yield from ((name, labels, seed, scores) for labels in LABELS)


def one(found: Measured, scores: Scores, labels: int, seed: int) -> Doubles:
    """Draw once. Return for each rule the gain on other pictures in points, whether the initial one was left, words."""
    rng = np.random.default_rng([seed, labels])
    classes = int(scores.labels.max()) + 1
    few = np.concatenate([rng.permutation(np.flatnonzero(scores.labels == c))[:labels] for c in range(classes)])
    search = np.tile(np.arange(labels) < (labels - labels // 3 if labels > 2 else 1), classes)
    test = np.setdiff1d(np.arange(len(scores.labels)), few)
    tested = 100 * scores.hits[:, test].mean(axis=1)
    hits, places, losses = (rows[:, few] for rows in scores[:3])
    known = Scores(hits, places, losses, scores.labels[few])
    draw = Draw(known, search, found.words)
    winners = np.array([draw.winner(rule) for rule in RULES])
    return np.stack([tested[winners] - tested[0], winners > 0, found.words["all"][winners]], axis=1)


def cells_of(clip: str, place: str, draws: int, pairs: int) -> list[dict[str, Any]]:
    """Measure a CLIP on a set. Return the mean over draws for each group of classes and number of labels.

    A quarter of as many draws have shuffled labels.
    """
    found, cells = measure(clip, place, pairs), []
    for shuffled, seeds in ((False, draws), (True, -(-draws // 4))):
        sums: dict[tuple[str, int], list[Doubles]] = defaultdict(list)
        for group, labels, seed, scores in draws_of(found, seeds, shuffled):
            sums[group, labels].append(one(found, scores, labels, seed))
        for (group, labels), rows in sums.items():
            cell = {"group": group, "labels": labels, "shuffled": shuffled}
            cells.append({**cell, "rules": np.round(np.mean(rows, axis=0), 4).tolist()})
    return cells


def main() -> None:
    """Measure what the file of cells lacks, and print the table."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        sets={"type": int, "default": 3, "help": "of each kind of claims"},
        draws={"type": int, "default": 20, "help": "of labelled pictures, each set"},
        cells=OPTION,
    )
    places = [claims(kind)[i].spec for i in range(1 if options.small else options.sets) for kind in CLAIMS]
    draws, pairs = (2, 40) if options.small else (options.draws, PAIRS)
    with Cells(options.cells) as cells:
        found = [
            {"clip": short(clip), "set": place, **cell}
            for clip in options.clips.split(",")
            for place in places
            for cell in cells.of((short(clip), place, draws), partial(cells_of, clip, place, draws, pairs))
        ]
    print("\n".join(table(found)))


def table(cells: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table, a rule a line."""
    true, shuffled = ([cell for cell in cells if cell["shuffled"] is is_so] for is_so in (False, True))
    heads = "order, price a word | proposed | exceeds | within | gain | over the first | lowest group | left | words"
    lines = [f"| {heads} |", "| --- " * 9 + "|"]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in true:
        for name in (_kind(cell["set"]), _classes(cell["group"]), f"{cell['labels']} labels", cell["clip"]):
            groups[name].append(cell)
    for i, rule in enumerate(RULES):
        within = {name: _over(some, i) for name, some in groups.items()}
        name, (lowest, _, high) = min(within.items(), key=lambda pair: pair[1][0])
        fails = " (!)" if lowest < -0.3 and high < 0 else ""
        gain, left, words = (_means(some, i, what).mean() for some, what in ((true, 0), (shuffled, 1), (true, 2)))
        mean, *ends = _over(true, i)
        over = f"{mean:+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"
        told = [*_told(rule), f"{gain:+.2f}", over, f"{name} {lowest:+.2f}{fails}", f"{left:.0%}", f"{words:.1f}"]
        lines.append(f"| {' | '.join(told)} |")
    return lines


def _told(rule: Rule) -> list[str]:
    """Return a rule in words, for four columns."""
    unit = f"{100 * rule.price:g} points" if rule.order == "accuracy" else f"{rule.price:g} nats"
    every = ", all words" if rule.counted == "all" else ""
    decides = "" if rule.decides == "places" else f"; {rule.decides} decide"
    exceed, within = ("none" if number == NO else f"{number:g} SE" for number in (rule.exceed, rule.within))
    number = "all" if rule.number == EVERY else str(rule.number)
    return [f"{rule.order}, {unit}{every}{decides}", number, exceed, within]


def _kind(place: str) -> str:
    return next(kind.removeprefix("claims-") for kind in CLAIMS if place in {one.spec for one in claims(kind)})


def _classes(group: str) -> str:
    return "one domain" if group in DOMAINS else f"{group} classes"


def _means(cells: list[dict[str, Any]], rule: int, what: int, less: int | None = None) -> Doubles:
    """Return the mean of each CLIP and set; all classes, ten classes and one domain weigh the same."""
    each: dict[Any, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        other = 0.0 if less is None else cell["rules"][less][what]
        each[cell["clip"], cell["set"]][_classes(cell["group"])].append(cell["rules"][rule][what] - other)
    return np.array([np.mean([np.mean(one) for one in of.values()]) for of in each.values()])


def _over(cells: list[dict[str, Any]], rule: int) -> tuple[float, float, float]:
    """Return the mean gain over the first rule in points, and its crossed interval; nan for a single value."""
    values = _means(cells, rule, 0, less=0)
    if len(values) < 2:
        return float(values.mean()), math.nan, math.nan
    keys = list(dict.fromkeys((cell["clip"], cell["set"]) for cell in cells))
    places = [place for _, place in keys]
    low, high = crossed_interval(values, [*shared(places), places, [clip for clip, _ in keys]])
    return float(values.mean()), low, high


if __name__ == "__main__":
    main()
