"""Other names of classes: how much of the cost of bad names comes back, and controls.

The 68 classes are called rightly (the names that the demo CLIP was taught) or renamed by rule: a synonym of WordNet's,
the plural, a word for a kind of the thing. For each set and draw six of ten pictures a class learn (or two of these
six), four test. The template is the best of the baseline template and the vocabulary by hits, then loss, on all that
learn, under the names as given; then names are searched as `names=search` does it. Rows, in points over the names as
given:

- names: as in a run.
- right names: a template found under the right names; this is the most that there is to gain.
- permuted: each class chooses among the candidates of another class, with the gate. shuffled: labels say nothing.

Intervals are the wider of two: clustered by drawing, since all sets and draws show variants of the drawings, and over
sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, hits_of, short, show, string_of
from benchmarks.lab.kinds import narrower
from benchmarks.lab.names_table import ROWS, WAYS, Cell, controls, gains
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.nouns import synsets
from ipo_prompts.metrics.template import BASELINE, too_long
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs import naming
from ipo_prompts.programs.candidates import candidates_of
from ipo_prompts.programs.templates.phrases import Vocabulary

SETS = "upside-down+hue,sideways+noise,zoom+edge,small+bright,sideways+dark,upside-down+faded"
"""Sets that nobody examined while the rule, or its place in a search, was designed."""
LEARN = 6
CLASSES, SHOTS, DRAWS = (68, 10), (6, 2), 3
KINDS = {"gains": gains, "controls": controls}
"""The kinds of tables."""


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
    with Cells(options.cells) as cells:
        for clip in options.clips.split(","):
            named = Named(cells, clip, sets, draws, small=small)
            for kind in KINDS:
                show(named.lines(kind))


def tables(cells: Cells, clip: str, only: str) -> Iterator[str]:
    """Yield the lines of the tables of one of `KINDS`."""
    return Named(cells, clip, SETS.split(","), DRAWS).lines(only)


class Named:
    """The cells of one CLIP, which is loaded when the first cell is measured."""

    def __init__(self, cells: Cells, clip: str, sets: Sequence[str], draws: int, *, small: bool = False) -> None:
        self._cells, self._clip, self._sets, self._draws = cells, short(clip), sets, draws
        self._bed = cache(lambda: bed_of(load_clip(clip), 8 if small else None))
        self._seen = cache(lambda name: encoded(self._bed(), name))

    def lines(self, kind: str) -> Iterator[str]:
        """Yield the lines of the tables of one of `KINDS`."""
        for classes, shots in product(CLASSES, SHOTS):
            own = self.drawn(classes, shots)
            many = len(own["right"])
            yield from ("", f"{self._clip}, {classes} classes, {shots} pictures of each, {many} cells a row.", "")
            yield from KINDS[kind](own)

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


def cell_of(place: str, labels: Sequence[int], drawings: Sequence[str], kept: dict[str, Any]) -> Cell:
    """Return one draw under names of one kind, from what `measured` kept of it."""
    before = hits_of(kept["given"])
    over = {row: 100 * (hits_of(kept["given"], kept[row]) - before) for row in ROWS}
    return Cell(place, tuple(labels), tuple(drawings), over, 100 * float(before.mean()), kept["opened"])


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
    learn, test = (pictures.part(dealt[:, of].ravel(), own) for of in (slice(shots), slice(LEARN, None)))
    mixed = rng.permutation(learn.labels)
    best = bed.called["right"].texts[chosen(bed, "right", own, learn)][own]
    of_ways = {way: measured(bed, way, own, learn, test, mixed, best) for way in WAYS}
    drawings = [items[i].group for i in dealt[:, LEARN:].ravel()]
    return {"labels": own[test.labels].tolist(), "drawings": drawings, **of_ways}


def measured(
    bed: Bed, way: str, own: Any, learn: EncodedPictures, test: EncodedPictures, mixed: Any, right: Floats
) -> Any:
    """Return what a cell holds of classes that are called in one way.

    `given` has the hits under the names as given, each row the hits gained and lost, and `opened` says which gates
    opened: with the class's candidates, others', and shuffled labels.

    Args:
        bed: the CLIP, templates and classes.
        way: a kind of names, see `WAYS`.
        own: the labels of the classes.
        learn: the pictures that learn.
        test: the test pictures.
        mixed: the labels of the pictures that learn, shuffled.
        right: the template found under the right names, float32 (C, D).
    """
    texts, candidates = texts_of(bed, way, own, chosen(bed, way, own, learn))
    given, swapped = texts[: len(own)], naming.exchanged(candidates)
    every = np.arange(len(learn))
    scaled = np.float32(bed.clip.logit_scale) * learn.features
    labelled = EncodedPictures(scaled, learn.labels, tuple(map(str, every)))
    before = hits(bed, given, test)
    found = naming.find_names(texts, candidates, labelled)
    others = naming.choose_names(texts, swapped, labelled, 0)[0] if found.permuted.opens else every[: len(own)]
    rows = {
        "names": hits(bed, texts[found.chosen], test),
        "right names": hits(bed, right, test),
        "permuted": hits(bed, texts[others], test),
    }
    none = replace(labelled, labels=mixed)
    shuffled = naming.held_back_gain(texts, candidates, none, every % 2, 0)
    changes = {row: string_of(after, before) for row, after in rows.items()}
    gates = found.held.opens, found.permuted.opens, shuffled.opens
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


def hits(bed: Bed, classes: Floats, pictures: EncodedPictures) -> Doubles:
    """Return the hits of pictures, (n,)."""
    logits = bed.clip.logit_scale * (pictures.features @ classes.T)
    right: Doubles = (logits.argmax(axis=1) == pictures.labels).astype(np.float64)
    return right


if __name__ == "__main__":
    main()
