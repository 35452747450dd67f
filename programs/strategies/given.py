"""A given list of templates instead of a language model: shows what can be gained without writing new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known, Models, Strategy

if TYPE_CHECKING:
    from ipo_prompts.programs.admission import Desk


class GivenSettings(BaseModel, extra="forbid", frozen=True):
    """Where the templates come from."""

    file: Path = Field(description="a text file, one template a line")


class GivenTemplates:
    """Proposes the templates of a list in their order, as many a step as are wanted.

    Args:
        templates: taken as they are; those that cannot be scored are refused with a reason.
    """

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

    def ask(self, known: Known, desk: Desk) -> None:
        """Propose the templates that follow the last one of the step before, which was filled."""
        before = [entry.template for entry in known.history if entry.step == known.step - 1 >= 0]
        position = self._templates.index(before[-1]) + 1 if before else 0
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
