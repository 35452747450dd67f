"""What a program decides with, as one object: numbers and names. Neither templates nor texts are needed for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.pictures import Background
from ipo_prompts.metrics.rejection import Calibrated, highest
from ipo_prompts.metrics.several import Sureness


@dataclass(frozen=True, eq=False)
class Head:
    """One matrix and a bias above a CLIP's picture tower: templates, synonyms, offsets and pictures are in them.

    Attributes:
        class_names: C, in label order.
        classes: float32 (C, D), unit rows, of the words alone.
        scale: what cosines are multiplied by.
        bias: float32 (C,), added to the logits: the CLIP's own, the offsets, and that of the pictures.
        temperature: what logits are divided by before they become probabilities; 1.0 where none was fitted.
        fingerprint: of the CLIP's weights and picture transform.
        background: how the pixels of pictures are read.
        rejection: the margins that lines are drawn through; None where none were taken.
        sureness: makes a probability of each class by itself, where a picture may show several; None where the classes
            compete.
        others: float32 (V, D), unit rows, of what is none of the classes; None where that is not asked.
        pictures: float32 (C, D), what labelled pictures add to `classes`; None where words decide alone.
    """

    class_names: tuple[str, ...]
    classes: Floats
    scale: float
    bias: Floats
    temperature: float
    fingerprint: str
    background: Background
    rejection: Calibrated | None = None
    others: Floats | None = None
    sureness: Sureness | None = None
    pictures: Floats | None = None

    @property
    def rows(self) -> Floats:
        """What a picture is compared with: float32 (C, D), unit rows where words decide alone."""
        return self.classes if self.pictures is None else self.classes + self.pictures

    def logits(self, features: Floats) -> Floats:
        """Return the logits of pictures by their features, float32 (n, D) with unit rows: float32 (n, C)."""
        return self.scale * (features @ self.rows.T) + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Return float32 (n, C), rows that sum to 1: how sure a class is, if the picture shows one of them.

        With `sureness` each class is by itself, and rows sum to nothing in particular.
        """
        if self.sureness:
            return self.sureness.probabilities(self.logits(features))
        return softmax(self.logits(features), self.temperature)

    def margins(self, features: Floats) -> tuple[Floats, Floats | None]:
        """Return the highest cosine with a class in words, float32 (n,), and its margin over that with others."""
        cosines = highest(features, self.classes)
        return cosines, None if self.others is None else np.asarray(cosines - highest(features, self.others))
