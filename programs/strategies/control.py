"""The base of controls, which ask as another strategy does and change only what it is shown."""

from __future__ import annotations

from typing import ClassVar

from ipo_prompts.programs.strategies.base import Desk, Expected, Forecast, Shown, Strategy


class Control:
    """Asks as `inner` does; the `look` of a subclass says what `inner` is shown."""

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner

    def ask(self, shown: Shown, desk: Desk) -> None:
        """Ask as the other strategy."""
        self.inner.ask(shown, desk)

    def forecast(self, expected: Expected) -> Forecast:
        """Estimate as the other strategy."""
        return self.inner.forecast(expected)
