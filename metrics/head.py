"""The head of a program, which decides, as one object of numbers and names. It needs neither templates nor texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.pictures import Background
from ipo_prompts.metrics.several import Sureness

SHARES = np.arange(1, 51) / 100
"""The shares of known pictures rejected; for each, the share of strangers found is estimated."""
BLOCK = 1024

Margin = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Calibrated(BaseModel):
    """The margins of pictures whose class is known, and what the margins depend on; see `metrics/rejection.py`.

    Attributes:
        fingerprint: the fingerprint of everything that a margin depends on.
        none: words for things that are known to be strange, beside the common nouns.
        margins: the margin of each picture, ascending.
        sizes: for each picture, how many pictures are variants of its base picture; empty where all are 1.
        classes: for each picture, the number of its class.
        held_back: for each picture, whether it was held back from the search.
        auroc: how well margins tell strangers, estimated by leaving out halves of the classes; None for few classes.
        found: the share of these strangers below the line that rejects each of `SHARES` of the known pictures; empty
            where `auroc` is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    none: Annotated[tuple[str, ...], Field(max_length=1000)]
    margins: tuple[Margin, ...]
    sizes: tuple[Annotated[int, Field(ge=1, le=10**6)], ...] = ()
    classes: tuple[Annotated[int, Field(ge=0)], ...] = ()
    held_back: tuple[bool, ...] = ()
    auroc: Share | None = None
    found: tuple[Share, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Calibrated:
        for what in ("sizes", "classes", "held_back"):
            if (count := len(getattr(self, what))) not in (0, len(self.margins)):
                raise ValueError(f"{what} has {count} entries and there are {len(self.margins)} margins")
        if list(self.margins) != sorted(self.margins):
            raise ValueError("the margins are not in ascending order")
        if len(self.found) not in (0, len(SHARES)):
            raise ValueError(f"found has {len(self.found)} shares, not {len(SHARES)}")
        return self


@dataclass(frozen=True, eq=False)
class Head:
    """One matrix and one bias on top of a CLIP's picture tower; they contain templates, synonyms, offsets and pictures.

    Attributes:
        class_names: the C class names, in label order.
        classes: float32 (C, D), unit rows: the class embeddings of the words alone.
        scale: the factor of cosines.
        bias: float32 (C,), added to the logits: the CLIP's bias, the offsets, and the bias of the pictures.
        temperature: the divisor of logits before they become probabilities; 1.0 where none was fitted.
        fingerprint: the fingerprint of the CLIP's weights and picture transform.
        background: how the pixels of pictures are read.
        rejection: the margins from which lines are drawn; None where no margins were measured.
        others: float32 (V, D), unit rows: embeddings of what is none of the classes; None where that is not asked.
        sureness: gives a probability for each class by itself, where a picture may show several classes; None where
            the classes compete.
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
        """The rows that a picture is compared with: float32 (C, D), unit rows where words decide alone."""
        return self.classes if self.pictures is None else self.classes + self.pictures

    def logits(self, features: Floats) -> Floats:
        """Return the logits, float32 (n, C), of features, float32 (n, D) with unit rows."""
        return self.scale * (features @ self.rows.T) + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Return float32 (n, C), rows that sum to 1: the probability of each class, if the picture shows one of them.

        With `sureness` each class has a probability by itself, and rows need not sum to 1.
        """
        if self.sureness:
            return self.sureness.probabilities(self.logits(features))
        return softmax(self.logits(features), self.temperature)

    def margins(self, features: Floats) -> tuple[Floats, Floats | None]:
        """Return the highest cosine with a class in words, float32 (n,), and the margin, float32 (n,).

        The margin is this cosine minus the highest cosine with `others`; None if there are no `others`.
        """
        cosines = highest(features, self.classes)
        return cosines, None if self.others is None else np.asarray(cosines - highest(features, self.others))


def highest(features: Floats, rows: Floats) -> Floats:
    """Return the highest cosine of each picture, (n, D), with some texts, (R, D), all unit rows: float32 (n,)."""
    blocks = [features[start : start + BLOCK] @ rows.T for start in range(0, len(features), BLOCK)]
    return np.concatenate([block.max(axis=1) for block in blocks]) if blocks else np.zeros(0, dtype=np.float32)
