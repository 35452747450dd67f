"""A plain strategy class, as the registry finds it: one of the user's own, `strategy=module:Class`, or a listed one."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from ipo_prompts.metrics.own_class import blaming, check_members
from ipo_prompts.metrics.registry import settings_of
from ipo_prompts.programs.strategies.base import Models, Strategy, asks_lm, needs_lm

MEMBERS = ("ask",)
"""What a class has to have; without `build` it is made with its settings as keywords."""


class OwnStrategy:
    """A class that is found by a name or by `module:Class`.

    Args:
        made: the class.
        what: asks for it, for messages: `strategy=mine:Waves`.

    Raises:
        InputError: it lacks something.
    """

    def __init__(self, made: type, what: str) -> None:
        check_members(made, MEMBERS, what, "strategies")
        self.Settings = settings_of(made, what)
        self.asks_lm, self.needs_lm = asks_lm(made), needs_lm(made)
        self._made, self._what = made, what

    def build(self, settings: BaseModel, models: Models) -> Strategy:
        """Make the strategy, see `Strategy.build`.

        Raises:
            InputError: it cannot be made; says where in its file.
        """
        with blaming(self._what):
            if hasattr(self._made, "build"):
                return cast("Strategy", self._made.build(settings, models))
            return cast("Strategy", self._made(**dict(settings)))
