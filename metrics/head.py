"""What a program decides with, as one object: numbers and names. Neither templates nor texts are needed for it."""

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
"""The shares of known pictures rejected for which it is estimated how many strangers are found."""
BLOCK = 1024

Margin = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Calibrated(BaseModel):
    """The margins of pictures whose class is known, and what they are margins of; see `metrics/rejection.py`.

    Attributes:
        fingerprint: of all that a margin depends on.
        none: words for what is known to be strange, beside the common nouns.
        margins: of each picture, ascending.
        sizes: of each, how many pictures are variants of its base picture; empty where all are 1.
        classes: of each, the number of its class.
        held_back: of each, whether it was held back from the search.
        auroc: how well margins tell strangers, estimated by leaving halves of the classes out; None for few classes.
        found: the share of these strangers below the line where `SHARES` of the known ones are; empty with `auroc`.
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
            raise ValueError(f"found has {len(self.found)} shares and not {len(SHARES)}")
        return self


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


def highest(features: Floats, rows: Floats) -> Floats:
    """Return the highest cosine of n pictures, (n, D), with some texts, (R, D), all unit rows: float32 (n,)."""
    blocks = [features[start : start + BLOCK] @ rows.T for start in range(0, len(features), BLOCK)]
    return np.concatenate([block.max(axis=1) for block in blocks]) if blocks else np.zeros(0, dtype=np.float32)
