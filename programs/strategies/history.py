"""The paper's strategy: a language model sees the best templates with their scores, and writes better ones.

One structured call returns all templates of a step. Refused templates are sent back once with the reasons. With
`one_by_one`, as in the paper's code, each template has a call of its own, and no call sees the other templates. The
parts of the question are in the paper's order (Du, Sun and Snoek, NeurIPS 2024).

A control stands below the strategy. It asks as `history` does, but knows no template and no score. It shows how much
the best of equally many proposals gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.metrics.template import MAX_CHARACTERS, SLOT, normalise, with_slot
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known, Models, Strategy, forecast_of
from ipo_prompts.programs.strategies.looks import LONGEST, MANY_CLASSES, look_of
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.templates.phrases import Vocabulary

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.programs.templates.admission import Desk


LONGEST_TEMPLATE = (SLOT + " ox" * MAX_CHARACTERS)[:MAX_CHARACTERS]
"""A template of short words. Each word is one token, and the template has about 100 tokens; a CLIP reads at most 77."""


class HistorySettings(BaseModel, extra="forbid", frozen=True):
    """What the language model sees."""

    size: int = Field(12, ge=0, description="how many scored templates the language model sees; 0: none")
    pin_initial: bool = Field(True, description="always show the initial template")
    floor: float = Field(0.0, ge=0, le=1, description="templates with a lower score are not shown")
    phrases: bool = Field(
        True, description="show the phrases of the vocabulary that score best, if no describer describes the pictures"
    )
    one_by_one: bool = Field(False, description="ask for each template in a request of its own, and do not ask again")


class ShowsHistory:
    """Shows a language model the best templates so far.

    Args:
        lm: the model to ask; None uses the model of `dspy.context`.
        settings: what the model is shown; the fields can also be given as keywords.
    """

    small = False
    """Whether the model is a small local one."""

    def __init__(self, lm: dspy.LM | None = None, settings: HistorySettings | None = None, **fields: Any) -> None:
        self.settings = settings or HistorySettings(**fields)
        self.lm = lm

    def chosen(self, known: Known) -> list[ScoredTemplate]:
        """Return the templates that a question shows: the best templates, the best of them last."""
        shown = self.settings
        return known.history.view(shown.size, pin_initial=shown.pin_initial, floor=shown.floor or float("-inf"))

    def described(self, known: Known, desk: Desk) -> Sequence[str]:
        """Return how the pictures look. Without descriptions, the first step scores the phrases of the vocabulary."""
        return known.descriptions or (look_of(known, desk) if self.settings.phrases else ())

    def phrases_scored(self, expected: Expected) -> Forecast:
        """Return the forecast of the phrases that are scored."""
        if expected.description_characters or not self.settings.phrases:
            return Forecast()
        return Forecast(scored_only=len(Vocabulary.load().phrases), promising_only=expected.classes > MANY_CLASSES)

    @contextmanager
    def asking(self, *, as_json: bool = False, **context: Any) -> Iterator[None]:
        """Return a context in which DSPy asks `self.lm`, if there is one. An adapter that the user has set stays.

        Each call is one question. DSPy's second try as JSON is switched off, because no forecast counts it.
        """
        import dspy

        if self.small:
            from ipo_prompts.programs.lm.local import LinesAdapter

            context["adapter"] = LinesAdapter()
        elif dspy.settings.adapter is None and "adapter" not in context:
            chat = dspy.ChatAdapter(use_json_adapter_fallback=False)
            context["adapter"] = dspy.JSONAdapter() if as_json else chat
        with dspy.context(**({"lm": self.lm} if self.lm else {}), **context):
            yield


class HistoryStrategy(ShowsHistory):
    """Asks any language model for templates, and shows it the best templates so far.

    Args:
        lm: the model to ask; None uses the model of `dspy.context`.
        settings: what the model is shown; the fields can also be given as keywords.

    Example:
        >>> import dspy
        >>> import numpy as np
        >>> from ipo_prompts.metrics.reward import Score
        >>> from ipo_prompts.metrics.template import problem
        >>> from ipo_prompts.programs.templates.admission import Desk
        >>> from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
        >>> start = Score("a photo of a <CLASS>.", 0.5, 1.0, np.array([True, False]), np.array([0.5, 1.5]))
        >>> desk = Desk(problem, count=2)
        >>> strategy = HistoryStrategy(dspy.LM("openai/gpt-4o-mini", temperature=1.0), size=20)
        >>> strategy.ask(Known("pictures of pets", PromptHistory(ScoredTemplate(start, -1, "initial"))), desk)
        >>> [problem(template) for template in desk.accepted]
        [None, None]
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = HistorySettings

    @classmethod
    def build(cls, settings: HistorySettings, models: Models) -> Strategy:
        """Make the strategy, see `Strategy`. A small model is asked for a template a line, under a grammar."""
        strategy = cls(models.lm, settings)
        strategy.small = models.small
        return strategy

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask once. Ask again, with the reasons, if templates were refused or the answer was unreadable.

        With `one_by_one`, ask once for each template, and not again.
        """
        import dspy

        from ipo_prompts.programs.lm.replies import ask_lm, excerpt, items_of, was_cut_off, why_unreadable
        from ipo_prompts.signatures.propose import ProposeTemplates, history_line, on_scale

        described = self.described(known, desk)
        propose = dspy.Predict(on_scale(ProposeTemplates, known.scale))
        lines = [history_line(entry.template, entry.value, entry.loss, known.scale) for entry in self.chosen(known)]
        alone, as_json = self.settings.one_by_one, False
        for attempt in range(desk.count if alone else 2):
            wanted, refused = (1, ()) if alone else (desk.missing, desk.refusals)
            inputs = propose_inputs(known.task, described, lines, wanted, refused)
            # A new rollout id: otherwise a cache would answer a repeated question.
            config = {"rollout_id": known.seed * 2 + attempt}
            with self.asking(as_json=as_json):
                try:
                    templates = ask_lm(propose, inputs, config).templates
                except dspy.AdapterParseError as error:
                    as_json = not alone
                    templates = items_of(str(error.lm_response or ""))
                    if not templates:
                        desk.refuse(excerpt(error), why_unreadable(error))
                        continue
                answer = list(templates) if isinstance(templates, list) else [templates]
                if was_cut_off():
                    answer = answer[:-1]  # the token limit cut the last template
            for text in answer[:1] if alone else answer:
                desk.admit(with_slot(normalise(text), known.class_names) if isinstance(text, str) else text)
            if desk.missing <= 0:
                return

    def forecast(self, expected: Expected) -> Forecast:
        """Return a forecast with one call for each step (`one_by_one`: for each template).

        Each question has a full history of the longest templates. Tokens are bounded, not guessed: a byte-level
        tokenizer makes at most one token of each byte.
        """
        import dspy

        from ipo_prompts.signatures.propose import ProposeTemplates, history_line

        settings, scored = expected.settings, self.phrases_scored(expected)
        each = 1 if self.settings.one_by_one else settings.candidates_per_step
        calls = settings.steps * settings.candidates_per_step // each
        lines = [history_line(LONGEST_TEMPLATE, 0.5, 1.0)] * self.settings.size
        descriptions = ["x" * (LONGEST if scored.scored_only else expected.description_characters)]
        inputs = propose_inputs(expected.task, descriptions, lines, each, ())
        question = dspy.ChatAdapter().format(ProposeTemplates, [], inputs)
        tokens = sum(len(str(message["content"]).encode()) for message in question)
        return replace(scored, calls=calls, tokens_in=calls * tokens, tokens_out=calls * expected.reply_tokens)


def propose_inputs(
    task: str,
    descriptions: Sequence[str],
    lines: Sequence[str],
    count: int,
    refused: Sequence[str],
) -> dict[str, Any]:
    """Return the inputs of `ProposeTemplates`. `lines` are the lines of the history, see `propose.history_line`."""
    return {
        "task": task,
        "image_descriptions": "\n".join(descriptions),
        "scored_templates": "\n".join(lines),
        "refused_templates": "\n".join(refused),
        "count": count,
    }


class NoHistory:
    """A control: asks the questions of `history` in every step, without any template or score."""

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = NoSettings

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner

    @classmethod
    def build(cls, settings: NoSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(HistorySettings(size=0), models))

    def may_know(self, known: Known) -> Known:
        """Return what is known without all templates and scores except the initial template and its score."""
        described = known.descriptions or look_of(known)
        return replace(known, history=PromptHistory(known.history.initial), scored_only=(), descriptions=described)

    def ask(self, known: Known, desk: Desk) -> None:
        """Let `history` ask; see `Strategy`."""
        self.inner.ask(known, desk)

    def forecast(self, expected: Expected) -> Forecast:
        """Return the forecast of `history`."""
        return forecast_of(self.inner, expected)
