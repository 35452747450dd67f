"""Other names of classes: how much of the cost of bad names comes back, beside a fitted number a class, and controls.

The 68 classes are called rightly (the names that the demo CLIP was taught) or renamed by rule: a synonym of WordNet's,
the plural, a word for a kind of the thing. For each set and draw six of ten pictures a class learn (or two of these
six), four test. The template is the best of the baseline template and the vocabulary by hits, then loss, on all that
learn, under the names as given; then names are searched as `names=search` does it. Rows, in points over the names as
given:

- names: as in a run. offsets: a number for each class fitted to labels, kept where the numbers of two thirds of the
  pictures gain more than their standard error on the others. both: found names, and numbers fitted anew under them.
- right names: a template found under the right names; this is the most that there is to gain.
- permuted: each class chooses among the candidates of another class, with the gate. shuffled: labels say nothing. raw
  loss: labels say nothing, logits are not divided by a temperature, and the loss alone opens the gate.

Without labels the benchmark counts which names get a suggestion.

Intervals are the wider of two: clustered by drawing, since all sets and draws show variants of the drawings, and over
sets. Goals that are missed are printed, and make the exit code 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, hits_of, short, show, string_of
from benchmarks.lab.kinds import narrower
from benchmarks.lab.names_table import ROWS, WAYS, Cell, controls, gains, missed
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import best_temperature
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.nouns import synsets
from ipo_prompts.metrics.offsets import class_weights, uniform_offsets
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import BASELINE, too_long
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs import naming
from ipo_prompts.programs.candidates import candidates_of
from ipo_prompts.programs.templates.phrases import Vocabulary

SETS = "upside-down+hue,sideways+noise,zoom+edge,small+bright,sideways+dark,upside-down+faded"
"""Sets that nobody examined while the rule, or its place in a search, was designed."""
LEARN = 6
CLASSES, SHOTS, DRAWS = (68, 10), (6, 2), 3


@dataclass
class Called:
    """The classes under names of one kind, with all templates encoded."""

    names: tuple[str, ...]
    texts: Floats
    """float32 (templates, C, D)."""


@dataclass
class Bed:
    """A CLIP, the templates, and the classes by what they are called."""

    clip: Clip
    templates: list[str]
    called: dict[str, Called]


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        sets={"default": SETS, "help": "transformations of `embedded:`, with commas between"},
        draws={"type": int, "default": DRAWS, "help": "of the pictures of 68 classes; twice as many of ten classes"},
        cells=OPTION,
    )
    sets, draws, small = options.sets.split(","), options.draws, options.small
    if small:
        sets, draws = ["noise+negative"], 1
    ways = called()
    for way in WAYS[1:]:
        changed = sum(name not in ways["right"] for name in ways[way])
        print(f"{way}: {changed} of {len(ways['right'])} classes, such as {', '.join(ways[way][:6])}")
    lines = []
    with Cells(options.cells) as cells:
        for clip in options.clips.split(","):
            named = Named(cells, clip, sets, draws, small=small)
            show(named.lines())
            lines += [
                f"{classes} classes, {shots} pictures: {line}"
                for classes, shots in product(CLASSES, SHOTS)
                for line in missed(classes, shots, named.drawn(classes, shots))
            ]
    print("\n" + (scale(50, 4, 200) if small else scale(1000, 12, 16000)))
    for line in lines:
        print(f"missed: {line}")
    raise SystemExit(1 if lines and not small else 0)


def tables(cells: Cells, clip: str, only: str) -> Iterator[str]:
    """Yield the lines of the tables of one kind: "suggestions", "gains" or "controls"."""
    return Named(cells, clip, SETS.split(","), DRAWS).lines((only,))


class Named:
    """The cells of one CLIP, which is loaded when the first cell is measured."""

    def __init__(self, cells: Cells, clip: str, sets: Sequence[str], draws: int, *, small: bool = False) -> None:
        self._cells, self._clip, self._sets, self._draws, self._small = cells, short(clip), sets, draws, small
        self._bed = cache(lambda: bed_of(load_clip(clip), 8 if small else None))
        self._seen = cache(lambda name: encoded(self._bed(), name))

    def lines(self, kinds: Sequence[str] = ("suggestions", "gains", "controls")) -> Iterator[str]:
        """Yield the lines of tables of these kinds."""
        for classes in CLASSES:
            if "suggestions" in kinds:
                yield from self._suggestions(classes)
            makers = [make for kind, make in (("gains", gains), ("controls", controls)) if kind in kinds]
            for shots in SHOTS if makers else ():
                own = self.drawn(classes, shots)
                many = len(own["right"])
                yield from ("", f"{self._clip}, {classes} classes, {shots} pictures of each, {many} cells a row.")
                for make in makers:
                    yield from ("", *make(own))

    def drawn(self, classes: int, shots: int) -> dict[str, list[Cell]]:
        """Return the cells of each kind of names."""
        found: dict[str, list[Cell]] = {way: [] for way in WAYS}
        draws = self._draws if classes == CLASSES[0] else 2 * self._draws
        for name, draw in product(self._sets, range(draws)):
            cell = self._cells.of(
                (self._clip, classes, shots, draw, name), partial(self._measured, classes, shots, draw, name)
            )
            for way in WAYS:
                found[way].append(cell_of(name, cell["labels"], cell["drawings"], cell[way]))
        return found

    def _measured(self, classes: int, shots: int, draw: int, name: str) -> dict[str, Any]:
        pictures, items = self._seen(name)
        return drawn_once(self._bed(), pictures, items, np.random.default_rng([draw, classes]), classes, shots)

    def _suggested(self, classes: int, draw: int, name: str) -> dict[str, list[list[int]]]:
        return suggested(self._bed(), self._seen(name)[0], classes, draw)

    def _suggestions(self, classes: int) -> Iterator[str]:
        """Yield how many classes get another name suggested, with the baseline template."""
        title = f"{classes} classes without labels, half of them called wrongly: share with a suggestion, in %"
        yield from ("", f"{self._clip}, {title}", "")
        yield "| called by | wrong names | right | candidates of others: wrong | right | accuracy rises | falls |"
        yield "| --- " * 7 + "|"
        draws = 1 if classes == CLASSES[0] or self._small else 4
        found = [
            self._cells.of(
                (self._clip, classes, "suggested", draw, name), partial(self._suggested, classes, draw, name)
            )
            for name, draw in product(self._sets, range(draws))
        ]
        for way in WAYS:
            counts = np.sum([one[way] for one in found], axis=0)
            shares = [100 * row[k] / max(row[k + 1], 1) for row in counts for k in (0, 2)]
            effects = [100 * counts[0, k] / max(counts[0, 0] + counts[0, 2], 1) for k in (4, 5)]
            yield f"| {way} | " + " | ".join(f"{share:.0f}" for share in (*shares, *effects)) + " |"


def cell_of(place: str, labels: Sequence[int], drawings: Sequence[str], kept: dict[str, Any]) -> Cell:
    """Return one draw under names of one kind, from what `measured` kept of it."""
    before = hits_of(kept["given"])
    over = {row: 100 * (hits_of(kept["given"], kept[row]) - before) for row in (*ROWS, "raw loss")}
    harm = float(over.pop("raw loss").mean())
    return Cell(place, tuple(labels), tuple(drawings), over, 100 * float(before.mean()), kept["opened"], harm)


def called() -> dict[str, tuple[str, ...]]:
    """Name the classes in all ways."""
    right = load_data("embedded", seed=0).class_names
    return dict(zip(WAYS, (right, synonyms(right), distinct(map(plural, right), right), narrower(right)), strict=True))


def bed_of(clip: Clip, most: int | None) -> Bed:
    """Encode all templates under all names."""
    ways = called()
    every = [name for names in ways.values() for name in names]
    templates = [BASELINE, *(phrase.template for phrase in Vocabulary.load().usable(every, clip))][:most]
    texts = {way: encode_templates(clip.model, clip.tokenizer, templates, names) for way, names in ways.items()}
    return Bed(clip, templates, {way: Called(names, texts[way]) for way, names in ways.items()})


def synonyms(names: Sequence[str]) -> tuple[str, ...]:
    """Return another word for the first meaning of each name; itself where WordNet has none."""
    meaning = {word.text: number for number, one in synsets().items() for word in one.words if word.sense == 1}
    others = [[word.text for word in synsets()[meaning[name]].words] if name in meaning else [] for name in names]
    return distinct((next((word for word in own if word not in names), "") for own in others), names)


def plural(name: str) -> str:
    """Return the plural by rule: right for most names, and what a folder may be called for all."""
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def distinct(wanted: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names wanted; the old ones where there is none, or another class has it."""
    found: list[str] = []
    for new, old in zip(wanted, names, strict=True):
        found.append(new if new and new not in found and new not in names else old)
    return tuple(found)


def encoded(bed: Bed, name: str) -> tuple[EncodedPictures, list[Any]]:
    """Return all pictures of a set."""
    items = [item for _, item in load_data(f"embedded:{name}", seed=0).items()]
    reward = ClipReward(bed.clip, bed.called["right"].names)
    return reward.encode([one.picture for one in items], [one.label for one in items]), items


def drawn_once(
    bed: Bed, pictures: EncodedPictures, items: Sequence[Any], rng: np.random.Generator, classes: int, shots: int
) -> dict[str, Any]:
    """Return the cell of a draw, which is the same whatever the classes are called and however many pictures learn.

    It holds the label and the drawing of each test picture, and for each kind of names what `measured` returns.
    """
    own = np.sort(rng.permutation(len(bed.called["right"].names))[:classes])
    dealt = np.array([rng.permutation(np.flatnonzero(pictures.labels == label)) for label in own])
    fits = shots - max(1, shots // 3)
    learn, fit, other, test = (
        pictures.part(dealt[:, of].ravel(), own)
        for of in (slice(shots), slice(fits), slice(fits, shots), slice(LEARN, None))
    )
    mixed = rng.permutation(learn.labels)
    best = bed.called["right"].texts[chosen(bed, "right", own, learn)][own]
    of_ways = {way: measured(bed, way, own, (learn, fit, other, test), mixed, best) for way in WAYS}
    drawings = [items[i].group for i in dealt[:, LEARN:].ravel()]
    return {"labels": own[test.labels].tolist(), "drawings": drawings, **of_ways}


def measured(bed: Bed, way: str, own: Any, parts: Sequence[EncodedPictures], mixed: Any, right: Floats) -> Any:
    """Return what a cell holds of classes that are called in one way.

    `given` has the hits under the names as given, each row and `raw loss` the hits gained and lost, and `opened` says
    which gates opened, in the order of `OPENED`.

    Args:
        bed: the CLIP, templates and classes.
        way: a kind of names, see `WAYS`.
        own: the labels of the classes.
        parts: the pictures that learn, those of them that fit numbers, those that judge the numbers, and the test.
        mixed: the labels of the pictures that learn, shuffled.
        right: the template found under the right names, float32 (C, D).
    """
    learn, fit, other, test = parts
    texts, candidates = texts_of(bed, way, own, chosen(bed, way, own, learn))
    given, swapped = texts[: len(own)], naming.exchanged(candidates)
    every = np.arange(len(learn))
    scaled = np.float32(bed.clip.logit_scale) * learn.features
    labelled = EncodedPictures(scaled, learn.labels, tuple(map(str, every)))
    before = hits(bed, given, test)
    found = naming.find_names(texts, candidates, labelled)
    others = naming.choose_names(texts, swapped, labelled, 0)[0] if found.permuted.opens else every[: len(own)]
    on = hits(bed, given, other, fit) - hits(bed, given, other)
    kept = learn if on.mean() > np.sqrt(Sampling.of(len(on), other.labels.tolist()).these(on).value) else None
    rows = {
        "names": hits(bed, texts[found.chosen], test),
        "offsets": hits(bed, given, test, kept),
        "both": hits(bed, texts[found.chosen], test, kept),
        "right names": hits(bed, right, test),
        "permuted": hits(bed, texts[others], test),
    }
    none = replace(labelled, labels=mixed)
    shuffled = naming.held_back_gain(texts, candidates, none, every % 2, 0)
    with patch.object(naming, "best_temperature", lambda *_: 1.0):
        held = naming.held_back_gain(texts, candidates, none, every % 2, 0)
        opened = held.loss > held.loss_error
        raw = hits(bed, texts[naming.choose_names(texts, candidates, none, 0)[0]], test) if opened else before
    changes = {row: string_of(after, before) for row, after in {**rows, "raw loss": raw}.items()}
    gates = found.held.opens, found.permuted.opens, shuffled.opens, opened
    return {"given": string_of(before), **changes, "opened": list(map(bool, gates))}


def chosen(bed: Bed, way: str, own: Any, learn: EncodedPictures) -> int:
    """Return the number of the template with the most hits, then the lowest loss."""
    reward = ClipReward(bed.clip, [bed.called[way].names[label] for label in own])
    scores = reward.score_embeddings(bed.templates, list(bed.called[way].texts[:, own]), learn)
    return max(range(len(scores)), key=lambda i: scores[i].rank)


def texts_of(bed: Bed, way: str, own: Any, best: int) -> tuple[Floats, list[list[int]]]:
    """Return the texts of some classes under all their names, and for each class its rows."""
    called, template, clip = bed.called[way], bed.templates[best], bed.clip
    names = [called.names[label] for label in own]
    lists = [[name for name in more if too_long(template, [name], clip) is None] for more in candidates_of(names)]
    words = list(dict.fromkeys(name for more in lists for name in more))
    more = encode_templates(clip.model, clip.tokenizer, [template], words)[0]
    row = {name: len(names) + place for place, name in enumerate(words)}
    rows = [[label, *(row[name] for name in others)] for label, others in enumerate(lists)]
    return np.concatenate([called.texts[best][own], more]), rows


def suggested(bed: Bed, pictures: EncodedPictures, classes: int, draw: int) -> dict[str, list[list[int]]]:
    """Count suggestions without labels, for each kind of names: (2, 6).

    The rows are the candidates and those of other classes. The columns are suggestions for wrong names, wrong names,
    suggestions for right names, right names, and suggestions that raise and that lower the accuracy.
    """
    counted: dict[str, list[list[int]]] = {}
    for way in WAYS:
        rng = np.random.default_rng(draw)
        own = np.sort(rng.permutation(len(bed.called[way].names))[:classes])
        half = rng.random(classes) < 0.5
        shown = pictures.part(np.flatnonzero(np.isin(pictures.labels, own)).tolist(), own.tolist())
        mixed = [bed.called[way if wrong else "right"] for wrong in half]
        names = [called.names[label] for called, label in zip(mixed, own, strict=True)]
        given = np.stack([called.texts[0][label] for called, label in zip(mixed, own, strict=True)])
        right = [bed.called["right"].names[label] for label in own]
        wrong = np.array([name != true for name, true in zip(names, right, strict=True)])
        one = Called(tuple(names), given[None])
        texts, rows = texts_of(replace(bed, called={way: one}), way, np.arange(classes), 0)
        before = hits(bed, given, shown).mean()
        counted[way] = []
        for candidates in (rows, naming.exchanged(rows)):
            with patch.object(naming, "SUGGESTED", classes):
                found = naming.suggest(texts, candidates, np.float32(bed.clip.logit_scale) * shown.features)
            after = []
            for name in found:
                changed = given.copy()
                changed[name.label] = texts[name.row]
                after.append(hits(bed, changed, shown).mean() - before)
            met = sum(wrong[name.label] for name in found)
            ends = sum(np.array(after) > 0), sum(np.array(after) < 0)
            counts = (met, wrong.sum(), len(found) - met, (~wrong).sum(), *ends)
            counted[way].append(list(map(int, counts)))
    return counted


def hits(bed: Bed, classes: Floats, pictures: EncodedPictures, fitted: EncodedPictures | None = None) -> Doubles:
    """Return the hits of pictures, (n,); with `fitted`, numbers of the classes are first fitted to its labels."""
    logits = bed.clip.logit_scale * (pictures.features @ classes.T)
    if fitted is not None:
        logits = logits + labelled_offsets(bed.clip.logit_scale * (fitted.features @ classes.T), fitted.labels)
    right: Doubles = (logits.argmax(axis=1) == pictures.labels).astype(np.float64)
    return right


def labelled_offsets(logits: Floats, labels: Any) -> Floats:
    """Find the offsets b for which softmax((logits + b) / t) fits labels, with the best t: (n, C) → float32 (C,).

    Either is the best for the other, in turns; more than four moved no number by a hundredth. Each class weighs the
    same.
    """
    offsets, weights = np.zeros(logits.shape[1], dtype=np.float32), class_weights(labels)
    for _ in range(4):
        temperature = np.float32(best_temperature(logits + offsets, labels))
        offsets = temperature * uniform_offsets(logits / temperature, weights)
    return offsets


def scale(classes: int, names: int, pictures: int) -> str:
    """Time a search for names on random features, in which the second name of each class is the one to find."""
    rng, width = np.random.default_rng(0), 512

    def unit(rows: Any) -> Floats:
        made: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return made

    texts = unit(rng.normal(size=(classes * names, width)))
    others = classes + (names - 1) * np.arange(classes)
    labels = np.repeat(np.arange(classes), pictures // classes)
    noise = rng.normal(size=(len(labels), width)) / np.sqrt(width)
    features = 100 * unit(0.06 * texts[labels] + 0.2 * texts[others[labels]] + noise)
    shown = EncodedPictures(features, labels, tuple(map(str, range(len(labels)))))
    own = [[label, *range(start, start + names - 1)] for label, start in enumerate(others.tolist())]
    started = time.process_time()
    found = naming.find_names(texts, own, shown)
    right = int((found.chosen == others).sum())
    spent = f"{time.process_time() - started:.1f} seconds of a processor"
    return f"{classes:,} classes, {names} names of each, {len(labels):,} pictures: {right:,} found in {spent}"


if __name__ == "__main__":
    main()
