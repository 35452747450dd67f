"""Rewards score templates on pictures. Here: the interface of every reward, and the reward for classification.

Each other task has its own `Reward`: see `retrieval.py`, `segmentation.py` and `docs/your-own-reward.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.offsets import Offsets
from ipo_prompts.metrics.pictures import Picture
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
        value: what is maximised, a fraction in [0, 1]. For classification the accuracy: pictures whose highest logit
            is the true class; ties go to the lowest label.
        loss: breaks ties and is shown beside the value, ≥ 0; here always a mean cross-entropy in nats.
        hits: (n,), what each unit contributes; their mean is the value, so that two templates can be compared unit
            by unit. bool where a unit is right or wrong; else float64, and a single one may lie outside [0, 1].
        losses: float64 (n,), the loss of each unit.
        predictions: int64 (n,), the predicted label, for a query the first picture; empty where a unit has no one
            answer.
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
    """Scores templates: all that the `IPO` optimizer needs to know of a task.

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


class Screening(Protocol):
    """A reward that scores many templates faster together, where the last bits do not matter; see `agrees`."""

    def screen(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Score templates, in the order given; the same list gives the same scores."""
        ...


class Ensembling(Protocol):
    """A reward that can also score several templates together; see `agrees`."""

    def score_together(self, templates: Sequence[str], units: Any, /) -> Score:
        """Score an ensemble of equally weighted templates; the same list gives the same score."""
        ...


def agrees(reward: object, method: str) -> bool:
    """Whether a reward has another way to score that says what its `score` says; see `screen`, `score_together`.

    `score` decides. Whoever overrides it inherits the other ways of the parent, which still say what the parent's
    `score` said; so a way counts only where no class below the one that defines it has a `score` of its own.

    >>> class Harsher(ClipReward):
    ...     def score(self, templates, pictures):
    ...         return super().score(templates, pictures)
    >>> agrees(object.__new__(ClipReward), "screen"), agrees(object.__new__(Harsher), "screen")
    (True, False)
    """
    named = [vars(reward) if hasattr(reward, "__dict__") else {}, *map(vars, type(reward).__mro__)]

    def place(name: str) -> int:
        return next((place for place, own in enumerate(named) if name in own), len(named))

    return place(method) < len(named) and place(method) <= place("score")


def scores_accuracy(reward: object) -> bool:
    """Whether a reward is plain accuracy: `ClipReward` itself, for a subclass may measure anything."""
    own = {"score", "score_embeddings", "score_logits", "encode", "examples"}
    return type(reward) is ClipReward and own.isdisjoint(vars(reward))


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures in the form that the reward needs.

    Attributes:
        features: float32 (n, D), unit rows.
        labels: int64 (n,), indices into the class names.
        groups: length n, the base picture of each picture; None when all pictures are independent.
        offsets: what is added to the logits of each class; None adds nothing.
    """

    features: Floats
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...] | None = None
    offsets: Offsets | None = None

    def __len__(self) -> int:
        return len(self.labels)


class ClipReward:
    """Scores templates with a frozen CLIP for a fixed set of classes.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in label order.
        store: keeps picture features, and class embeddings beside them; in the user's cache when None.
        also_fit: names of classes that are only used later (the new classes); templates must be short enough for them
            too. They are used for nothing else.

    Example:
        >>> reward = ClipReward(clip, ["cat", "dog"])  # doctest: +SKIP
        >>> pictures = reward.encode([Picture.from_path(Path("cat.png"))], [0])  # doctest: +SKIP
        >>> reward.score(["a photo of a <CLASS>."], pictures)[0].value  # doctest: +SKIP
        1.0
    """

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

    def __deepcopy__(self, memo: dict[int, Any]) -> ClipReward:
        return self

    def problem(self, template: str) -> str | None:
        """Say why a template cannot be scored, or None; see `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, self._to_fit, self.clip)

    def examples(self, examples: Sequence[Any]) -> EncodedPictures:
        """Encode examples with `image` (a `Picture`), `label` (a class name) and `group` where pictures are variants.

        Of several classes with the name of the label, as ImageNet has them, `class_index` tells which.

        Raises:
            InputError: an example lacks one of them, or has another label.
        """
        check_fields(examples, image="an image", label="a label (the class name)")
        labels = indices([example.label for example in examples], self.class_names, "label", "class names")
        for i, example in enumerate(examples):
            index = example.get("class_index")
            if index in range(len(self.class_names)) and self.class_names[index] == example.label:
                labels[i] = index
        return self.encode([example.image for example in examples], labels, groups_of(examples))

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

    def score(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        """Score many templates at once; the same template and pictures give the same bits."""
        embeddings = self.texts.encode(templates, self.class_names)
        return [self.score_embeddings(t, e, pictures) for t, e in zip(templates, embeddings, strict=True)]

    def screen(self, templates: Sequence[str], pictures: EncodedPictures) -> list[Score]:
        """Score templates encoded together, which shares what they share; the last bits depend on the others."""
        found: list[Score] = []
        for part in parts(templates, self.class_names):
            with self.clip.timed("text"):
                embeddings = encode_templates(self.clip.model, self.clip.tokenizer, part, self.class_names)
            found += [self.score_embeddings(t, e, pictures) for t, e in zip(part, embeddings, strict=True)]
        return found

    def score_together(self, templates: Sequence[str], pictures: EncodedPictures) -> Score:
        """Score the mean of templates, as a `TemplateClassifier` has it; with one, as in `score`."""
        with self.clip.timed("text"):
            embeddings = class_embeddings(self.clip, [(template, 1.0) for template in templates], self.class_names)
        return self.score_embeddings(" + ".join(templates), embeddings, pictures)

    def score_embeddings(self, name: str, classes: Floats, pictures: EncodedPictures) -> Score:
        """Score class embeddings, float32 (C, D) with unit rows; `name` is the template of the result."""
        offsets = pictures.offsets.of(self.clip, classes) if pictures.offsets else None
        return self.score_logits(name, lambda features: logits_of(self.clip, features, classes, offsets), pictures)

    def score_logits(self, name: str, logits_for: Callable[[Floats], Floats], pictures: EncodedPictures) -> Score:
        """Score a classifier, from features, float32 (n, D), to logits, float32 (n, C); `name` as above."""
        predictions = np.empty(len(pictures), dtype=np.int64)
        losses = np.empty(len(pictures), dtype=np.float64)
        for start in range(0, len(pictures), BLOCK):
            block = slice(start, start + BLOCK)
            logits = logits_for(pictures.features[block])  # (block, C)
            losses[block] = losses_of(logits, pictures.labels[block])
            predictions[block] = logits.argmax(axis=1)  # the first of equals: ties go to the lowest label
        hits = predictions == pictures.labels
        return Score(name, float(hits.mean()), float(losses.mean()), hits, losses, predictions)


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
    highest = logits.max(axis=1)
    log_sum = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64))
    losses: npt.NDArray[np.float64] = np.maximum(log_sum - logits[np.arange(len(labels)), labels], 0.0)
    return losses
