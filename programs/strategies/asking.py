"""Shared by the strategies that ask a language model: showing the history, and asking through DSPy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from ipo.programs.strategies.base import SearchState, Shown, ShownTemplate

if TYPE_CHECKING:
    import dspy


class HistorySettings(BaseModel, extra="forbid", frozen=True):
    """Which part of the history is shown."""

    size: int = Field(12, ge=0, description="scored templates that the language model sees; 0 for none")
    pin_initial: bool = Field(True, description="always show the initial template")
    floor: float = Field(0.0, ge=0, le=1, description="value under which templates are not shown")
    one_by_one: bool = Field(False, description="ask for each template of a step in a request of its own, once")


class ShowsHistory:
    """Shows a language model the best templates so far.

    Args:
        lm: the model to ask; the one of `dspy.context` when None.
        settings: what the model is shown; or its fields as keywords.
    """

    def __init__(self, lm: dspy.LM | None = None, settings: HistorySettings | None = None, **fields: Any) -> None:
        self.settings = settings or HistorySettings(**fields)
        self.lm = lm

    def look(self, state: SearchState) -> Shown:
        """Show the best templates, worst first."""
        chosen = state.history.view(
            self.settings.size, pin_initial=self.settings.pin_initial, floor=self.settings.floor
        )
        rows = [ShownTemplate(entry.template, entry.value, entry.loss) for entry in chosen]
        return Shown(state.task, state.class_names, state.descriptions, rows)

    @contextmanager
    def asking(self, **context: Any) -> Iterator[None]:
        """Let DSPy ask this model, if one was given, inside the block; an adapter that the user has set is kept."""
        import dspy

        from ipo.programs.lm.reading import BoundedChatAdapter

        if dspy.settings.adapter is None:
            context.setdefault("adapter", BoundedChatAdapter())
        with dspy.context(**({"lm": self.lm} if self.lm else {}), **context):
            yield


def call(predict: Any, inputs: dict[str, Any], config: dict[str, Any]) -> Any:
    """Ask a DSPy module; if it fails, raise the error that DSPy has wrapped."""
    import dspy

    from ipo.programs.lm.connect import explain

    try:
        return predict(**inputs, config=config)
    except dspy.LMError as error:
        if (shown := explain(error)) is error:
            raise
        raise shown from error


def excerpt(error: Any) -> str:
    """Return, on one line, an answer that could not be read; the next question may show it."""
    from ipo.programs.lm.reading import whole_characters

    return str(whole_characters(" ".join(str(getattr(error, "lm_response", "") or "").split())))
