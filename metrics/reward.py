"""Rewards score templates on pictures. Here: what every reward is, and the reward for classification.

A reward that compares pictures with class embeddings has one hook, `judge_embeddings`: class embeddings in, what each
unit contributes out. All that is scored goes through it: what a search looks at, what it proposes, ensembles, baselines
and headroom. Each other kind of task has its own: see `retrieval.py`, `segmentation.py` and `docs/your-own-reward.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.offsets import Offsets
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import problem, too_long
from ipo_prompts.metrics.text_store import TextStore
from ipo_prompts.metrics.text_tower import encode_ensemble, encode_templates, parts

BLOCK = 1024
"""Pictures per matrix product: few enough that the logits stay in the processor's cache."""


@dataclass(frozen=True)
class Score:
    """The score of a template on n units: pictures to classify, queries of a retrieval, scenes to segment.

    Attributes:
        template: the template; for an ensemble its members joined by " + ".
        value: what is maximised, on the reward's scale. For classification the accuracy: pictures whose highest logit
            is the true class; ties go to the lowest label.
        loss: breaks ties and is shown beside the value, lower is better; for classification the mean cross-entropy in
            nats.
        hits: (n,), what each unit contributes; their mean is the value, so that two templates can be compared unit
            by unit. bool where a unit is right or wrong; else float64, and a single one may lie outside the scale.
        losses: float64 (n,), the loss of each unit.
        predictions: int64 (n,), the predicted class of the units' own, for a query the first picture; empty where a
            unit has no one answer.
    """

    template: str
    value: float
    loss: float
    hits: npt.NDArray[Any]
    losses: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.hits)

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: value, then lower loss."""
        return (self.value, -self.loss)

    @property
    def bits(self) -> str:
        """The hits as text, `1` for right, as the journal has them. Only for units that are right or wrong."""
        return "".join("1" if hit else "0" for hit in self.hits)


@dataclass(frozen=True)
class Judged:
    """What one set of class embeddings is worth on n units, unit by unit.

    Attributes:
        hits: (n,), what each unit contributes; the value is their mean. Of a measure that is no mean over units:
            `pseudo_values`.
        losses: (n,), lower is better; None where nothing breaks ties.
        predictions: as in `Score`; None where a unit has no one answer.
    """

    hits: npt.NDArray[Any]
    losses: npt.NDArray[Any] | None = None
    predictions: npt.NDArray[np.int64] | None = None

    def score(self, name: str) -> Score:
        """Return it as the score of a template."""
        hits = np.asarray(self.hits)
        if hits.dtype != bool:
            hits = hits.astype(np.float64)
        losses = np.zeros(len(hits)) if self.losses is None else np.asarray(self.losses, dtype=np.float64)
        predictions = np.zeros(0, dtype=np.int64) if self.predictions is None else self.predictions
        return Score(name, float(hits.mean()), float(losses.mean()), hits, losses, predictions)


def pseudo_values(value_of: Callable[[npt.NDArray[np.int64]], float], n: int) -> Doubles:
    """Return what each unit contributes to a measure that is no mean over units: float64 (n,), their mean the value.

    They are the jackknife's (Tukey 1958), moved by one number for all, so that their mean is the value itself and the
    standard error of a mean over them is the measure's, to first order in 1/n. It takes n + 1 evaluations.

    Args:
        value_of: the measure on some of the units, by their numbers.
        n: how many units there are; two at least.

    >>> pseudo_values(lambda units: float(np.median(units)), 3).round(2).tolist()
    [0.0, 1.0, 2.0]
    """
    everything = np.arange(n)
    value = value_of(everything)
    without = np.array([value_of(np.delete(everything, i)) for i in range(n)], dtype=np.float64)
    pseudo: Doubles = value + (n - 1) * (without.mean() - without)
    return pseudo


class Units(Protocol):
    """What templates are scored on, in the form that the reward needs, with what a search must know of it."""

    @property
    def groups(self) -> Sequence[str] | None:
        """One name per unit of the score, equal for units that are not independent; None when all are."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each example's picture, for describers; None where a picture has no single class."""
        ...


class Reward(Protocol):
    """Scores templates: all that a search needs to know of a task. It may have a `scale`; without, see `FRACTION`.

    The same template on the same units must give the same score: a resumed run scores again instead of reading
    old scores back.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The texts that fill the slot: class names, captions. Strategies keep them out of templates."""
        ...

    def problem(self, template: str, /) -> str | None:
        """Say why a template cannot be scored, in part of a sentence, or None; checks at least `template.problem`."""
        ...

    def examples(self, examples: Sequence[Any], /) -> Units:
        """Check DSPy examples and encode them once, for any number of `score` calls; `image` is a `Picture`.

        Raises:
            InputError: an example lacks something; it is named.
        """
        ...

    def score(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Score templates, in the order given, on what `examples` returned."""
        ...


def scale_of(reward: object) -> Scale:
    """Return the scale of a reward; fractions where it names none.

    Raises:
        InputError: its `scale` is none.
    """
    scale = getattr(reward, "scale", FRACTION)
    if not isinstance(scale, Scale):
        raise InputError(f"scale of the reward {type(reward).__name__} is {type(scale).__name__} and no Scale.")
    return scale


class EmbeddingReward(ABC):
    """A reward that compares class embeddings of a CLIP with something of the pictures. Its hook is `judge_embeddings`.

    Whoever overrides `score` instead has said all: then it alone scores, one template after the other, and what needs
    class embeddings (ensembles, baselines, headroom) is refused or left out, by name. See `by_embeddings`.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in label order.
        store: keeps picture features, and class embeddings beside them; in the user's cache when None.
        also_fit: names of classes that are only used later (the new classes); templates must be short enough for them
            too. They are used for nothing else.
    """

    scale: Scale = FRACTION

    def __init__(
        self,
        clip: Clip,
        class_names: Sequence[str],
        store: FeatureStore | None = None,
        also_fit: Sequence[str] = (),
    ) -> None:
        self.clip = clip
        self.class_names = tuple(class_names)
        self._to_fit = (*class_names, *also_fit)
        self.store = store or FeatureStore(clip)
        self.texts = TextStore(clip, self.store.path.with_suffix(".texts.sqlite"))

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingReward:
        return self

    @abstractmethod
    def examples(self, examples: Sequence[Any]) -> Any:
        """Check DSPy examples and encode them once; see `Reward`."""

    @abstractmethod
    def judge_embeddings(self, classes: Sequence[Floats], units: Any) -> Iterable[Judged]:
        """Judge many candidates: the class embeddings of each, float32 (C, D), unit rows, in the order of `names_in`.

        The same embeddings on the same units must give the same numbers, whatever is judged beside them.
        """

    def names_in(self, units: Any) -> Sequence[str]:
        """Return the texts that fill the slot for these units, which may be fewer than the reward's."""
        classes = getattr(units, "classes", None)
        return self.class_names if classes is None else [self.class_names[i] for i in classes]

    def problem(self, template: str) -> str | None:
        """Say why a template cannot be scored, or None; see `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, self._to_fit, self.clip)

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates encoded one by one: the same template and units give the same bits."""
        return self.score_embeddings(templates, self.texts.encode(templates, self.names_in(units)), units)

    def look(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates encoded together, which shares what they share; the last bits depend on the others."""
        names, found = self.names_in(units), list[Score]()
        for part in parts(templates, names):
            with self.clip.timed("text"):
                embeddings = encode_templates(self.clip.model, self.clip.tokenizer, part, names)
            found += self.score_embeddings(part, list(embeddings), units)
        return found

    def score_together(self, templates: Sequence[str], units: Any) -> Score:
        """Score the mean of templates, as a `TemplateClassifier` has it; with one, as in `score`."""
        with self.clip.timed("text"):
            weighted = [(template, 1.0) for template in templates]
            embeddings = class_embeddings(self.clip, weighted, self.names_in(units))
        return self.score_embeddings([" + ".join(templates)], [embeddings], units)[0]

    def score_embeddings(self, names: Sequence[str], classes: Sequence[Floats], units: Any) -> list[Score]:
        """Score class embeddings, each float32 (C, D) with unit rows; `names` are the templates of the results.

        Raises:
            InputError: its own `judge_embeddings` gave something else than it should.
        """
        judged = list(self.judge_embeddings(classes, units))
        if len(judged) != len(names) or not all(isinstance(one, Judged) for one in judged):
            kinds = ", ".join(sorted({type(one).__name__ for one in judged})) or "nothing"
            raise InputError(
                f"judge_embeddings() of the reward {type(self).__name__} gave {kinds} ({len(judged)}) for {len(names)} "
                "sets of class embeddings; it gives one Judged for each."
            )
        return [one.score(name) for name, one in zip(names, judged, strict=True)]


def by_embeddings(reward: object) -> EmbeddingReward | None:
    """Return a reward as one that scores class embeddings; None where a `score` of its own decides.

    >>> class Harsher(ClipReward):
    ...     def score(self, templates, pictures):
    ...         return super().score(templates, pictures)
    >>> by_embeddings(object.__new__(Harsher)) is None
    True
    """
    ways = ("score", "look", "score_together")
    if not isinstance(reward, EmbeddingReward) or not vars(reward).keys().isdisjoint(ways):
        return None
    own = any(getattr(type(reward), way) is not getattr(EmbeddingReward, way) for way in ways)
    return None if own else reward


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures in the form that the reward needs.

    Attributes:
        features: float32 (n, D), unit rows.
        labels: int64 (n,), indices into the class names; where a picture shows several classes, bool (n, C) in `shown`
            instead, and neither where they are not known.
        groups: length n, the base picture of each picture; None when all pictures are independent.
        offsets: what is added to the logits of each class; None adds nothing.
        shown: bool (n, C), which classes a picture shows.
        classes: numbers of the classes that compete, in the order of the labels; None for all of the reward.
    """

    features: Floats
    labels: Any
    groups: tuple[str, ...] | None = None
    offsets: Offsets | None = None
    shown: npt.NDArray[np.bool_] | None = None
    classes: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def part(self, pictures: Sequence[int], classes: Sequence[int] | None = None) -> EncodedPictures:
        """Return some of the pictures, and with `classes` those alone: a smaller problem of its own.

        Args:
            pictures: their numbers.
            classes: numbers among the classes that compete here; labels then count these.

        Raises:
            InputError: a picture has the label of a class that is left out.
        """
        chosen = np.asarray(pictures, dtype=np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        shown = None if self.shown is None else self.shown[chosen]
        kept = self.classes
        if classes is not None:
            place = {int(number): i for i, number in enumerate(classes)}
            if labels is not None:
                for label in set(labels.tolist()) - set(place):
                    raise InputError(f"a picture of the class number {label} is in a part without that class.")
                labels = np.array([place[int(label)] for label in labels], dtype=np.int64)
            shown = None if shown is None else shown[:, list(place)]
            kept = tuple(place if self.classes is None else (self.classes[i] for i in place))
        groups = None if self.groups is None else tuple(self.groups[i] for i in chosen)
        return replace(self, features=self.features[chosen], labels=labels, groups=groups, shown=shown, classes=kept)


def features_of(*parts: Units | None) -> Floats:
    """Return the features of encoded pictures, part after part: float32 (n, D), unit rows."""
    return np.concatenate([cast(EncodedPictures, part).features for part in parts if part is not None])


class ClipReward(EmbeddingReward):
    """Scores templates with a frozen CLIP for a fixed set of classes: accuracy, or what a subclass's `judge` says.

    Attributes:
        takes: what the `label` of an example is: the name of its class, a list of names, or nothing.

    Example:
        >>> reward = ClipReward(clip, ["cat", "dog"])  # doctest: +SKIP
        >>> pictures = reward.encode([Picture.from_path(Path("cat.png"))], [0])  # doctest: +SKIP
        >>> reward.score(["a photo of a <CLASS>."], pictures)[0].value  # doctest: +SKIP
        1.0
    """

    takes: ClassVar[Literal["one label", "several labels", "no label"]] = "one label"

    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """Judge one classifier by its logits, float32 (n, C): here which pictures it names rightly.

        A measure of one's own overrides this, or takes what this says and changes it.
        """
        predictions = logits.argmax(axis=1)  # the first of equals: ties go to the lowest label
        return Judged(predictions == pictures.labels, losses_of(logits, pictures.labels), predictions)

    def judge_embeddings(self, classes: Sequence[Floats], units: EncodedPictures) -> Iterable[Judged]:
        """See `EmbeddingReward`."""
        for rows in classes:
            offsets = units.offsets.of(self.clip, rows) if units.offsets else None

            def logits_for(features: Floats, rows: Floats = rows, offsets: Floats | None = offsets) -> Floats:
                return logits_of(self.clip, features, rows, offsets)

            yield self._judged(_in_blocks(logits_for, units.features), units)

    def examples(self, examples: Sequence[Any]) -> EncodedPictures:
        """Encode examples with `image` (a `Picture`), `label` (see `takes`) and `group` where pictures are variants.

        Of several classes with the name of the label, as ImageNet has them, `class_index` tells which.

        Raises:
            InputError: an example lacks one of them, or has another label.
        """
        pictures, groups = [example.get("image") for example in examples], groups_of(examples)
        if self.takes == "no label":
            check_fields(examples, image="an image")
            return EncodedPictures(self.store.encode(pictures), None, tuple(groups) if groups else None)
        if self.takes == "several labels":
            check_fields(examples, image="an image", label="a label (a list of class names)")
            shown = np.zeros((len(examples), len(self.class_names)), dtype=bool)
            for row, example in zip(shown, examples, strict=True):
                names = [example.label] if isinstance(example.label, str) else list(example.label)
                row[indices(names, self.class_names, "label", "class names")] = True
            return EncodedPictures(self.store.encode(pictures), None, tuple(groups) if groups else None, shown=shown)
        check_fields(examples, image="an image", label="a label (the class name)")
        labels = indices([example.label for example in examples], self.class_names, "label", "class names")
        for i, example in enumerate(examples):
            index = example.get("class_index")
            if index in range(len(self.class_names)) and self.class_names[index] == example.label:
                labels[i] = index
        return self.encode(pictures, labels, groups)

    def encode(
        self,
        pictures: Sequence[Picture],
        labels: Sequence[int],
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> EncodedPictures:
        """Encode labelled pictures once, for any number of `score` calls."""
        features = self.store.encode(pictures, progress)
        return EncodedPictures(features, np.asarray(labels, dtype=np.int64), tuple(groups) if groups else None)

    def score_logits(self, name: str, logits_for: Callable[[Floats], Floats], pictures: EncodedPictures) -> Score:
        """Score a classifier without class embeddings, from features, float32 (n, D), to logits, float32 (n, C)."""
        return self._judged(_in_blocks(logits_for, pictures.features), pictures).score(name)

    def _judged(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """Judge; where a picture has one label it has one answer too, whether the measure speaks of it or not."""
        judged = self.judge(logits, pictures)
        named = pictures.labels is None or not isinstance(judged, Judged) or judged.predictions is not None
        return judged if named else replace(judged, predictions=logits.argmax(axis=1))


def scores_accuracy(reward: object) -> bool:
    """Whether a reward is plain accuracy, whose losses are cross-entropies: `ClipReward` without a hook of its own."""
    own = ("judge", "judge_embeddings", "score_embeddings", "examples", "encode")
    if not isinstance(reward, ClipReward) or by_embeddings(reward) is None or not vars(reward).keys().isdisjoint(own):
        return False
    return all(getattr(type(reward), name) is getattr(ClipReward, name) for name in own)


def _in_blocks(logits_for: Callable[[Floats], Floats], features: Floats) -> Floats:
    blocks = [logits_for(features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def check_fields(examples: Sequence[Any], **fields: str) -> None:
    """Refuse examples that lack a field; `fields` has a name for messages for each."""
    if any(name not in example for example in examples for name in fields):
        raise InputError(f"every example needs {' and '.join(fields.values())}.")


def indices(names: Sequence[str], known: Sequence[str], what: str, of: str) -> list[int]:
    """Return the index of each name among the known ones; refuse an unknown name."""
    position = {name: i for i, name in enumerate(known)}
    for name in names:
        if not isinstance(name, str) or name not in position:
            raise InputError(f"an example has the {what} {name!r}, which is not one of the reward's {of}.")
    return [position[name] for name in names]


def groups_of(examples: Sequence[Any]) -> list[str] | None:
    """Return the `group` of each example, or None where they have none.

    Raises:
        InputError: some have one and others not.
    """
    having = ["group" in example for example in examples]
    if any(having) and not all(having):
        raise InputError(
            f"{sum(having)} of {len(having)} examples have a group; give every one a group (a name of its own where "
            "it is no variant of another), or none."
        )
    return [example.group for example in examples] if any(having) else None


def class_embeddings(clip: Clip, weighted: Sequence[tuple[str, float]], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of a weighted ensemble of templates: float32 (C, D), unit rows."""
    if len(weighted) == 1:  # the same bits as in `ClipReward.score`
        first: Floats = encode_templates(clip.model, clip.tokenizer, [weighted[0][0]], class_names)[0]
        return first
    return encode_ensemble(clip.model, clip.tokenizer, weighted, class_names)


def class_means(features: Floats | Doubles, labels: npt.NDArray[np.int64], classes: int) -> Floats:
    """Return the unit mean feature of each class: float32 (C, D). Every class needs a picture."""
    sums = np.stack([features[labels == label].sum(axis=0, dtype=np.float64) for label in range(classes)])
    means: Floats = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return means


def logits_of(clip: Clip, features: Floats, classes: Floats, offsets: Floats | None = None) -> Floats:
    """Return logit scale · cosine + logit bias: float32 (n, C); `offsets`, float32 (C,), are added."""
    logits: Floats = clip.logit_scale * (features @ classes.T) + np.float32(clip.logit_bias)
    return logits if offsets is None else logits + offsets


def losses_of(logits: Floats, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the cross-entropy of softmax(logits) for each row: float64 (n,), nats, ≥ 0."""
    losses = np.empty(len(labels), dtype=np.float64)
    for start in range(0, len(labels), BLOCK):
        block = logits[start : start + BLOCK]
        true = block[np.arange(len(block)), labels[start : start + BLOCK]]
        highest = block.max(axis=1)
        log_sum = highest + np.log(np.exp(block - highest[:, None]).sum(axis=1, dtype=np.float64))
        losses[start : start + BLOCK] = np.maximum(log_sum - true, 0.0)
    return losses
