"""The control for the scores in the history: the same templates, each shown with another's score.

What a search gains with it, it gains without knowing which template was good. Where findings are shown, they come from
the shuffled scores, and from true classes shuffled among the pictures.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from ipo_prompts.programs.strategies.asking import HistorySettings
from ipo_prompts.programs.strategies.base import Models, SearchState, Shown, Strategy
from ipo_prompts.programs.strategies.control import Control
from ipo_prompts.programs.strategies.feedback import Feedback, FeedbackSettings
from ipo_prompts.programs.strategies.history import HistoryStrategy


class Shuffled(Control):
    """Asks as another strategy does, but shows each template with another's score."""

    Settings: ClassVar[type[BaseModel]] = HistorySettings

    @classmethod
    def build(cls, settings: HistorySettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(settings, models))

    def look(self, state: SearchState) -> Shown:
        """Shuffle before the best are chosen: the choice must not reveal which they are."""
        import numpy as np

        rng = random.Random(state.seed)
        mixed = state.history.shuffled(rng)
        labels = None if state.labels is None else np.array(rng.sample(state.labels.tolist(), len(state.labels)))
        return self.inner.look(replace(state, history=mixed, labels=labels))


class ShuffledFeedback(Shuffled):
    """Asks as `feedback` does, with findings from shuffled scores and shuffled classes."""

    Settings: ClassVar[type[BaseModel]] = FeedbackSettings

    @classmethod
    def build(cls, settings: FeedbackSettings, models: Models) -> Strategy:  # type: ignore[override]
        """See `Strategy`."""
        return cls(Feedback.build(settings, models))
