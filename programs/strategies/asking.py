"""Shared by the strategies that ask a language model: showing the history, and asking through DSPy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.programs.strategies.base import Known
    from ipo_prompts.programs.templates.history import ScoredTemplate


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

    def chosen(self, known: Known) -> list[ScoredTemplate]:
        """Return the templates that a question shows: the best, worst first."""
        shown = self.settings
        return known.history.view(shown.size, pin_initial=shown.pin_initial, floor=shown.floor or float("-inf"))

    @contextmanager
    def asking(self, *, as_json: bool = False, **context: Any) -> Iterator[None]:
        """Let DSPy ask this model, if one was given, inside the block; an adapter that the user has set is kept.

        A call is one question: DSPy's second try as JSON would be another that nobody counted on.
        """
        import dspy

        from ipo_prompts.programs.lm.replies import BoundedChatAdapter, BoundedJSONAdapter

        if dspy.settings.adapter is None and "adapter" not in context:
            chat = BoundedChatAdapter(use_json_adapter_fallback=False)
            context["adapter"] = BoundedJSONAdapter() if as_json else chat
        with dspy.context(**({"lm": self.lm} if self.lm else {}), **context):
            yield


def ask_lm(predict: Any, inputs: dict[str, Any], config: dict[str, Any]) -> Any:
    """Ask a DSPy module; if it fails, raise the error that DSPy has wrapped."""
    import dspy

    from ipo_prompts.programs.lm.ledger import explain

    try:
        return predict(**inputs, config=config)
    except dspy.LMError as error:
        if (shown := explain(error)) is error:
            raise
        raise shown from error


def excerpt(error: Any) -> str:
    """Return, on one line, an answer that could not be read; the next question may show it."""
    from ipo_prompts.programs.lm.replies import whole_characters

    answer = getattr(error, "lm_response", "")
    return str(whole_characters(" ".join(answer.split()))) if isinstance(answer, str) else ""


def why_unreadable(error: Any) -> str:
    """Say what is wrong with an answer that could not be read."""
    if was_cut_off():
        return "the answer was cut off at its limit of tokens before a template was whole; max_tokens= raises it"
    return "the answer was not a list of templates" if excerpt(error) else "the answer was empty"


def was_cut_off() -> bool:
    """Whether the model's last reply ended at the token limit."""
    import dspy

    lm = dspy.settings.lm
    if not lm or not lm.history:
        return False
    response = lm.history[-1].get("response")
    reason = getattr(response, "finish_reason", None)
    if reason is None and getattr(response, "choices", None):
        reason = response.choices[0].finish_reason
    return bool(reason == "length")
