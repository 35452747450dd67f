"""The head of a program: the numbers and names with which it decides. A head needs neither templates nor texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.decoding import Background

SHARES = np.arange(1, 51) / 100
"""Shares of known pictures that are rejected.

For each, `Calibrated.found` has the estimated share of strangers (pictures of none of the classes) that are rejected.
"""
BLOCK = 1024

Margin = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Calibrated(BaseModel):
    """The margins of pictures whose class is known; see `metrics/rejection.py`.

    Attributes:
        fingerprint: a fingerprint of everything that a margin depends on.
        none: words for things that are none of the classes, in addition to the common nouns.
        margins: the margin of each picture, ascending.
        sizes: for each picture, how many pictures are variants of its base picture; empty if all sizes are 1.
        classes: for each picture, the number of its class.
        held_back: for each picture, whether it was held back from the search.
        auroc: how well margins tell strangers from known pictures, from 0 to 1. It is estimated by leaving out halves
            of the classes, whose pictures are then the strangers; None if there are few classes.
        found: for each of `SHARES`, the share of strangers below the line that rejects this share of the known
            pictures; empty if `auroc` is None.
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
    """The part of a program behind the CLIP's picture tower: mainly one matrix and one bias.

    Templates, synonyms and labelled pictures are already part of these numbers.

    Attributes:
        class_names: the C class names, in label order.
        classes: the class embeddings by words alone, float32 (C, D), unit rows.
        scale: the factor that cosines are multiplied by to give logits.
        bias: the sum of the CLIP's bias and the bias of the pictures, float32 (C,). It is added to the
            logits.
        temperature: the number that logits are divided by before they become probabilities; 1.0 if none was fitted.
        fingerprint: the fingerprint of the CLIP's weights and picture transform.
        background: how the pixels of pictures are read.
        rejection: the margins of known pictures, from which a line for rejecting is computed; None if no margins were
            measured.
        others: the embeddings of things that are none of the classes, float32 (V, D), unit rows; None if the program
            does not ask whether a picture shows none of the classes.
        pictures: the matrix that labelled pictures add to `classes`, float32 (C, D); None if words decide alone.
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
    pictures: Floats | None = None

    @property
    def rows(self) -> Floats:
        """The matrix that features are multiplied by: float32 (C, D). If words decide alone, its rows have length 1."""
        return self.classes if self.pictures is None else self.classes + self.pictures

    def logits(self, features: Floats) -> Floats:
        """Return the logits of each picture: float32 (n, C). `features` are float32 (n, D), unit rows."""
        return self.scale * (features @ self.rows.T) + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Return the probability of each class for each picture: float32 (n, C). Each row sums to 1."""
        return softmax(self.logits(features), self.temperature)

    def margins(self, features: Floats) -> tuple[Floats, Floats | None]:
        """Return two numbers for each picture: its highest cosine with `classes`, and its margin; each float32 (n,).

        The margin is this cosine minus the highest cosine with `others`. It is None if there are no `others`.
        """
        cosines = highest(features, self.classes)
        return cosines, None if self.others is None else np.asarray(cosines - highest(features, self.others))


def highest(features: Floats, rows: Floats) -> Floats:
    """Return the highest cosine of each picture with any of the rows: float32 (n,).

    `features` are (n, D) and `rows` are (R, D), both with unit rows.
    """
    blocks = [features[start : start + BLOCK] @ rows.T for start in range(0, len(features), BLOCK)]
    return np.concatenate([block.max(axis=1) for block in blocks]) if blocks else np.zeros(0, dtype=np.float32)
