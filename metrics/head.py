"""The head of a program: the numbers with which it decides. A head needs neither templates nor texts."""

from __future__ import annotations

from dataclasses import dataclass

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import softmax


@dataclass(frozen=True, eq=False)
class Head:
    """The part of a program behind the CLIP's picture tower: mainly one matrix and one bias.

    The template, synonyms and labelled pictures are already part of these numbers.

    Attributes:
        rows: the matrix that features are multiplied by, float32 (C, D). If words decide alone, its rows have length 1.
        scale: the factor that cosines are multiplied by to give logits.
        bias: the sum of the CLIP's bias and the bias of the pictures, float32 (C,). It is added to the logits.
        temperature: the number that logits are divided by before they become probabilities; 1.0 if none was fitted.
    """

    rows: Floats
    scale: float
    bias: Floats
    temperature: float

    def logits(self, features: Floats) -> Floats:
        """Return the logits of each picture: float32 (n, C). `features` are float32 (n, D), unit rows."""
        return self.scale * (features @ self.rows.T) + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Return the probability of each class for each picture: float32 (n, C). Each row sums to 1."""
        return softmax(self.logits(features), self.temperature)
