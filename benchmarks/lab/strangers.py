"""Pictures of no class: sets, and what the scores and the lines of a program do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import betabinom

from benchmarks.lab.kinds import narrower
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.wordnet import STRANGERS, own_words
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.head import highest
from ipo_prompts.metrics.nouns import common
from ipo_prompts.metrics.rejection import auroc, calibrated, line_through, share_below, strangers_found, threshold
from ipo_prompts.metrics.template import BASELINE, as_read
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.running import Job, run
from ipo_prompts.programs.strategies.compose import Compose
from ipo_prompts.programs.templates.phrases import Vocabulary
from ipo_prompts.programs.templates.settings import SearchSettings

SHARE = 0.05
SEARCHED = 6
"""Pictures of a known class that choose the template."""
SHOTS, CHOOSE = 4, 2
"""Pictures of a class with which a run searches, and chooses."""
SCORES = {
    "prob": "max probability",
    "cosine": "max cosine",
    "margin": "margin",
    "in": "hypernyms in",
    "out": "no word of any class",
    "told": "strangers told in `none:`",
    "random": "random vectors",
    "rotated": "rotated words",
}


@dataclass(frozen=True)
class Bed:
    """A set: pictures of all classes with their features, and all templates encoded with the names of the classes."""

    name: str
    clip: Clip
    names: tuple[str, ...]
    units: EncodedPictures
    templates: Sequence[str]
    texts: Floats
    nouns: dict[str, Floats]
    """Template → the common nouns in it; kept for all sets."""
    margins: dict[tuple[str, tuple[str, ...]], Doubles]
    """Template and names → the margins of all pictures where all classes are known; those of this set."""
    worth: list[Any]
    """Hits and losses of each template on each picture, two (T, n), where all classes are known; made when asked."""

    def best_of_all(self, pictures: Any) -> int:
        """Return what `best` returns where all classes are known; fast enough for many calls."""
        if not self.worth:
            scores = ClipReward(self.clip, self.names).score_embeddings(self.templates, list(self.texts), self.units)
            self.worth.extend(
                [np.stack([score.hits for score in scores]), np.stack([score.losses for score in scores])]
            )
        hits, losses = (table[:, pictures].mean(axis=1) for table in self.worth)
        return int(np.lexsort((losses, -hits))[0])

    def best(self, pictures: Any, classes: Any) -> int:
        """Return the number of the template with the most hits, then the lowest loss, among the classes."""
        part = self.units.part(pictures, classes)
        reward = ClipReward(self.clip, self.names)
        scores = reward.score_embeddings(self.templates, list(self.texts[:, classes]), part)
        return max(range(len(scores)), key=lambda i: scores[i].rank)

    def words(self, template: str) -> Floats:
        """Return the common nouns in a template: float32 (STRANGERS, D)."""
        if template not in self.nouns:
            self.nouns[template] = encode(self.clip, template, common(STRANGERS))
        return self.nouns[template]


class Beds:
    """The sets of one CLIP, which is loaded when the first set is asked for.

    Args:
        clip: as in `ipo optimize`.
        most: how many templates there are at most; None for the whole vocabulary.
    """

    def __init__(self, clip: str, most: int | None) -> None:
        self._name, self._most = clip, most
        self.of, self.third, self.narrow = cache(self._of), cache(self._third), cache(self._narrow)

    @cached_property
    def _shared(self) -> tuple[Clip, Sequence[str], Floats, dict[str, Floats]]:
        """The CLIP, the templates, these with the names of all classes, and their common nouns."""
        clip = load_clip(self._name)
        templates = [BASELINE, *(phrase.template for phrase in Vocabulary.load().usable(class_names(), clip))]
        templates = templates[: self._most]
        return clip, templates, encode_templates(clip.model, clip.tokenizer, templates, class_names()), {}

    def _of(self, name: str) -> Bed:
        """Return a set, its pictures encoded."""
        clip, templates, texts, nouns = self._shared
        items = [item for _, item in load_data(f"embedded:{name}", seed=0).items()]
        units = ClipReward(clip, class_names()).encode([item.picture for item in items], [item.label for item in items])
        return Bed(name, clip, class_names(), units, templates, texts, nouns, {}, [])

    def _third(self, name: str) -> Bed:
        """Return a set with every third class alone."""
        bed = self.of(name)
        known = np.arange(0, len(bed.names), 3)
        own = np.flatnonzero(np.isin(np.asarray(bed.units.labels), known))
        names = tuple(bed.names[i] for i in known)
        units = replace(bed.units.part(own, known), classes=None)  # a set of its own
        return replace(bed, names=names, units=units, texts=bed.texts[:, known], margins={}, worth=[])

    @cached_property
    def _narrow_texts(self) -> Floats:
        clip, templates, _, _ = self._shared
        return encode_templates(clip.model, clip.tokenizer, templates, narrower(class_names()))

    def _narrow(self, name: str) -> Bed:
        """Return a set whose classes are called by a kind of them."""
        names = narrower(class_names())
        return replace(self.of(name), names=names, texts=self._narrow_texts, margins={}, worth=[])


@cache
def class_names() -> tuple[str, ...]:
    """Return the names of all classes."""
    return tuple(load_data("embedded", seed=0).class_names)


def encode(clip: Clip, template: str, words: Sequence[str]) -> Floats:
    """Return texts of one template: float32 (n, D)."""
    rows: Floats = encode_templates(clip.model, clip.tokenizer, [template], words)[0]
    return rows


def one_split(bed: Bed, split: int) -> list[float]:
    """Return the accuracy among known classes, the AUROC of each score, and the strangers that pass of three."""
    known, searched, tested, strange = parted(bed, split)
    best = bed.best(searched, known)
    found = scored(bed, split, known, best)
    labels = np.asarray(bed.units.labels)
    logits = bed.units.features[tested] @ bed.texts[best][known].T
    accuracy = float((known[logits.argmax(axis=1)] == labels[tested]).mean())
    areas = [auroc(found[name][tested], found[name][strange]) for name in SCORES]
    passing = [
        1 - float(share_below(found[name][strange], np.quantile(found[name][tested], [SHARE]))[0])
        for name in list(SCORES)[:3]
    ]
    return [round(float(value), 6) for value in (accuracy, *areas, *passing)]


def parted(bed: Bed, split: int) -> tuple[Any, Any, Any, Any]:
    """Halve the classes: known classes, pictures of them that search, their others, pictures of the strangers."""
    rng, labels = np.random.default_rng(split), np.asarray(bed.units.labels)
    known = np.sort(rng.permutation(len(bed.names))[: len(bed.names) // 2])
    searched = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:SEARCHED] for label in known])
    own = np.flatnonzero(np.isin(labels, known))
    return known, searched, np.setdiff1d(own, searched), np.setdiff1d(np.arange(len(labels)), own)


def scored(bed: Bed, split: int, known: Any, best: int) -> Mapping[str, Floats]:
    """Return each score of all pictures, (n,)."""
    rng, template, features = np.random.default_rng(1000 + split), bed.templates[best], bed.units.features
    classes, nouns = bed.texts[best][known], bed.words(template)
    names = [bed.names[i] for i in known]
    others = [name for i, name in enumerate(bed.names) if i not in set(known.tolist())]
    cosine = highest(features, classes)
    width = nouns.shape[1]
    noise = rng.standard_normal((STRANGERS, width)).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    shipped = nouns[kept(own_words(names))]
    rows = {
        "margin": shipped,
        "in": nouns[kept(own_words(names, hypernyms=False))],
        "out": nouns[kept(own_words(bed.names))],
        "told": np.concatenate([shipped, encode(bed.clip, template, others)]),
        "random": noise / np.linalg.norm(noise, axis=1, keepdims=True),
        "rotated": shipped @ rotation,
    }
    probable = softmax(np.float32(bed.clip.logit_scale) * (features @ classes.T)).max(axis=1)
    return {"prob": probable, "cosine": cosine} | {
        name: cosine - highest(features, words) for name, words in rows.items()
    }


def kept(own: set[str]) -> Any:
    """Return which of the common nouns are not among these: bool (STRANGERS,)."""
    return np.array([as_read(word) not in own for word in common(STRANGERS)])


def one_estimate(bed: Bed, split: int) -> tuple[float, float]:
    """Return the share of strangers that is estimated, and the one that is found."""
    known, searched, _, strange = parted(bed, split)
    best = bed.best(searched, known)
    features, classes = bed.units.features, bed.texts[best][known]
    others = bed.words(bed.templates[best])[kept(own_words([bed.names[i] for i in known]))]
    labels = np.searchsorted(known, np.asarray(bed.units.labels)[searched])
    told = calibrated("", (), features[searched], labels, None, classes, others)
    margins = highest(features[strange], classes) - highest(features[strange], others)
    return strangers_found(told, SHARE) or 0.0, float((margins < threshold(told, SHARE).margin).mean())


class Outcome(NamedTuple):
    """The result of a line: the number of pictures it is drawn through, the promise, the share of the others that it
    rejects, whether the share is above the bound, and the chance of that.
    """

    pictures: int
    promised: float
    rejected: float
    above: int
    chance: float


def one_line(bed: Bed, a_class: int, how: str, draw: int) -> Outcome:
    """Draw pictures of each class, choose a template, and see what the line does to the others."""
    rng, labels = np.random.default_rng([draw, a_class]), np.asarray(bed.units.labels)
    everything = np.arange(len(bed.names))
    drawn = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:a_class] for label in everything])
    best = 0 if how == "initial" else bed.best_of_all(drawn)
    margins = margins_of(bed, bed.templates[best], bed.texts[best], bed.names)
    return outcome_of(margins, drawn, np.setdiff1d(np.arange(len(labels)), drawn))


def outcome_of(margins: Doubles, drawn: Any, tested: Any) -> Outcome:
    """Draw a line through some pictures' margins, and see what it does to others."""
    rule = line_through(np.sort(margins[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
    rejected, m = float((margins[tested] < rule.margin).mean()), len(tested)
    chance = float(betabinom.sf(np.floor(rule.bound * m), m, rule.k, rule.n + 1 - rule.k))
    return Outcome(len(drawn), round(rule.promise, 6), round(rejected, 6), int(rejected > rule.bound), round(chance, 6))


def margins_of(bed: Bed, template: str, classes: Floats, names: Sequence[str]) -> Doubles:
    """Return the margins of all pictures as they ship, (n,)."""
    key = template, tuple(map(str, names))
    if key not in bed.margins:
        others = bed.words(template)[kept(own_words(names))]
        margins = highest(bed.units.features, classes) - highest(bed.units.features, others)
        bed.margins[key] = margins.astype(np.float64)
    return bed.margins[key]


def one_of_classes(bed: Bed, draw: int) -> list[list[int]]:
    """Return what a line of the initial template does to single classes: three numbers of pictures of each class.

    These are the tested, the rejected, and the rejected if all classes were alike: with those of the tested shuffled.
    """
    margins, labels = margins_of(bed, bed.templates[0], bed.texts[0], bed.names), np.asarray(bed.units.labels)
    rng = np.random.default_rng([draw, CHOOSE])
    order = rng.permutation(len(labels))
    drawn = np.concatenate([order[labels[order] == label][:CHOOSE] for label in range(len(bed.names))])
    tested = np.setdiff1d(order, drawn)
    line = line_through(np.sort(margins[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
    below, of = margins[tested] < line.margin, labels[tested]
    return [
        [int(count) for count in np.bincount(labels, minlength=len(bed.names))]
        for labels in (of, of[below], rng.permutation(of)[below])
    ]


def one_search(bed: Bed, draw: int, steps: int) -> list[tuple[Any, ...]]:
    """Search as a run does, and return what the lines do: each with its template and what it is drawn through."""
    rng, labels = np.random.default_rng([draw, SHOTS + CHOOSE]), np.asarray(bed.units.labels)
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(bed.names))]
    searched, chose = (
        np.concatenate([order[part] for order in orders]) for part in (slice(SHOTS), slice(SHOTS, SHOTS + CHOOSE))
    )
    reward = ClipReward(bed.clip, bed.names)
    job = Job(
        SearchSettings(steps=steps, seed=draw),
        reward,
        bed.units.part(searched),
        bed.units.part(chose),
        lambda lm: Compose(),
    )
    templates = {"initial": BASELINE, "compose": run(job).result.choice.template}
    shown = np.concatenate([searched, chose])
    tested = np.setdiff1d(np.arange(len(labels)), shown)
    found: list[tuple[Any, ...]] = []
    for how, template in templates.items():
        margins = margins_of(bed, template, encode(bed.clip, template, bed.names), bed.names)
        for through, drawn in (("all", shown), ("those that chose", chose)):
            found.append((how, through, *outcome_of(margins, drawn, tested)))
    return found


def moved_to(bed: Bed, other: Bed) -> list[float]:
    """Return the shares of another set's pictures that a line of this set rejects, by margin and by cosine."""
    rng, labels = np.random.default_rng(0), np.asarray(bed.units.labels)
    everything = np.arange(len(bed.names))
    drawn = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:2] for label in everything])
    tested = np.setdiff1d(np.arange(len(labels)), drawn)
    best = bed.best_of_all(drawn)
    found = []
    for cosine in (False, True):
        own, theirs = (
            highest(one.units.features, bed.texts[best]).astype(np.float64)
            if cosine
            else margins_of(one, bed.templates[best], bed.texts[best], bed.names)
            for one in (bed, other)
        )
        rule = line_through(np.sort(own[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
        found.append(float((theirs[tested] < rule.margin).mean()))
    return found
