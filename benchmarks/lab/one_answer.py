"""One run as `ipo optimize --lm none` does it, in this process: names by rule, template, other names, pictures.

A run takes the product's functions in the product's order. Only the search is shorter, unless a bed asks for all steps:
one step of the default strategy scores the vocabulary and a hundred compositions around the best, and proposes as many
templates as all steps would, the best ones. Texts with the vocabulary's templates are encoded once for all runs.

Labelled pictures are parted as the folder of twice as many pictures is: k labels a class are k pictures for search and
selection together, and the rest of a class's drawings is the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from benchmarks.lab.bad_names import called
from benchmarks.lab.bed import CLEAN, HELD_BACK, SHIFTED
from benchmarks.lab.cells import string_of
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.draw import cut
from ipo_prompts.experiments.data.names import read_names
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.sampling import Numbers
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.naming import search_names
from ipo_prompts.programs.phrases import Vocabulary, Wording
from ipo_prompts.programs.running import blend_in, calibrate_words
from ipo_prompts.programs.search import search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.selection import Choice
from ipo_prompts.programs.strategies.compose import Compose

DRAWINGS = 10
"""The drawings of a class in each set of base pictures."""
MOST_LABELS = 16
LOPSIDED, FORTY_THREE = "1 to 16", "43 in all"
"""Numbers of labels that differ from class to class."""
SURE = 0.98
FIELDS = ("rule", "template", "names", "pictures")
"""The steps of a run behind the first row, in the order in which they are taken."""


@dataclass(frozen=True)
class Asked:
    """What a run is of.

    Attributes:
        data: the name of the set, see `bed.set_of`.
        twenty: whether the set's held-back drawings are added: thirty classes with twenty drawings each.
        classes: the number of classes that are drawn.
        kind: the kind of names, see `bad_names.called`.
        labels: the labelled pictures a class, a number, `LOPSIDED` or `FORTY_THREE`.
        draw: the seed of classes and pictures.
        shuffled: whether the labels are shuffled.
        all_steps: whether the search takes all its steps.
    """

    data: str
    twenty: bool
    classes: int
    kind: str
    labels: str
    draw: int
    shuffled: bool = False
    all_steps: bool = False


class Bench:
    """A CLIP with the pictures and texts that it has encoded."""

    def __init__(self, clip: str) -> None:
        self.clip: Clip = load_clip(clip)
        self.texts = Texts(self.clip)
        self._store = FeatureStore(self.clip)
        self.pictures = lru_cache(maxsize=4)(self._pictures)
        self._searched = lru_cache(maxsize=64)(self._search)

    def run(self, asked: Asked) -> dict[str, Any]:
        """Return the cell of one run.

        Its hits are strings, see `cells.string_of`: those of the first row, and for each step what it gained and lost
        against the step before; `alone`, the pictures without words, against the first row. `drawings` has the numbers
        of the test pictures: the class times 20, and its drawing.
        """
        drawn = self.drawn(asked)
        typed = called(asked.kind, drawn.names)
        read = tuple(read_names(typed)[0])
        choice, before = self._searched(replace(asked, kind=""), read)
        parts = [part for part in (drawn.search, drawn.selection) if part is not None]
        reward = self._reward(read)
        named = search_names(reward, choice.template, parts, typed=dict(enumerate(typed)))
        words = TemplateClassifier(self.clip, named.class_names, choice.template)
        calibrate_words(words, before, choice.gain, named, parts)
        both = words.words_alone()
        known = self.pictures(asked.data, asked.twenty).pictures
        shown = [known[int(number)] for part in parts for number in part.groups or ()]
        found_in = blend_in(both, parts, partial(self._store.views, shown), gate=True)
        steps = [
            TemplateClassifier(self.clip, typed),
            before,
            TemplateClassifier(self.clip, read, choice.template),
            words,
            both,
        ]
        hits = [self._hits(one, drawn.test) for one in steps]
        found: dict[str, Any] = {"drawings": drawn.numbers, "first": string_of(hits[0])}
        found |= {field: string_of(hits[i], hits[i - 1]) for i, field in enumerate(FIELDS, 1)}
        alone = found_in.alone.logits(drawn.test.features).argmax(axis=1) == drawn.test.labels
        return found | {
            "alone": string_of(alone, hits[0]),
            "renamed": [[read[label], named.class_names[label]] for label in named.renamed],
            "chosen": choice.template,
            "took": both.pictures is not None,
            "sure": [_sure(one, drawn.test) for one in (words, both)],
        }

    def drawn(self, asked: Asked) -> Drawn:
        """Draw the classes and the pictures of a run."""
        known = self.pictures(asked.data, asked.twenty)
        rng = np.random.default_rng([asked.draw, asked.classes, *map(ord, asked.labels + asked.data)])
        own = np.sort(rng.permutation(np.unique(known.labels))[: asked.classes])
        most = max(map(int, counts := labels_of(asked.labels, len(own), rng)))
        searched, selected, tested = list[int](), list[int](), list[int]()
        for label, many in zip(own.tolist(), counts, strict=True):
            places = rng.permutation(np.flatnonzero(known.labels == label)).tolist()
            held = held_back(many)
            searched += places[: many - held]
            selected += places[many - held : many]
            tested += places[most if asked.labels == LOPSIDED else many :]
        place = {label: i for i, label in enumerate(own.tolist())}

        def part(numbers: list[int]) -> EncodedPictures:
            labels = np.array([place[int(known.labels[i])] for i in numbers], dtype=np.int64)
            return EncodedPictures(known.features[numbers], labels, tuple(str(i) for i in numbers))

        learnt = part([*searched, *selected])
        if asked.shuffled:
            learnt = replace(learnt, labels=rng.permutation(learnt.labels))
        first, rest = np.arange(len(searched)), np.arange(len(searched), len(learnt))
        tested.sort(key=lambda i: known.numbers[i])  # sorted numbers make a small file
        names = tuple(known.names[label] for label in own.tolist())
        numbers = [int(known.numbers[i]) for i in tested]
        return Drawn(names, learnt.part(first), learnt.part(rest) if len(rest) else None, part(tested), numbers)

    def _search(self, asked: Asked, names: tuple[str, ...]) -> tuple[Choice, TemplateClassifier]:
        """Search for a template under names; return the choice, and the program with the initial template."""
        drawn = self.drawn(asked)
        usual = SearchSettings()
        once = SearchSettings(steps=1, candidates_per_step=usual.steps * usual.candidates_per_step)
        found = search(
            usual if asked.all_steps else once, self._reward(names), Compose(), drawn.search, drawn.selection
        )
        return found.choice, TemplateClassifier(self.clip, names)

    def _reward(self, names: tuple[str, ...]) -> Reward:
        return Reward(self.clip, names, self._store, self.texts)

    def _hits(self, program: TemplateClassifier, pictures: EncodedPictures) -> Any:
        return program.logits(pictures.features).argmax(axis=1) == pictures.labels

    def _pictures(self, data: str, twenty: bool) -> Known:
        """Encode the pictures of a set, or of a set and of the same set of held-back base pictures."""
        sets = [load_data(f"{SHIFTED}{base}{data}", seed=0) for base in (("", f"{HELD_BACK}/") if twenty else ("",))]
        names = sorted(map(str, load_data(f"{SHIFTED}{CLEAN}", seed=0).class_names))
        shared = set.intersection(*({*map(str, one.class_names)} for one in sets))
        pictures, labels, numbers = list[Any](), list[int](), list[int]()
        for place, one in enumerate(sets):
            first = DRAWINGS * (place or data.startswith(HELD_BACK))
            items = [(str(one.class_names[item.label]), item) for _, item in one.items()]
            drawings: dict[str, list[str]] = {}
            for name, group in sorted({(name, item.group) for name, item in items}):
                drawings.setdefault(name, []).append(group)
            for name, item in items:
                if name in shared:
                    pictures.append(item.picture)
                    labels.append(names.index(name))
                    numbers.append(2 * DRAWINGS * labels[-1] + first + drawings[name].index(item.group))
        return Known(pictures, self._store.encode(pictures), np.array(labels), numbers, names)


@dataclass(frozen=True)
class Known:
    """The pictures of a set, with features, float32 (n, D), labels, (n,), and numbers, (n,); the names of labels."""

    pictures: list[Any]
    features: Floats
    labels: Numbers
    numbers: list[int]
    names: list[str]


@dataclass(frozen=True)
class Drawn:
    """The right names and the pictures of one run; `numbers` are those of the test pictures, see `Bench.run`."""

    names: tuple[str, ...]
    search: EncodedPictures
    selection: EncodedPictures | None
    test: EncodedPictures
    numbers: list[int]


def labels_of(asked: str, classes: int, rng: np.random.Generator) -> list[int]:
    """Return the number of labelled pictures of each class."""
    if asked == LOPSIDED:
        return [int(one) for one in rng.permutation(np.geomspace(1, MOST_LABELS, classes).round())]
    if asked == FORTY_THREE:
        return [int(one) for one in rng.permutation(43 // classes + (np.arange(classes) < 43 % classes))]
    return [int(asked)] * classes


@cache
def held_back(labels: int) -> int:
    """Return how many labelled pictures of a class select: as many as in a folder with an equal number to test on."""
    parts = cut({0: {f"{i:02}" for i in range(2 * labels)}}, 0, test=True)
    return sum(part == "val" for part in parts.values())


def _sure(program: TemplateClassifier, pictures: EncodedPictures) -> list[float]:
    """Return the mean confidence, how many pictures are above `SURE`, and how many of these are named rightly."""
    probabilities = program.head().probabilities(pictures.features)
    highest = probabilities.max(axis=1)
    above = highest > SURE
    right = probabilities.argmax(axis=1) == pictures.labels
    return [round(float(highest.mean()), 6), int(above.sum()), int((above & right).sum())]


class Reward(ClipReward):
    """The reward of a search whose texts are kept in memory."""

    def __init__(self, clip: Clip, names: Sequence[str], store: FeatureStore, texts: Texts) -> None:
        super().__init__(clip, names, store)
        self.texts: Any = texts

    def encode_batch(
        self, templates: Sequence[str], units: Any, names: Sequence[str] | None = None
    ) -> Iterator[tuple[Sequence[str], Floats]]:
        """See `EmbeddingReward`."""
        yield templates, np.stack(self.texts.encode(templates, self.names_in(units) if names is None else names))


class Texts:
    """The class embeddings of one CLIP. Those of the vocabulary's templates are made once for each name."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        start = Wording.of(BASELINE)
        assert start is not None
        wordings = [Wording.of(phrase.template) for phrase in Vocabulary.load().phrases]
        vocabulary = [str(start.plus(part)) for wording in wordings if wording for part in wording.parts]
        self._templates = list(dict.fromkeys([BASELINE, *vocabulary]))
        self._place = {template: i for i, template in enumerate(self._templates)}
        self._of: dict[str, Doubles | Floats] = {}

    def encode(self, templates: Sequence[str], names: Sequence[str]) -> list[Floats]:
        """Return the class embeddings of each template: float32 (C, D), unit rows."""
        if new := [name for name in dict.fromkeys(names) if name not in self._of]:
            rows = self._encoded(self._templates, new)
            self._of |= {name: rows[:, i].copy() for i, name in enumerate(new)}
        others = [template for template in dict.fromkeys(templates) if template not in self._place]
        made = dict(zip(others, self._encoded(others, names), strict=True)) if others else {}
        return [
            made[one] if one in made else np.stack([self._of[name][self._place[one]] for name in names])
            for one in templates
        ]

    def _encoded(self, templates: Sequence[str], names: Sequence[str]) -> Floats:
        return encode_templates(self._clip.model, self._clip.tokenizer, templates, names)
