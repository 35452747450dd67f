"""Compositions in another order: which of those that are scored reach the choice."""

from __future__ import annotations

from typing import Any
from unittest import mock

from ipo_prompts.programs.strategies import compose
from ipo_prompts.programs.strategies.base import Known
from ipo_prompts.programs.templates.admission import Desk


class ByLoss(compose.Compose):
    """The default strategy, with compositions ordered by their mean loss alone, without a price for words."""

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask as the default strategy does."""

        def by_loss(score: Any, word: float) -> tuple[float, float]:
            return (-score.loss, score.value)

        with mock.patch.object(compose, "worth", by_loss):
            super().ask(known, desk)
