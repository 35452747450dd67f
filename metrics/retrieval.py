"""The reward for retrieval: whether a caption, put into a template, finds its image among many.

The direction is text → image. For image → text, use `ClipReward` with captions as classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import logits_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.images import to_image
from ipo_prompts.metrics.reward import EmbeddingReward, Judged, check_fields, groups_of, indices
from ipo_prompts.metrics.template import refuse_synonyms

BLOCK = 1024
"""The most queries in one matrix product."""
LOGITS = 2**26
"""The most logits that are in memory at once, if one query needs no more: 256 MB, and twice as much for the losses."""


@dataclass(frozen=True)
class Gallery:
    """Images to search in, and the captions to search with.

    Attributes:
        features: the features of the images, float32 (n, D), unit rows. An image with several captions is in here
            once.
        classes: the queries, which are the distinct captions, as indices into the reward's `class_names`: int64 (q,).
            They fill the slot, see `EmbeddingReward.names_in`.
        matches: the pairs of a query and a right image, as row numbers of `classes` and `features`: int64 (m, 2),
            sorted.
        labels: the caption of each example that the gallery was made from, as an index into `class_names`, int64.
        groups: a name for each query, length q, equal for queries that are not independent; None if all are.
    """

    features: Floats
    classes: npt.NDArray[np.int64]
    matches: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.classes)


class RetrievalReward(EmbeddingReward):
    """Scores templates by recall@k: the share of captions that have a right image among their first k images.

    The slot of the template holds the caption (`a negative of <CLASS>`). The unit of a score is a query: a distinct
    caption. If a caption has several right images, one of them among the first k is enough. If an image has several
    captions, it is in the gallery once. A wrong image that ties with the best right image is ranked before it. The
    loss of a query comes from a softmax over the gallery: minus the log of the total probability of its right images.

    The queries of one gallery are not quite independent, because they compete for the same images. Standard errors
    treat the queries as a sample and the gallery as fixed.

    Args:
        clip: the encoder.
        captions: all captions of the examples; repetitions count once.
        k: how many images count, from the first, at least 1.
        store: the store of image features; None for the store in the user's cache.
        also_fit: captions that are only used later. Templates must be short enough for them too.

    Raises:
        InputError: `k` is below 1.

    Example:
        >>> reward = RetrievalReward(clip, ["a cat on a mat", "two dogs"], k=1)  # doctest: +SKIP
        >>> gallery = reward.examples([dspy.Example(image=image, caption="two dogs"), ...])  # doctest: +SKIP
        >>> reward.score(["a sketch of <CLASS>"], gallery)[0].value  # doctest: +SKIP
        0.5
    """

    keeps_images = True

    def __init__(
        self,
        clip: Clip,
        captions: Sequence[str],
        *,
        k: int = 1,
        store: FeatureStore | None = None,
        also_fit: Sequence[str] = (),
    ) -> None:
        if k < 1:
            raise InputError(f"recall@{k} has no meaning; k must be at least 1.")
        refuse_synonyms(captions, "retrieval uses one text for each caption")
        super().__init__(clip, tuple(dict.fromkeys(captions)), store, also_fit)
        self.k = k

    def examples(self, examples: Sequence[Any]) -> Gallery:
        """Make a gallery from examples. The group of a query is the group of the first example with its caption.

        Args:
            examples: the examples. Each has an `image` (see `to_image`) and a `caption`, and a `group` if some are
                not independent.

        Raises:
            InputError: an example lacks a field or has an unknown caption. Or there are at most k different images,
                so that every caption would have a right image among the first k.
        """
        check_fields(examples, image="an image", caption="a caption")
        labels = np.asarray(
            indices([example.caption for example in examples], self.class_names, "caption", "captions"), dtype=np.int64
        )
        images = [to_image(example.image) for example in examples]
        # An image with five captions is one image, even if its copies are in files of different names.
        _, first, place = np.unique(contents(images), return_index=True, return_inverse=True)
        if len(first) <= self.k:
            raise InputError(
                f"recall@{self.k} over {len(first)} different images is always 1; give more images or a smaller k."
            )
        features = self.store.encode([images[i] for i in first])
        queries, asked, query = np.unique(labels, return_index=True, return_inverse=True)
        matches = np.unique(np.stack([query, place], axis=1), axis=0)
        groups = groups_of(examples)
        return Gallery(features, queries, matches, labels, tuple(groups[i] for i in asked) if groups else None)

    def judge_embeddings(self, classes: Sequence[Floats], units: Gallery) -> Iterable[Judged]:
        """Judge the text embeddings of each candidate, float32 (q, D), a row for each query; see `EmbeddingReward`."""
        return (self._judge(texts, units) for texts in classes)

    def _judge(self, texts: Floats, gallery: Gallery) -> Judged:
        """Judge the text embeddings of one candidate, float32 (q, D), one row for each query."""
        q, n = len(gallery), len(gallery.features)
        hits = np.empty(q, dtype=bool)
        losses = np.empty(q, dtype=np.float64)
        first = np.empty(q, dtype=np.int64)
        size = max(1, min(BLOCK, LOGITS // n))
        for start in range(0, q, size):
            block = slice(start, start + size)
            logits = logits_of(self.clip, texts[block], gallery.features)  # (block, n)
            pairs = gallery.matches[slice(*np.searchsorted(gallery.matches[:, 0], (start, start + size)))]
            right = np.zeros((len(logits), n), dtype=bool)
            right[pairs[:, 0] - start, pairs[:, 1]] = True
            best = np.where(right, logits, -np.inf).max(axis=1, keepdims=True)
            hits[block] = ((logits >= best) & ~right).sum(axis=1) < self.k
            exact = logits.astype(np.float64)
            losses[block] = special.logsumexp(exact, axis=1) - special.logsumexp(exact, axis=1, b=right)
            first[block] = logits.argmax(axis=1)
        return Judged(hits, np.maximum(losses, 0.0), first)
