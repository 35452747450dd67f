"""The describer `fit`: how pictures look, told without their labels.

A phrase fits pictures when a template with it has a high log Σ exp(logit) over the names of the classes
(`metrics/fit.py`). That finds how pictures look. That right names find it better is not shown for shifted pictures, but
for clean ones those of other things may find what is not there (docs/label-free.md): names of common things only stand
in where there are no classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.nouns import common
from ipo_prompts.programs.describers.interrogator import MAX_CLASSES, Encoder, Gains, Interrogator
from ipo_prompts.programs.phrases import PhraseBank


class FitInterrogator(Interrogator):
    """Says phrase by phrase which looks fit pictures best, whatever they show; see `Interrogator`."""

    def __init__(self, clip: Encoder, phrases: PhraseBank | None = None, top: int = 6, examples: int = 0) -> None:
        super().__init__(clip, phrases, top, examples, greedy=True)

    def _gains(
        self, features: Floats, labels: npt.NDArray[Any] | None, class_names: Sequence[str], templates: Sequence[str]
    ) -> Gains:
        """Gains in fit over the first template: float64 (templates - 1, n), nats; no label is looked at."""
        from ipo_prompts.metrics.fit import softmax_fits  # brings torch
        from ipo_prompts.metrics.text_tower import encode_classes

        names = [class_names[i] for i in spread(len(class_names), MAX_CLASSES)] if class_names else common(MAX_CLASSES)
        rows = encode_classes(self.clip.encode_texts, templates, names)
        fits = np.stack([softmax_fits(self.clip.logit_scale * (features @ classes.T)) for classes in rows])
        gains: Gains = fits[1:] - fits[0]
        return gains
