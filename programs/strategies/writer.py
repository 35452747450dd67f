"""A language model that writes templates. The paper's strategy: it sees the best templates with their scores.

One structured call returns all templates of a step. Refused templates are sent back once with the reasons. With
`one_by_one`, as in the paper's code, each template has a call of its own, and no call sees the other templates. The
parts of the question are in the paper's order (Du, Sun and Snoek, NeurIPS 2024).

`compose` lets it write without any history. A control stands below it: it asks as `history` does, but knows no template
and no score. It shows how much the best of equally many proposals gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.metrics.template import MAX_CHARACTERS, SLOT, normalise, with_slot
from ipo_prompts.programs.phrases import LONGEST_LOOK, MANY_CLASSES, Vocabulary, look_of
from ipo_prompts.programs.strategies.base import Expected, Forecast, most_tokens

if TYPE_CHECKING:
    from ipo_prompts.programs.bench import Bench, Rejection

LONGEST_TEMPLATE = (SLOT + " ox" * MAX_CHARACTERS)[:MAX_CHARACTERS]
"""A template of short words. Each word is one token, and the template has about 100 tokens; a CLIP reads at most 77."""
REFUSALS_SHOWN = 10
"""The most refused templates that a question repeats."""
LONGEST_REFUSAL = 140
"""The most bytes of a refused text with its reason in a question. No tokenizer makes more tokens than bytes."""


class WriterSettings(BaseModel, extra="forbid", frozen=True):
    """What the language model sees."""

    size: int = Field(12, ge=0, description="how many scored templates the language model sees; 0: none")
    pin_initial: bool = Field(True, description="always show the initial template")
    floor: float = Field(0.0, ge=0, le=1, description="templates with a lower score are not shown")
    phrases: bool = Field(
        True, description="show the phrases of the vocabulary that score best, if no describer describes the images"
    )
    one_by_one: bool = Field(False, description="ask for each template in a request of its own, and do not ask again")


class Writer:
    """Asks a language model for templates, and shows it the best templates so far.

    A small local model is asked for a template a line, under a grammar.

    Args:
        fields: what the model is shown, see `WriterSettings`.
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = WriterSettings

    def __init__(self, **fields: Any) -> None:
        self.settings = WriterSettings(**fields)
        self._look: tuple[str, ...] = ()

    def ask(self, bench: Bench) -> None:
        """Propose what the model writes. Without descriptions, the first step scores the phrases of the vocabulary."""
        if bench.step == 0 and self.settings.phrases and not bench.descriptions:
            self._look = look_of(bench)
        for template in self.write(bench, bench.descriptions or self._look, bench.count):
            bench.propose([template])

    def write(self, bench: Bench, described: Sequence[str], count: int) -> Iterator[str]:
        """Yield up to `count` new templates, as they come. All are written from the history before the first.

        Ask once. Ask again, with the reasons, if templates were refused or the answer was unreadable. With
        `one_by_one`, ask once for each template, and not again.

        Args:
            bench: the bench.
            described: how the images look.
            count: the number of templates that are wanted.
        """
        import dspy

        from ipo_prompts.programs.lm.replies import ask_lm, excerpt, items_of, was_cut_off, why_unreadable
        from ipo_prompts.signatures.propose import ProposeTemplates, history_line, on_scale

        shown = self.settings
        best = bench.history.view(shown.size, pin_initial=shown.pin_initial, floor=shown.floor or float("-inf"))
        asked = on_scale(ProposeTemplates, bench.scale)
        lines = [history_line(one.template, one.value, one.loss, bench.scale) for one in best]
        taken: list[str] = []
        alone, as_json = shown.one_by_one, False
        for attempt in range(count if alone else 2):
            wanted, refused = (1, []) if alone else (count - len(taken), refusals(bench.refused))
            inputs = propose_inputs(bench.task, described, lines, wanted, refused)
            try:
                # A new number: otherwise a cache would answer a repeated question.
                templates = ask_lm(asked, inputs, bench.seed * 2 + attempt, as_json=as_json).templates
            except dspy.AdapterParseError as error:
                as_json = not alone
                templates = items_of(str(error.lm_response or ""))
                if not templates:
                    bench.refuse(excerpt(error), why_unreadable(error))
            bench.written = bench.written or 0
            answer = list(templates) if isinstance(templates, list) else [templates]
            if was_cut_off():
                answer = answer[:-1]  # the token limit cut the last template
            for text in answer[:1] if alone else answer:
                named = with_slot(normalise(text), bench.class_names) if isinstance(text, str) else text
                template = bench.cleaned(named)
                if bench.admits(template, taken, count):
                    taken.append(template)
                    bench.written += 1
                    yield template
            if len(taken) >= count:
                return

    def forecast(self, expected: Expected) -> Forecast:
        """Return a forecast with one call for each step (`one_by_one`: for each template).

        Each question has a full history of the longest templates. Tokens are bounded, not guessed: a byte-level
        tokenizer makes at most one token of each byte.
        """
        from ipo_prompts.signatures.propose import ProposeTemplates, history_line

        settings = expected.settings
        scored = Forecast()
        if self.settings.phrases and not expected.description_characters:
            many = expected.classes > MANY_CLASSES
            scored = Forecast(scored_only=len(Vocabulary.load().phrases), promising_only=many)
        each = 1 if self.settings.one_by_one else settings.candidates_per_step
        calls = settings.steps * settings.candidates_per_step // each
        lines = [history_line(LONGEST_TEMPLATE, 0.5, 1.0)] * self.settings.size
        descriptions = ["x" * (LONGEST_LOOK if scored.scored_only else expected.description_characters)]
        inputs = propose_inputs(expected.task, descriptions, lines, each, ())
        tokens = most_tokens(ProposeTemplates, inputs)
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


def refusals(refused: Sequence[Rejection]) -> list[str]:
    """Return the last refused templates, each with the reason in brackets. A long text is shortened."""
    return [_refusal(rejection) for rejection in refused[-REFUSALS_SHOWN:]]


def _refusal(rejection: Rejection) -> str:
    text = rejection.template
    reason = f" ({rejection.shown})"
    if _size(text + reason) <= LONGEST_REFUSAL:
        return text + reason
    reason = _beginning(reason, LONGEST_REFUSAL // 2)
    return _beginning(text, LONGEST_REFUSAL - _size("…" + reason)) + "…" + reason


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _beginning(text: str, most: int) -> str:
    """Return the beginning of a text that fits into `most` bytes. Half characters become question marks."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


class NoHistory(Writer):
    """A control: asks the questions of `history` in every step, without any template or score."""

    knows_history: ClassVar[bool] = False
    Settings: ClassVar[type[BaseModel]] = NoSettings

    def __init__(self) -> None:
        super().__init__(size=0)
