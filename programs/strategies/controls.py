"""The controls: each asks as `history` does, and is a function that changes what may be known.

What a search gains with shuffled scores, it gains without knowing which template was good; what it gains without a
history is the best of as many proposals.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.programs.strategies.asking import HistorySettings
from ipo_prompts.programs.strategies.base import Knowing, Known, Models, Strategy
from ipo_prompts.programs.strategies.history import HistoryStrategy
from ipo_prompts.programs.templates.history import PromptHistory


def no_history(known: Known) -> Known:
    """Leave out every template and score but for the initial one."""
    return replace(known, history=PromptHistory(known.history.initial), looked=())


def shuffled(known: Known) -> Known:
    """Give each template another's score, and each picture another's class.

    All of them, before the best are chosen: the choice must not reveal which they are.
    """
    import numpy as np

    rng = random.Random(known.seed)
    history = known.history.shuffled(rng)
    labels = known.labels
    if labels is not None:
        labels = np.array(rng.sample(labels.tolist(), len(labels)))
        labels.setflags(write=False)
    scores = rng.sample(known.looked, len(known.looked))
    pairs = zip(known.looked, scores, strict=True)
    looked = tuple(replace(one, value=giver.value, loss=giver.loss) for one, giver in pairs)
    return replace(known, history=history, labels=labels, looked=looked)


class NoHistory(Knowing):
    """Asks the same questions as `history` in every step, without any template or score."""

    Settings: ClassVar[type[BaseModel]] = NoSettings

    @classmethod
    def build(cls, settings: NoSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(HistorySettings(size=0), models), no_history)


class Shuffled(Knowing):
    """Asks as `history` does, and shows each template with another's score."""

    Settings: ClassVar[type[BaseModel]] = HistorySettings

    @classmethod
    def build(cls, settings: HistorySettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(settings, models), shuffled)
