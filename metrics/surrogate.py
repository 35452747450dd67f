"""Predicts the scores of templates from a few of their class embeddings, and scores only the most promising templates.

With many classes, a search spends its time on encoding templates with all class names. But templates change the class
embeddings in much the same ways: the change that one template makes is nearly a linear combination of the changes that
other templates make. The embeddings of vision-language models have this structure (Trager et al. 2023, "Linear Spaces
of Meanings"). So a template is encoded with a few class names. Ridge regression (Hoerl & Kennard 1970) finds the
combination of known changes that fits these classes best, and the same combination predicts the change of all others.

A predicted score only decides which templates are scored. It is never recorded, and never returned as a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.classification import scores_accuracy
from ipo_prompts.metrics.reward import EmbeddingReward, Score

FEW, SHARE = 8, 16
"""A template is encoded with one class of `SHARE`, but with `FEW` classes at least."""
BEST = 8
"""One template of this number is scored: the most promising one."""
SAMPLE = 10
"""One template of this number is scored besides, whatever its prediction, while fewer than `FIRST` are known."""
FEWEST = 24
"""The number of templates that are scored before any score is predicted."""
FIRST, LAST = 64, 32
"""The changes of so many templates are kept at most: of those that were scored first, and of those scored last."""
BYTES = 1 << 29
"""The memory for these changes. With very many classes, fewer changes are kept."""
RIDGE = 0.03
"""The penalty of the ridge regression, as a multiple of the mean squared length of a known change."""
JUDGING = 2_000
"""A prediction is judged on at most so many images: an error of one point at most, below that of a prediction."""
AT_ONCE = 16
"""The number of templates whose class embeddings are predicted at once: few enough for the memory."""


def few_of(classes: int) -> int:
    """Return with how many of the classes a template is encoded for a prediction.

    >>> few_of(5), few_of(100), few_of(1000)
    (5, 8, 63)
    """
    return min(classes, max(FEW, -(-classes // SHARE)))


def texts_for(templates: int, classes: int, promising_only: bool) -> int:
    """Return how many texts are encoded to score so many templates, or, about, the most promising ones of them."""
    if not promising_only:
        return templates * classes
    return templates * few_of(classes) + classes * (templates // BEST + FIRST)


class Surrogate:
    """Scores the most promising of many templates.

    Args:
        reward: the reward, which scores by class embeddings.
        units: the units that templates are scored on.
        template: the template from which all changes are measured.
    """

    def __init__(self, reward: EmbeddingReward, units: Any, template: str) -> None:
        names = reward.names_in(units)
        self._reward, self._units = reward, units
        self._judging = units
        if scores_accuracy(reward) and len(units) > JUDGING:
            self._judging = units.part(spread(len(units), JUDGING))
        self._few = np.sort(np.random.default_rng(0).permutation(len(names))[: few_of(len(names))])
        self._few_names = [names[i] for i in self._few]
        (self._start,) = reward.texts.encode([template], names)
        kept = max(FEWEST, min(FIRST + LAST, BYTES // self._start.nbytes))
        self._changes = np.empty((kept, *self._start.shape), np.float32)
        self._last = kept * LAST // (FIRST + LAST)
        self._first = kept - self._last
        self._known = 0

    def promising(self, templates: Sequence[str]) -> list[Score]:
        """Score the most promising templates, and return their scores."""
        count, known = len(templates), self._known
        best = count if count <= 3 else max(2, -(-count // BEST))
        sample = max(FEWEST - known, count // SAMPLE if known < self._first else 0)
        drawn = {templates[i] for i in spread(count, sample)} if best < count and sample > 0 else set()
        scores = self.score([template for template in templates if template in drawn])
        others = [template for template in templates if template not in drawn]
        chosen = set(others if len(others) <= best else self._ranked(others)[:best])
        return scores + self.score([template for template in others if template in chosen])

    def score(self, templates: Sequence[str]) -> list[Score]:
        """Return the score of each template as `EmbeddingReward.score_batch` does. Its changes are known afterwards."""
        scores: list[Score] = []
        for part, embeddings in self._reward.encode_batch(templates, self._units):
            scores += self._reward.score_embeddings(part, list(embeddings), self._units)
            for rows in embeddings:  # a change in the second part makes room for the one that comes `last` places later
                beyond = max(0, self._known - self._first)
                np.subtract(rows, self._start, out=self._changes[min(self._known, self._first) + beyond % self._last])
                self._known += 1
        return scores

    def _ranked(self, templates: Sequence[str]) -> list[str]:
        """Return the templates in the order of their predicted scores, best first."""
        changes, start = self._changes[: self._known], self._start
        known = changes[:, self._few].reshape(len(changes), -1).astype(np.float64)
        gram = known @ known.T
        gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        scores: list[Score] = []
        for part, seen in self._reward.encode_batch(templates, self._units, self._few_names):
            target = (seen - start[self._few]).reshape(len(part), -1).astype(np.float64)
            weights = np.linalg.solve(gram, known @ target.T).T.astype(np.float32)
            for first in range(0, len(part), AT_ONCE):
                here = slice(first, first + AT_ONCE)
                rows = start + np.tensordot(weights[here], changes, axes=1)
                rows += (seen[here] - rows[:, self._few]).mean(axis=1, keepdims=True)  # what all classes have in common
                rows[:, self._few] = seen[here]
                rows /= np.linalg.norm(rows, axis=2, keepdims=True)
                scores += self._reward.score_embeddings(part[here], list(rows), self._judging)
        return [score.template for score in sorted(scores, key=lambda score: score.rank, reverse=True)]
