"""Ask a small local model for one template at a time, under a grammar, with some of the known words banned.

The grammar admits nothing but a template, and the ban makes used words unlikely. With both, nearly every reply of a
model of half a billion parameters is a new and valid template. The model still sees the scored history.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from ipo_prompts.metrics.class_names import every_name
from ipo_prompts.programs.strategies.asking import HistorySettings, ShowsHistory, ask_lm, excerpt
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known, Models, Strategy

if TYPE_CHECKING:
    from ipo_prompts.programs.admission import Desk, Refuse

TRIES_EACH = 3
"""The model is asked at most this often for each template that is wanted."""
PROMPT_TOKENS = 420
"""Measured: the prompt with twelve scored templates."""
TEMPLATE_TOKENS = 18
USUAL_TRIES = 1.3
"""Measured: calls per usable template."""


class SmallModelStrategy(ShowsHistory):
    """Asks a small local model, showing it the best templates so far.

    Args:
        lm: a model whose engine supports grammars and `logit_bias`, such as that of `programs.lm.local.local_lm`.
        settings: what the model is shown; or its fields as keywords.

    Example:
        >>> import dspy
        >>> import numpy as np
        >>> from ipo_prompts.metrics.reward import Score
        >>> from ipo_prompts.metrics.template import problem
        >>> from ipo_prompts.programs.admission import Desk
        >>> from ipo_prompts.programs.history import PromptHistory, ScoredTemplate
        >>> from ipo_prompts.programs.lm.local import local_lm
        >>> engine, name = local_lm("local/small")
        >>> strategy = SmallModelStrategy(dspy.LM(name, engine=engine, temperature=1.0, cache=False))
        >>> start = Score("a photo of a <CLASS>.", 0.5, 1.0, np.array([True, False]), np.array([0.5, 1.5]))
        >>> desk = Desk(problem, count=1)
        >>> strategy.ask(Known("pictures of pets", PromptHistory(ScoredTemplate(start, -1, "initial"))), desk)
        >>> [problem(template) for template in desk.accepted]
        [None]
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = HistorySettings

    @classmethod
    def build(cls, settings: HistorySettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(models.lm, settings)

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask for one template after another, until there are enough or the tries are used up."""
        import dspy

        from ipo_prompts.programs.strategies.small_text import SmallModelAdapter, quality_problem, words_to_ban
        from ipo_prompts.signatures.propose_one import ProposeTemplate, short_line

        propose = dspy.Predict(ProposeTemplate)
        shown = self.chosen(known)
        inputs = {
            "task": known.task,
            "image_descriptions": "\n".join(known.descriptions).splitlines(),
            "scored_templates": [short_line(entry.template, entry.value, known.scale) for entry in shown],
            "findings": list(known.findings),
        }
        used = [entry.template for entry in shown]
        # Words of longer names are not banned: "black bear" must not ban "black", which may describe the pictures.
        one_word = [name for name in every_name(known.class_names) if " " not in name.replace("_", " ")]
        extra: Refuse = lambda template: quality_problem(template, known.class_names)  # noqa: E731
        rng = random.Random(known.seed)
        with self.asking(adapter=SmallModelAdapter()):
            for attempt in range(TRIES_EACH * desk.count):
                config: dict[str, Any] = {
                    "seed": rng.getrandbits(31),
                    "rollout_id": known.seed * 100 + attempt,
                    "logit_bias": words_to_ban(used, desk.accepted, rng, always=one_word),
                }
                try:
                    text = ask_lm(propose, inputs, config).template
                except dspy.AdapterParseError as error:
                    desk.refuse(excerpt(error), "the answer was not a template")
                    continue
                if text:
                    desk.admit(text, extra=extra)
                if desk.missing <= 0:
                    return

    def forecast(self, expected: Expected) -> Forecast:
        """Count a call for each template, and some retries."""
        settings = expected.settings
        calls = round(settings.steps * settings.candidates_per_step * USUAL_TRIES)
        return Forecast(calls, calls * PROMPT_TOKENS, calls * TEMPLATE_TOKENS)
