"""The reward: what a template is worth on some pictures. What every reward can do, and the one for classification.

Another task is another `Reward`: `retrieval.py` and `segmentation.py` are two, `docs/your-own-reward.md` makes a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ipo.metrics.arrays import Floats
from ipo.metrics.clip import Clip
from ipo.metrics.errors import InputError
from ipo.metrics.features import FeatureStore, Progress
from ipo.metrics.pictures import Picture
from ipo.metrics.template import problem, too_long
from ipo.metrics.text_store import TextStore
from ipo.metrics.text_tower import encode_ensemble, encode_templates

BLOCK = 1024
"""Pictures per matrix product: the logits stay in the processor's cache, and bounded for a million pictures."""


@dataclass(frozen=True)
class Score:
    """What a template is worth on n units: pictures to classify, queries of a retrieval, scenes to segment.

    Attributes:
        template: the template; for an ensemble its members joined by " + ".
        value: what is maximised, a fraction in [0, 1]. For classification the accuracy: pictures whose highest logit
            is the true class; ties go to the lowest label.
        loss: what breaks ties and is shown beside it, ≥ 0; here always a mean cross-entropy in nats.
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
    def bits(self) -> str:
        """The hits as text, `1` for right, as a record keeps them. Only for units that are right or wrong."""
        return "".join("1" if hit else "0" for hit in self.hits)


class Units(Protocol):
    """What templates are scored on, in whatever form its reward likes, and what a search must know of it."""

    @property
    def groups(self) -> Sequence[str] | None:
        """One name per unit of the score, equal for units that are not independent; None when all are."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each example's picture, for a describer that asks; None where it has no single one."""
        ...


class Reward(Protocol):
    """Turns templates into scores: all that the `IPO` optimizer needs to know of a task.

    The same template on the same units must give the same score: a resumed run scores again instead of reading
    old scores back.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """What fills the slot: class names, captions. Proposers keep them out of templates."""
        ...

    def problem(self, template: str, /) -> str | None:
        """Say why a template cannot be scored, in part of a sentence, or None. `template.problem` is the least."""
        ...

    def examples(self, examples: Sequence[Any], /) -> Units:
        """Check DSPy examples and encode them once, for any number of `score` calls; `image` is a `Picture`.

        Raises:
            InputError: what an example lacks.
        """
        ...

    def score(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Score templates, in the order given, on what `examples` returned."""
        ...


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures as the reward needs them.

    Attributes:
        features: float32 (n, D), unit rows.
        labels: int64 (n,), indices into the class names.
        groups: length n, the base picture each is a variant of; None when all pictures are independent.
    """

    features: Floats
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)


class ClipReward:
    """Scores templates with a frozen CLIP for a fixed set of classes.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in label order.
        store: where picture features are kept, class embeddings beside them; the user's cache when None.
        also_fit: names of classes that are only met later (the new classes); templates must be short enough for them
            too. Nothing else of them is looked at.

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

        Raises:
            InputError: an example lacks one of them, or has another label.
        """
        check_fields(examples, image="an image", label="a label (the class name)")
        labels = indices([example.label for example in examples], self.class_names, "label", "class names")
        if all("class_index" in example for example in examples):  # two classes of ImageNet share a name
            labels = [example.class_index for example in examples]
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

    def score_embeddings(self, name: str, classes: Floats, pictures: EncodedPictures) -> Score:
        """Score class embeddings, float32 (C, D) with unit rows; `name` stands for the template."""
        predictions = np.empty(len(pictures), dtype=np.int64)
        losses = np.empty(len(pictures), dtype=np.float64)
        for start in range(0, len(pictures), BLOCK):
            block = slice(start, start + BLOCK)
            logits = logits_of(self.clip, pictures.features[block], classes)  # (block, C)
            labels = pictures.labels[block]
            highest = logits.max(axis=1)
            log_sum = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64))
            losses[block] = np.maximum(log_sum - logits[np.arange(len(labels)), labels], 0.0)
            predictions[block] = logits.argmax(axis=1)  # the first of equals: ties go to the lowest label
        hits = predictions == pictures.labels
        return Score(name, float(hits.mean()), float(losses.mean()), hits, losses, predictions)


def check_fields(examples: Sequence[Any], **fields: str) -> None:
    """Refuse examples that lack a field; `fields` gives the words for each."""
    if any(name not in example for example in examples for name in fields):
        raise InputError(f"every example needs {' and '.join(fields.values())}.")


def indices(names: Sequence[str], known: Sequence[str], what: str, of: str) -> list[int]:
    """Return the place of each name among the known ones, and refuse another name."""
    position = {name: i for i, name in enumerate(known)}
    unknown = next((name for name in names if name not in position), None)
    if unknown is not None:
        raise InputError(f"an example has the {what} {unknown!r}, which is not one of the reward's {of}.")
    return [position[name] for name in names]


def groups_of(examples: Sequence[Any]) -> list[str] | None:
    """Return the `group` of each example, or None where they have none."""
    return [example.group for example in examples] if examples and "group" in examples[0] else None


def class_embeddings(clip: Clip, weighted: Sequence[tuple[str, float]], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of a weighted ensemble of templates: float32 (C, D), unit rows."""
    if len(weighted) == 1:  # to the bit what `ClipReward.score` saw
        first: Floats = encode_templates(clip.model, clip.tokenizer, [weighted[0][0]], class_names)[0]
        return first
    return encode_ensemble(clip.model, clip.tokenizer, weighted, class_names)


def logits_of(clip: Clip, features: Floats, classes: Floats) -> Floats:
    """Return logit scale · cosine + logit bias: float32 (n, C)."""
    logits: Floats = clip.logit_scale * (features @ classes.T) + np.float32(clip.logit_bias)
    return logits


def clip_accuracy(example: Any, prediction: Any, trace: Any = None) -> float:
    """Per-example metric for `dspy.Evaluate`: 1.0 when the predicted label is the example's, else 0.0."""
    return float(prediction.label == example.label)
