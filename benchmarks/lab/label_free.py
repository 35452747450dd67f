"""The command `label-free`: compares measures that choose a template without labels with controls and with labels.

Templates compete on the search pictures, whose labels are hidden. The template that a measure chooses is tested on the
test pictures. A control withholds something from a measure, and so shows whether the measure uses it: with names of
other things, for instance, a measure can use only the pictures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from benchmarks.lab.bed import SHIFTED, expanded
from benchmarks.lab.cells import Cells, short
from benchmarks.lab.random_pairs import pairs_of
from benchmarks.lab.words import listed, read_known
from ipo_prompts.experiments.data import DataSet, load_data
from ipo_prompts.experiments.data.sources import own
from ipo_prompts.experiments.embedded import CLEAN_DOMAIN
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Doubles, Floats, spread
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, check_name, load_clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.nouns import common
from ipo_prompts.metrics.offsets import CentringOffsets
from ipo_prompts.metrics.reward import Judged, Score
from ipo_prompts.metrics.sampling import Numbers
from ipo_prompts.metrics.template import BASELINE, imagenet_templates, names_class
from ipo_prompts.metrics.text_tower import encode_ensemble, encode_templates
from ipo_prompts.programs.templates.phrases import Vocabulary, VocabularyName

KEYS = ("data", "clip", "vocabulary", "templates", "draws")
DATA = "embedded:claims-taught,embedded:claims-untaught"
LISTS = 3
"""The number of lists with names of other things; the result is the mean over these lists."""
SIZES = (400, 100, 50)
SEVERAL = (1, 2, 6)
"""The numbers of labels per class that the rows with labels have."""
LOPSIDED = (6, 6, 5, 4, 3, 2, 1, 1, 0)
"""Numbers of pictures per class in the lopsided condition; each number holds for a ninth of the classes."""
INITIAL, FIT, WRONG, THING = "the initial template", "fit", "fit, names of other things", 'fit, "thing" for every class'
CENTRING, FIT_OFF = "the initial template, centring", "fit, centring"
HITS_SAME = "by hits, the same pictures with labels"
OWN, HALF, OTHERS = (
    "half of the names",
    "half of the names, half of the pictures of others",
    "half of the names, others alone",
)
Right = Doubles
"""For each test picture, whether it is classified correctly, or the share of the draws in which it is: float64 (n,)."""
Found = dict[str, dict[str, Right]]
"""Condition of the search pictures → row → the share of draws in which each test picture is classified correctly."""


@dataclass(frozen=True)
class Asked:
    """The request of a user.

    Attributes:
        beds: name of a bed → the specs of its sets.
        clip: the name of the CLIP.
        vocabulary: the vocabulary whose phrases make the templates.
        templates: the number of templates that compete.
        draws: the number of times that search pictures are drawn.
    """

    beds: Mapping[str, Sequence[str]]
    clip: str = "embedded"
    vocabulary: VocabularyName = "shipped"
    templates: int = 300
    draws: int = 10


def read_asked(words: Sequence[str]) -> Asked:
    """Read `data=NAME,…`, `clip=NAME`, `vocabulary=shipped`, `templates=N` and `draws=N`; no picture is opened.

    Raises:
        InputError: a key or value is unknown, or a data set is not on this machine, has no labels, or is too small.
    """
    given = read_known(words, KEYS, "label-free")
    vocabulary, counts = (
        given.get("vocabulary", "shipped"),
        {key: given.get(key, getattr(Asked, key)) for key in KEYS[3:]},
    )
    if vocabulary not in ("shipped", "general"):
        raise InputError(
            f"vocabulary={vocabulary} has no phrases to choose from; write vocabulary=shipped or vocabulary=general."
        )
    wrong = next((key for key, count in counts.items() if type(count) is not int or count < 1), None)
    if wrong is not None:
        raise InputError(f"{wrong}={counts[wrong]} is no number of {wrong}; write {wrong}={getattr(Asked, wrong)}.")
    clip = str(given.get("clip", Asked.clip))
    check_name(clip)
    beds = {name: expanded(name) for name in listed(given.get("data", DATA), "label-free")}
    for spec in (one for specs in beds.values() for one in specs):
        own.allow(spec)
        data = load_data(spec, seed=SPLIT_SEED)
        if not data.labelled or not data.test or len(data.class_names) < 4:
            raise InputError(
                f"label-free hides labels and tests with them, which needs labelled pictures of four classes and some "
                f"to test on; {spec} has {len(data.class_names)} classes and {len(data.test)} pictures to test on."
            )
    return Asked(beds, clip, vocabulary, **counts)


def measure_all(asked: Asked, cells: Cells, progress: Callable[[str], None]) -> dict[str, dict[str, Found]]:
    """Measure each set of each bed that is not among the cells.

    Args:
        asked: the request.
        cells: a cell for each set, see `measure_set`.
        progress: called with the spec of each set that is measured.

    Returns:
        Name of a bed → spec of a set → the measurements of the set.

    Raises:
        InputError: the CLIP cannot be loaded, or a picture cannot be read.
    """
    clip = cache(lambda: load_clip(asked.clip))
    texts: dict[tuple[str, ...], Texts] = {}

    def one(spec: str) -> Found:
        def measure() -> dict[str, dict[str, list[str]]]:
            progress(spec)
            return measure_set(clip(), spec, asked, texts)

        found = cells.of((short(asked.clip), asked.vocabulary, asked.templates, asked.draws, spec), measure)
        return {
            condition: {row: np.mean([list(map(int, hits)) for hits in draws], axis=0) for row, draws in rows.items()}
            for condition, rows in found.items()
        }

    return {bed: {spec: one(spec) for spec in specs} for bed, specs in asked.beds.items()}


class _MeanLogit(Fit):
    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        return Judged(logits.mean(axis=1))


class _HighestCosine(Fit):
    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        return Judged(logits.max(axis=1) / self.clip.logit_scale)


def measure_set(
    clip: Clip, spec: str, asked: Asked, texts: dict[tuple[str, ...], Texts]
) -> dict[str, dict[str, list[str]]]:
    """Return condition → row → for each draw (and list of names) "1" for each test picture that is right, else "0".

    `texts` is a cache: list of classes → the encoded templates. A list that is missing is added.
    """
    data = load_data(spec, seed=SPLIT_SEED)
    names = tuple(data.class_names)
    if names not in texts:
        texts[names] = Texts.of(clip, names, asked)
    found: dict[str, dict[str, list[str]]] = {}
    for condition, row, right in SetOfPictures(clip, data, texts[names]).rows(asked.draws):
        found.setdefault(condition, {}).setdefault(row, []).append("".join("01"[int(hit)] for hit in right))
    return found


@dataclass(frozen=True)
class Texts:
    """The templates that compete, and their class embeddings.

    Attributes:
        templates: T templates: the initial template, then templates of one phrase, then random pairs of phrases.
        phrases: the number of templates of one phrase; they follow the initial template.
        right: the embeddings with the names of the classes, float32 (T, C, D).
        wrong: for each list of names of other things, the embeddings with these names, float32 (T, C, D).
        thing: the embeddings with the name "thing", float32 (T, 1, D).
        eighty: the class embeddings of the ensemble of CLIP's 80 templates, float32 (C, D).
    """

    templates: Sequence[str]
    phrases: int
    right: Floats
    wrong: Sequence[Floats]
    thing: Floats
    eighty: Floats

    @classmethod
    def of(cls, clip: Clip, names: tuple[str, ...], asked: Asked) -> Texts:
        """Encode the templates of `competing` with the class names and with the names of the controls."""
        templates, phrases = competing(clip, names, asked)

        def encoded(words: Sequence[str]) -> Floats:
            return encode_templates(clip.model, clip.tokenizer, templates, words)

        return cls(
            templates,
            phrases,
            encoded(names),
            [encoded(words) for words in others(names)],
            encoded(["thing"]),
            encode_ensemble(clip.model, clip.tokenizer, [(one, 1.0) for one in imagenet_templates()], names),
        )


def competing(clip: Clip, names: Sequence[str], asked: Asked) -> tuple[list[str], int]:
    """Return the templates that compete, and the number of templates of one phrase among them.

    The initial template comes first, then templates of one phrase, then random pairs of phrases. If the vocabulary has
    too many phrases, phrases at even distances are taken, because neighbours in the vocabulary have similar meanings.
    """
    phrases = Vocabulary.load(asked.vocabulary).usable(names, clip)
    singles = [phrase.template for phrase in phrases]
    if asked.templates <= len(singles):
        singles = [singles[i] for i in spread(len(singles), asked.templates - 1)]
    templates = list(dict.fromkeys([BASELINE, *singles, *pairs_of(phrases, 0)]))[: asked.templates]
    return templates, min(len(singles), len(templates) - 1)


def others(names: Sequence[str]) -> list[list[str]]:
    """Return `LISTS` lists of names of other things. Each has a name for each class; no name is in two lists."""
    nouns = [
        noun
        for noun in common(4 * LISTS * len(names) + 200)
        if not any(names_class(noun, name) or names_class(name, noun) for name in names)
    ]
    random.Random("names of other things").shuffle(nouns)
    return [nouns[i * len(names) : (i + 1) * len(names)] for i in range(LISTS)]


class SetOfPictures:
    """The encoded pictures of a set: a pool to search on (`pool`), and test pictures (`test`)."""

    def __init__(self, clip: Clip, data: DataSet, texts: Texts) -> None:
        self.clip, self.texts, self.names = clip, texts, tuple(data.class_names)
        self.reward = ClipReward(clip, self.names)
        self.pool, self.test = (
            self.reward.encode([one.picture for one in items], [one.label for one in items])
            for items in ([*data.train, *data.val], data.test)
        )
        self.before: Floats | None = None
        if data.name.startswith(("embedded", SHIFTED)):
            clean = load_data(f"embedded:{CLEAN_DOMAIN}", seed=SPLIT_SEED).train
            self.before = self.reward.store.encode([one.picture for one in clean])

    def rows(self, draws: int) -> Iterator[tuple[str, str, Right]]:
        """Yield for each draw the condition of the search pictures, the row, and the row's correct test pictures."""
        table = Scored(self, np.arange(len(self.names)))
        everything = np.arange(len(self.pool))
        for draw in range(draws):
            rng = np.random.default_rng(draw)
            for size in SIZES:
                some = np.sort(rng.permutation(everything)[:size])
                yield from ((f"{size} pictures", *one) for one in table.chosen(some))
            yield from (("lopsided", *one) for one in table.chosen(self._of_each(LOPSIDED, rng)))
            few = [(labels, self._of_each((labels,), rng)) for labels in SEVERAL]
            yield from ((f"{SIZES[0]} pictures", *table.by_labels(some, labels)) for labels, some in few)
            loss = table.by_labels(few[0][1], 1, "losses")
            yield (f"{SIZES[0]} pictures", *loss)
        yield from ((f"{SIZES[0]} pictures", *one) for one in table.others(everything))
        for draw in range(-(-draws // 5)):
            yield from self._other_classes(np.random.default_rng(100 + draw))

    def _of_each(self, counts: Sequence[int], rng: np.random.Generator) -> Numbers:
        """Return the places of pictures that are drawn without repeats.

        Each count is the number of pictures per class for an equal share of the classes. Which classes get which count
        is random.
        """
        places = rng.permutation(len(self.names)) * len(counts) // len(self.names)
        own = [np.flatnonzero(self.pool.labels == label) for label in range(len(self.names))]
        drawn = [rng.permutation(pictures)[: counts[place]] for pictures, place in zip(own, places, strict=True)]
        return np.sort(np.concatenate(drawn))

    def _other_classes(self, rng: np.random.Generator) -> Iterator[tuple[str, str, Right]]:
        """Let a random half of the classes compete, and yield rows for three conditions of the search pictures.

        The search pictures show the classes that compete, or half these and half the other classes, or only the others.
        """
        order = rng.permutation(len(self.names))
        known = np.sort(order[: len(order) // 2])
        table, inside = Scored(self, known), np.isin(self.pool.labels, known)
        own, strange = rng.permutation(np.flatnonzero(inside)), rng.permutation(np.flatnonzero(~inside))
        count = min(len(own), len(strange))
        mixed = np.concatenate([own[: count // 2], strange[: count // 2]])
        for name, some in ((OWN, own[:count]), (HALF, mixed), (OTHERS, strange[:count])):
            yield from ((name, *one) for one in table.chosen(np.sort(some)))


class Scored:
    """The scores of all templates on all pictures of a set, where only some classes compete: arrays (T, n)."""

    def __init__(self, seen: SetOfPictures, classes: Numbers) -> None:
        self.seen, self.classes = seen, classes
        self.names = [seen.names[i] for i in classes]
        self.known = np.flatnonzero(np.isin(seen.pool.labels, classes))
        self.test = seen.test.part(np.flatnonzero(np.isin(seen.test.labels, classes)).tolist(), classes.tolist())
        self.right = seen.texts.right[:, classes]
        self.hits = self._of(ClipReward, self.right, self.test)
        labelled = seen.pool.part(self.known.tolist(), classes.tolist())
        scores = self._scores(ClipReward, self.right, labelled)
        self.worth = [np.stack([one.hits for one in scores]), np.stack([one.losses for one in scores])]
        self.fit = self._of(Fit, self.right, seen.pool)
        self.wrong = [self._of(Fit, names[:, : len(classes)], seen.pool) for names in seen.texts.wrong]
        self.thing = self._of(Fit, seen.texts.thing, seen.pool)

    def _scores(self, kind: type[ClipReward], classes: Floats, units: EncodedPictures) -> list[Score]:
        reward = kind(self.seen.clip, self.names, self.seen.reward.store)
        return reward.score_embeddings(self.seen.texts.templates, list(classes), units)

    def _of(self, kind: type[ClipReward], classes: Floats, units: EncodedPictures) -> Doubles:
        return np.stack([score.hits for score in self._scores(kind, classes, units)]).astype(np.float64)

    def chosen(self, some: Numbers) -> Iterator[tuple[str, Right]]:
        """Yield each row with its correct test pictures. Its measure chooses on the pictures `some` of the pool."""
        best = _best(self.fit[:, some])
        mean = CentringOffsets.from_pictures(self.seen.pool.features[some])
        yield INITIAL, self.hits[0]
        yield FIT, self.hits[best]
        yield from ((WRONG, self.hits[_best(fit[:, some])]) for fit in self.wrong)
        yield THING, self.hits[_best(self.thing[:, some])]
        yield CENTRING, self._named(self.right[0], mean)
        yield FIT_OFF, self._named(self.right[best], mean)
        if np.isin(self.known, some).any():
            yield HITS_SAME, self.hits[self._by("hits", some)]

    def others(self, some: Numbers) -> Iterator[tuple[str, Right]]:
        """Yield the other rows without labels, which are measured in one condition only."""
        texts, pool = self.seen.texts, self.seen.pool.part(some.tolist())
        yield "mean logit", self.hits[_best(self._of(_MeanLogit, self.right, pool))]
        yield "mean highest cosine", self.hits[_best(self._of(_HighestCosine, self.right, pool))]
        vocabulary = self.right[1 : 1 + texts.phrases]
        yield "mean of the vocabulary", self._named(_unit(vocabulary.sum(axis=0)))
        yield "mean of CLIP's 80", self._named(texts.eighty[self.classes])
        yield (
            "mean of the vocabulary by ZPE's weights",
            self._named(_unit(np.einsum("t,tcd->cd", self._zpe(vocabulary, pool), vocabulary))),
        )

    def by_labels(self, some: Numbers, labels: int, what: str = "hits") -> tuple[str, Right]:
        """Return the row of the template that labelled pictures choose, with its correct test pictures."""
        row = f"by {what if what == 'hits' else 'loss'}, {labels} label{'s' if labels > 1 else ''} a class"
        return row, self.hits[self._by(what, some)]

    def _by(self, what: str, some: Numbers) -> int:
        """Return the place of the template with the most hits (then the lowest loss), or with the lowest loss.

        Pictures of classes that do not compete are left out.
        """
        places = np.flatnonzero(np.isin(self.known, some))
        hits, losses = (table[:, places].mean(axis=1) for table in self.worth)
        return int(np.lexsort((losses, -hits if what == "hits" else losses))[0])

    def _named(self, classes: Floats, offsets: CentringOffsets | None = None) -> Right:
        reward = ClipReward(self.seen.clip, self.names, self.seen.reward.store)
        score = reward.score_embeddings([""], [classes], replace(self.test, offsets=offsets))[0]
        return score.hits.astype(np.float64)

    def _zpe(self, vocabulary: Floats, pool: EncodedPictures) -> Doubles:
        """Return the weight of each template, as in Allingham et al. 2023 (ZPE): float64 (T,).

        A weight is the softmax of the mean highest logit, after the mean logit of each class is subtracted. This mean
        logit is the average of two means: over the pictures of `pool`, and over clean pictures, which stand for the
        pictures that a CLIP was trained on. If there are no clean pictures, it is the mean over `pool` alone.
        """
        scores = []
        for classes in vocabulary:
            logits = self.seen.clip.logit_scale * (pool.features @ classes.T)
            usual = logits.mean(axis=0)
            if self.seen.before is not None:
                usual = (usual + self.seen.clip.logit_scale * (self.seen.before @ classes.T).mean(axis=0)) / 2
            scores.append((logits - usual).max(axis=1).mean())
        weights = np.exp(np.array(scores, dtype=np.float64) - max(scores))
        normed: Doubles = weights / weights.sum()
        return normed


def _best(values: Doubles) -> int:
    return int(values.mean(axis=1).argmax())


def _unit(rows: Floats) -> Floats:
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
