"""The reward for classification: the accuracy of a template on labelled images, or another measure of its logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats, batches
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import Progress, as_features
from ipo_prompts.metrics.reward import (
    WAYS,
    EmbeddingReward,
    Judged,
    Score,
    Units,
    check_fields,
    groups_of,
    indices,
    keeps,
)

BLOCK = 1024
"""How many images one matrix product takes: so few that the logits stay in the processor's cache."""
DEVICE_BLOCK = 8192
"""The same on a GPU, where a product must be large: 330 MB of logits for 10,000 classes."""


Numbers = Sequence[int] | npt.NDArray[np.integer]
"""Numbers that stand for images or classes."""


@dataclass(frozen=True)
class EncodedImages:
    """Images in the form that the reward needs.

    Attributes:
        features: float32 (n, D), unit rows.
        labels: the class of each image, int64 (n,), as an index into the class names.
        groups: the base image of each image, length n; None if all images are independent.
        classes: the numbers of the classes that compete; label i means the i-th of them. None for all classes of the
            reward.
    """

    features: Floats
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...] | None = None
    classes: tuple[int, ...] | None = None
    _sent: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.features)

    def on(self, device: str) -> Iterable[Any]:
        """Return pairs of tensors on a device: blocks of features and their labels. They are sent there once."""
        import torch

        if device not in self._sent:
            both = (torch.tensor(one, device=device) for one in (self.features, self.labels))
            self._sent[device] = [torch.split(one, DEVICE_BLOCK) for one in both]
        return zip(*self._sent[device], strict=True)

    def part(self, images: Numbers, classes: Numbers | None = None) -> EncodedImages:
        """Return some of the images. If `classes` is given, only these classes compete.

        Args:
            images: the numbers of the images to return.
            classes: the classes to keep, as indices into the classes that compete here. The labels of the result are
                indices into this list.

        Raises:
            InputError: an image has the label of a class that is left out.
        """
        chosen = np.asarray(images, dtype=np.int64)
        labels = self.labels[chosen]
        kept = self.classes
        if classes is not None:
            place = {int(number): i for i, number in enumerate(classes)}
            if missing := set(labels.tolist()) - set(place):
                raise InputError(f"an image of the class number {min(missing)} is in a part without that class.")
            labels = np.array([place[int(label)] for label in labels], dtype=np.int64)
            kept = tuple(place if self.classes is None else (self.classes[i] for i in place))
        groups = None if self.groups is None else tuple(self.groups[i] for i in chosen)
        return replace(self, features=self.features[chosen], labels=labels, groups=groups, classes=kept)


def features_of(*parts: Units | None) -> Floats:
    """Return the features of the images of all parts, part after part: float32 (n, D), unit rows."""
    return np.concatenate([cast(EncodedImages, part).features for part in parts if part is not None])


def together(parts: Sequence[EncodedImages]) -> EncodedImages:
    """Return the images of all parts as one set, part after part, without their groups."""
    return EncodedImages(features_of(*parts), np.concatenate([part.labels for part in parts]))


class ClipReward(EmbeddingReward):
    """Scores templates with a frozen CLIP for a fixed set of classes, by accuracy or by a subclass's `judge`.

    Example:
        >>> reward = ClipReward(clip, ["cat", "dog"])  # doctest: +SKIP
        >>> images = reward.encode(["cat.png"], [0])  # doctest: +SKIP
        >>> reward.score(["a photo of a <CLASS>."], images)[0].value  # doctest: +SKIP
        1.0
    """

    keeps_images = True

    def judge(self, logits: Floats, images: EncodedImages) -> Judged:
        """Judge one classifier by its logits, float32 (n, C). Here an image counts if the classifier names it rightly.

        A measure of your own overrides this method, or calls it and changes the result.
        """
        predictions = logits.argmax(axis=1)  # argmax takes the first of equal logits: the lowest label
        return Judged(predictions == images.labels, losses_of(logits, images.labels), predictions)

    def judge_embeddings(self, classes: Sequence[Floats], units: EncodedImages) -> Iterable[Judged]:
        """See `EmbeddingReward`."""
        if self.clip.device != "cpu" and scores_accuracy(self):
            yield from judge_on(self.clip.device, self.clip, classes, units)
            return
        for rows in classes:
            yield self._judged(partial(logits_of, self.clip, classes=rows), units)

    def examples(self, examples: Sequence[Any]) -> EncodedImages:
        """Encode examples with an `image` (see `to_image`), a `label` (the class name) and, for variants, a `group`.

        If several classes have the same name, as in ImageNet, `class_index` tells which class is meant. An example may
        have `features` (D,) instead of an `image`; then all examples must have them.

        Raises:
            InputError: an example lacks one of these fields, or its label is no class name.
        """
        groups = groups_of(examples)
        featured = len(examples) > 0 and "features" in examples[0]
        given = {"features": "features, as the first one has"} if featured else {"image": "an image"}
        check_fields(examples, **given, label="a label (the class name)")
        labels = indices([example.label for example in examples], self.class_names, "label", "class names")
        for i, example in enumerate(examples):
            index = example.get("class_index")
            if index in range(len(self.class_names)) and self.class_names[index] == example.label:
                labels[i] = index
        if not featured:
            return self.encode([example.image for example in examples], labels, groups)
        features = as_features([example.features for example in examples], self.clip.width, "the examples")
        return EncodedImages(features, np.asarray(labels, dtype=np.int64), groups)

    def encode(
        self,
        images: Sequence[Any],
        labels: Sequence[int],
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> EncodedImages:
        """Encode images (see `to_image`) once, for any number of `score` calls."""
        known = np.asarray(labels, dtype=np.int64)
        return EncodedImages(self.store.encode(images, progress), known, tuple(groups) if groups else None)

    def score_logits(self, name: str, logits_for: Callable[[Floats], Floats], images: EncodedImages) -> Score:
        """Score a classifier that has no class embeddings, under the name `name`.

        `logits_for` turns features, float32 (n, D), into logits, float32 (n, C).
        """
        return self._judged(logits_for, images).score(name)

    def _judged(self, logits_for: Callable[[Floats], Floats], images: EncodedImages) -> Judged:
        """Judge a classifier. Add predictions if `judge` gave none, and, for accuracy, the places of the right classes.

        For accuracy no more than a block of logits is held; the `judge` of a user gets all logits.
        """
        if scores_accuracy(self):
            blocks = []
            for features, labels in zip(batches(images.features, BLOCK), batches(images.labels, BLOCK), strict=True):
                logits = logits_for(features)
                one = self.judge(logits, EncodedImages(features, labels))
                blocks.append((one.hits, one.losses, one.predictions, places_of(logits, labels)))
            return Judged(*map(np.concatenate, zip(*blocks, strict=True)))
        logits = np.concatenate([logits_for(block) for block in batches(images.features, BLOCK)])
        judged = self.judge(logits, images)
        named = not isinstance(judged, Judged) or judged.predictions is not None
        return judged if named else replace(judged, predictions=logits.argmax(axis=1))


def scores_accuracy(reward: object) -> bool:
    """Whether a reward, or a class of rewards, measures plain accuracy, with cross-entropies as losses.

    It does if it is a `ClipReward` that overrides none of the methods in `own`.
    """
    own = (*WAYS, "judge", "judge_embeddings", "score_embeddings", "examples", "encode")
    return keeps(reward, ClipReward, own)


def measure_of(reward: object) -> str:
    """Return the name of what a reward measures: `accuracy`, its own `measure`, or else the name of its class."""
    return "accuracy" if scores_accuracy(reward) else str(getattr(reward, "measure", type(reward).__name__))


def logits_of(clip: Clip, features: Floats, classes: Floats) -> Floats:
    """Return logit scale · cosine + logit bias: float32 (n, C)."""
    logits: Floats = clip.logit_scale * (features @ classes.T) + np.float32(clip.logit_bias)
    return logits


def judge_on(device: str, clip: Clip, classes: Sequence[Floats], images: EncodedImages) -> Iterable[Judged]:
    """Judge the accuracy of class embeddings, each float32 (C, D), on a device, to which the images are sent once.

    Hits and places are those of `ClipReward.judge` but for rounding; losses differ in the last bits of float32.
    """
    import torch

    for rows in classes:
        texts = torch.tensor(rows, device=device).T
        found = []
        for block, labels in images.on(device):
            logits = clip.logit_scale * (block @ texts) + clip.logit_bias
            true = logits.gather(1, labels[:, None])
            losses = (logits.logsumexp(dim=1) - true[:, 0]).clamp(min=0)
            places = (logits > true).sum(dim=1) + 1
            found.append(torch.stack([losses, places, logits.argmax(dim=1)]))  # float32 holds all classes exactly
        losses, places, predictions = torch.cat(found, dim=1).cpu().double().numpy()
        named = predictions.astype(np.int64)
        yield Judged(named == images.labels, losses, named, places)


def places_of(logits: Floats, labels: npt.NDArray[np.int64]) -> Doubles:
    """Return the place of each image's right class in the order of its logits: float64 (n,), 1 is the highest."""
    true = logits[np.arange(len(labels)), labels]
    return np.asarray(1.0 + np.count_nonzero(logits > true[:, None], axis=1))


def losses_of(logits: Floats, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the cross-entropy of softmax(logits) for each row: float64 (n,), nats, ≥ 0."""
    found = [np.empty(0)]
    for block, own in zip(batches(logits, BLOCK), batches(labels, BLOCK), strict=True):
        highest = block.max(axis=1)
        log_sum = highest + np.log(np.exp(block - highest[:, None]).sum(axis=1, dtype=np.float64))
        found.append(log_sum - block[np.arange(len(block)), own])  # at least 0: the sum contains exp(0)
    return np.concatenate(found)
