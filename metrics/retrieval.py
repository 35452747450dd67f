"""The reward for retrieval: whether a caption, put into a template, finds its picture among many.

The direction is text → picture. For picture → text, use `ClipReward` with captions as classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import logits_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.reward import EmbeddingReward, Judged, check_fields, groups_of, indices
from ipo_prompts.metrics.template import refuse_synonyms

BLOCK = 1024
"""Queries in one matrix product. It needs memory for (BLOCK, pictures) logits, whatever the number of captions."""


@dataclass(frozen=True)
class Gallery:
    """Pictures to search in, and the captions to search with.

    Attributes:
        features: the features of the pictures, float32 (n, D), unit rows; every picture once, however many captions it
            has.
        queries: the indices of the captions, int64 (q,), each once.
        matches: the pairs of (place in `queries`, place in `features`) that belong together, int64 (m, 2), sorted.
        labels: the index of the caption of each example that the gallery was made from, int64.
        groups: length q, equal for queries that are not independent; None if all are independent.
    """

    features: Floats
    queries: npt.NDArray[np.int64]
    matches: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The captions that templates are filled with; see `EmbeddingReward.names_in`."""
        return self.queries


class RetrievalReward(EmbeddingReward):
    """Scores templates by recall@k: the share of captions with a right picture among the first k.

    The slot of the template holds the caption (`a negative of <CLASS>`). The unit of a score is a query, that is a
    distinct caption. If several pictures share a caption, one of them among the first k is enough. If a picture has
    several captions, it is in the gallery once. A wrong picture that ties with the best right picture is ranked before
    it. The loss is that of a softmax over the gallery: minus the log of the total probability of the query's pictures.

    The queries of one gallery are not quite independent, because they compete for the same pictures. Standard errors
    are for a sample of queries with this gallery fixed.

    Args:
        clip: the encoder.
        captions: all captions of the examples; repetitions count once.
        k: how many of the first pictures count, at least 1.
        store: the store of picture features; the user's cache if None.
        also_fit: captions that are only used later; templates must be short enough for them too.

    Raises:
        InputError: `k` is below 1.

    Example:
        >>> reward = RetrievalReward(clip, ["a cat on a mat", "two dogs"], k=1)  # doctest: +SKIP
        >>> gallery = reward.examples([dspy.Example(image=picture, caption="two dogs"), ...])  # doctest: +SKIP
        >>> reward.score(["a sketch of <CLASS>"], gallery)[0].value  # doctest: +SKIP
        0.5
    """

    keeps_pictures = True

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
        """Make a gallery from examples. The group of a query is the group of its first example.

        Args:
            examples: each has an `image` (a `Picture`), a `caption`, and a `group` if they are not independent.

        Raises:
            InputError: an example lacks a field or has an unknown caption, or the gallery has no more than k pictures,
                so that every caption would find a right one.
        """
        check_fields(examples, image="an image", caption="a caption")
        labels = np.asarray(
            indices([example.caption for example in examples], self.class_names, "caption", "captions"), dtype=np.int64
        )
        pictures = [example.image for example in examples]
        # The same picture with five captions is one picture, whatever its files are called.
        _, first, place = np.unique(self.store.contents(pictures), return_index=True, return_inverse=True)
        if len(first) <= self.k:
            raise InputError(
                f"recall@{self.k} over {len(first)} different pictures is always 1; give more pictures or a smaller k."
            )
        features = self.store.encode([pictures[i] for i in first])
        queries, asked, query = np.unique(labels, return_index=True, return_inverse=True)
        matches = np.unique(np.stack([query, place], axis=1), axis=0)
        groups = groups_of(examples)
        return Gallery(features, queries, matches, labels, tuple(groups[i] for i in asked) if groups else None)

    def judge_embeddings(self, classes: Sequence[Floats], units: Gallery) -> Iterable[Judged]:
        """See `EmbeddingReward`; one row for each query."""
        return (self._judge(texts, units) for texts in classes)

    def _judge(self, texts: Floats, gallery: Gallery) -> Judged:
        q, n = len(gallery), len(gallery.features)
        hits = np.empty(q, dtype=bool)
        losses = np.empty(q, dtype=np.float64)
        first = np.empty(q, dtype=np.int64)
        for start in range(0, q, BLOCK):
            block = slice(start, start + BLOCK)
            logits = logits_of(self.clip, texts[block], gallery.features)  # (block, n)
            pairs = gallery.matches[slice(*np.searchsorted(gallery.matches[:, 0], (start, start + BLOCK)))]
            right = np.zeros((len(logits), n), dtype=bool)
            right[pairs[:, 0] - start, pairs[:, 1]] = True
            best = np.where(right, logits, -np.inf).max(axis=1, keepdims=True)
            hits[block] = ((logits >= best) & ~right).sum(axis=1) < self.k
            weights = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
            losses[block] = np.log(weights.sum(axis=1)) - np.log(np.where(right, weights, 0.0).sum(axis=1))
            first[block] = logits.argmax(axis=1)
        losses = np.maximum(losses, 0.0)
        return Judged(hits, losses, first)
