"""The reward: how well the frozen CLIP classifies pictures with a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo.metrics.clip import Clip, Floats
from ipo.metrics.features import FeatureStore, Progress
from ipo.metrics.pictures import Picture
from ipo.metrics.template import problem, too_long
from ipo.metrics.text_tower import encode_ensemble, encode_templates

BLOCK = 1024
"""Pictures per matrix product: the logits stay in the processor's cache, and bounded for a million pictures."""


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


@dataclass(frozen=True)
class Score:
    """What a template is worth on some pictures.

    Attributes:
        template: the template; for an ensemble its members joined by " + ".
        accuracy: fraction in [0, 1] of pictures whose highest logit is the true class; ties go to the lowest label.
        loss: mean softmax cross-entropy in nats, ≥ 0.
        hits: bool (n,), right or wrong, picture by picture.
        losses: float64 (n,), cross-entropy of each picture in nats.
        predictions: int64 (n,), the predicted label.
    """

    template: str
    accuracy: float
    loss: float
    hits: npt.NDArray[np.bool_]
    losses: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.hits)

    @property
    def bits(self) -> str:
        """The hits as text, `1` for right, as a record keeps them."""
        return "".join("1" if hit else "0" for hit in self.hits)


class ClipReward:
    """Scores templates with a frozen CLIP for a fixed set of classes.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in label order.
        store: where picture features are kept; the user's cache when None.
        also_fit: names of classes that are only met later (the new classes); templates must be short enough for them
            too. Nothing else of them is looked at.

    Example:
        >>> reward = ClipReward(clip, ["cat", "dog"])  # doctest: +SKIP
        >>> pictures = reward.encode([Picture.from_path(Path("cat.png"))], [0])  # doctest: +SKIP
        >>> reward.score(["a photo of a <CLASS>."], pictures)[0].accuracy  # doctest: +SKIP
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

    def __deepcopy__(self, memo: dict[int, Any]) -> ClipReward:
        return self

    def problem(self, template: str) -> str | None:
        """Say why a template cannot be scored, or None; see `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, self._to_fit, self.clip)

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
        if not templates:
            return []
        with self.clip.timed("text"):
            embeddings = encode_templates(self.clip.model, self.clip.tokenizer, templates, self.class_names)
        return [self._score(t, e, pictures) for t, e in zip(templates, embeddings, strict=True)]

    def score_ensemble(self, weighted: Sequence[tuple[str, float]], pictures: EncodedPictures) -> Score:
        """Score several templates as one classifier: the weighted mean of unit class embeddings, made unit again."""
        name = " + ".join(template for template, _ in weighted)
        return self._score(name, class_embeddings(self.clip, weighted, self.class_names), pictures)

    def _score(self, name: str, classes: Floats, pictures: EncodedPictures) -> Score:
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
