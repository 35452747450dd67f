"""A given list of templates instead of a language model: shows what can be gained without writing new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.strategies.base import (
    Desk,
    Expected,
    Forecast,
    Models,
    SearchState,
    Shown,
    Strategy,
)


class GivenSettings(BaseModel, extra="forbid", frozen=True):
    """Where the templates come from."""

    file: Path = Field(description="a text file, one template a line")


@dataclass(frozen=True)
class _Shown(Shown):
    """Nothing of the search, and where the list goes on."""

    start: int = 0


class GivenTemplates:
    """Proposes the templates of a list in their order, as many a step as are wanted.

    Args:
        templates: taken as they are; those that cannot be scored are refused with a reason.
    """

    asks_lm: ClassVar[bool] = False
    needs_lm: ClassVar[bool] = False
    Settings: ClassVar[type[BaseModel]] = GivenSettings

    def __init__(self, templates: Sequence[str]) -> None:
        self._templates = (templates,) if isinstance(templates, str) else tuple(templates)

    @classmethod
    def build(cls, settings: GivenSettings, models: Models) -> Strategy:
        """Read the list.

        Raises:
            InputError: the file cannot be read.
        """
        return cls(read_templates(settings.file))

    def look(self, state: SearchState) -> Shown:
        """Show nothing; the list goes on after the last template of the step before, which was filled."""
        before = [entry.template for entry in state.history if entry.step == state.step - 1 >= 0]
        start = self._templates.index(before[-1]) + 1 if before else 0
        return _Shown(state.task, state.class_names, start=start)

    def ask(self, shown: Shown, desk: Desk) -> None:
        """Propose the next templates of the list."""
        position = shown.start if isinstance(shown, _Shown) else 0
        while desk.missing > 0 and position < len(self._templates):
            desk.admit(self._templates[position], as_it_is=True)
            position += 1
        if position == len(self._templates):
            desk.finish("the list of templates is used up")

    def forecast(self, expected: Expected) -> Forecast:
        """Return zeros: no language model is asked.

        Raises:
            InputError: the list is longer than the search: its end would never be tried.
        """
        settings, count = expected.settings, len(self._templates)
        needed = math.ceil(count / settings.candidates_per_step)
        if needed > settings.steps:
            raise InputError(
                f"the list has {count} templates and steps={settings.steps} of {settings.candidates_per_step} try "
                f"{settings.steps * settings.candidates_per_step} of them; write steps={needed}."
            )
        return Forecast()
