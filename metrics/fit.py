"""Fit: how well a template, with whichever class name fits, describes pictures without labels. It is not accuracy.

Fit is a mean over pictures. For a CLIP with a softmax, the number of a picture is log Σ exp(logit), a sum over the
classes, at the CLIP's logit scale (Allingham et al. 2023, arXiv 2302.06235, score templates in a similar way). For a
sigmoid model, the number is log(1 - Π(1 - σ(logit))), the logarithm of the chance that the picture shows some class;
nobody has measured how well this works.

ipo docs label-free says what is known. Fit finds the style of pictures. On shifted pictures it is not shown to do worse
with wrong class names. If one template leads another in fit, this says little about which of them names more pictures
rightly. So each word has a price, and the initial template is replaced only if the lead is large. The unit of price and
lead is the standard deviation of fit over some templates (`yardstick`) on the same pictures, because a nat means
different things on different CLIPs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import BLOCK, ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.reward import Judged, Score
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.metrics.template import imagenet_templates, words


class Fit(ClipReward):
    """Scores templates by their fit, in nats, on pictures without labels.

    Args:
        clip, class_names, store, also_fit: see `ClipReward`.
        yardstick: the templates over which the standard deviation of fit is taken; by default CLIP's 80 templates.
        price: how much each word of a template with meaning (`words`) lowers its value, in standard deviations.
        lead: how far a template must lead the initial template to replace it, in standard deviations.

    Attributes:
        spread: the standard deviation of fit over the yardstick, in nats. It is measured on the pictures that are
            encoded first, and is 0 before. The same pictures give the same spread.
    """

    takes = "no label"

    def __init__(
        self,
        clip: Clip,
        class_names: Sequence[str],
        store: FeatureStore | None = None,
        also_fit: Sequence[str] = (),
        *,
        yardstick: Sequence[str] = (),
        price: float = 0.0,
        lead: float = 0.0,
    ) -> None:
        super().__init__(clip, class_names, store, also_fit)
        self._yardstick, self._price, self._lead = tuple(yardstick), price, lead
        self.spread = 0.0

    @property
    def scale(self) -> Scale:  # type: ignore[override]
        """The scale of values, in nats. It has no cost for words, because the value already contains their price."""
        return Scale(float("-inf"), float("inf"), word=0.0, percent=False, lead=self._lead * self.spread)

    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """See `ClipReward`."""
        fits = sigmoid_fits if self.clip.logit_bias else softmax_fits
        return Judged(fits(logits), predictions=logits.argmax(axis=1))

    def examples(self, examples: Sequence[Any]) -> EncodedPictures:
        """See `ClipReward`; an example needs only an `image`, and its `label` is ignored."""
        return self._measured(super().examples(examples))

    def encode(
        self,
        pictures: Sequence[Picture],
        labels: Sequence[int] | None = None,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> EncodedPictures:
        """Encode pictures; `labels` are ignored."""
        return self._measured(super().encode(pictures, None, groups, progress))

    def score_embeddings(self, names: Sequence[str], classes: Sequence[Floats], units: EncodedPictures) -> list[Score]:
        """See `EmbeddingReward`. The price of its words is subtracted from the score of each template."""
        found = super().score_embeddings(names, classes, units)
        costs = [self._price * self.spread * words(name) for name in names]
        return [
            replace(score, value=score.value - cost, hits=score.hits - cost) if cost else score
            for score, cost in zip(found, costs, strict=True)
        ]

    def _measured(self, pictures: EncodedPictures) -> EncodedPictures:
        """Return the pictures unchanged. If they are the first pictures, measure the spread on them."""
        if (self._price or self._lead) and not self.spread:
            templates = self._yardstick or imagenet_templates()
            usable = [template for template in templates if self.problem(template) is None]
            found = [score.value for score in self.score_batch(usable, pictures)]  # words cost nothing yet
            self.spread = float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
        return pictures


def softmax_fits(logits: Floats) -> Doubles:
    """Return log Σ exp(logit) for each row of logits: float32 (n, C) → float64 (n,), in nats.

    >>> softmax_fits(np.log(np.array([[1, 3], [2, 2]], dtype=np.float32))).round(6).tolist() == [1.386294, 1.386294]
    True
    """
    return _in_doubles(logits, _log_sums)


def sigmoid_fits(logits: Floats) -> Doubles:
    """Return log(1 - Π(1 - σ(logit))) for each row of logits: float32 (n, C) → float64 (n,), in nats, at most 0.

    >>> bool(np.isclose(np.exp(sigmoid_fits(np.zeros((1, 2), dtype=np.float32)))[0], 0.75))
    True
    """
    # log(1 - σ(x)) = -log(1 + exp(x)). If no class is likely, the sum is small, and expm1 keeps it exact.
    return _in_doubles(logits, lambda block: np.log(-np.expm1(-np.logaddexp(0, block).sum(axis=1))))


def _log_sums(block: Doubles) -> Doubles:
    highest = block.max(axis=1)  # this way is ten times as fast as logaddexp.reduce
    return np.asarray(highest + np.log(np.exp(block - highest[:, None]).sum(axis=1)))


def _in_doubles(logits: Floats, fit: Any) -> Doubles:
    found = np.empty(len(logits), dtype=np.float64)
    for start in range(0, len(logits), BLOCK):
        found[start : start + BLOCK] = fit(logits[start : start + BLOCK].astype(np.float64))
    return found
