"""The control for the history as a whole: the same questions without it, that is, the best of as many proposals."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.programs.strategies.asking import HistorySettings
from ipo_prompts.programs.strategies.base import Models, SearchState, Shown, Strategy
from ipo_prompts.programs.strategies.control import Control
from ipo_prompts.programs.strategies.history import HistoryStrategy


class NoHistory(Control):
    """Asks as another strategy does, but shows no template and no score."""

    Settings: ClassVar[type[BaseModel]] = NoSettings

    @classmethod
    def build(cls, settings: NoSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(HistorySettings(size=0), models))

    def look(self, state: SearchState) -> Shown:
        """Leave the templates out."""
        return replace(self.inner.look(state), templates=())
