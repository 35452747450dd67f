"""Ask a small local model for one template at a time, under a grammar, with some of the known words banned.

The grammar admits only a template, and the ban makes used words unlikely. With both, nearly every reply of a model of
half a billion parameters is a new and valid template. The model still sees the scored history.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import dspy
from dspy.lm15 import Config, Message, Request

from ipo_prompts.metrics.template import SLOT, content_words, every_name
from ipo_prompts.programs.lm.replies import ask_lm, excerpt
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known
from ipo_prompts.programs.strategies.history import ShowsHistory
from ipo_prompts.signatures.propose import (
    EXAMPLE_ANSWER,
    EXAMPLE_DESCRIPTIONS,
    EXAMPLE_HISTORY,
    EXAMPLE_KINDS,
    EXAMPLE_TASK,
    SYSTEM,
    SYSTEM_KINDS,
    ProposeTemplate,
    question,
    short_line,
)

if TYPE_CHECKING:
    from ipo_prompts.programs.templates.admission import Desk, Refuse


TRIES_EACH = 3
"""The most calls for each wanted template."""
PROMPT_TOKENS = 420
"""The measured number of tokens of a question with twelve scored templates."""
TEMPLATE_TOKENS = 18
USUAL_TRIES = 1.3
"""The measured number of calls for each usable template."""


class SmallModelStrategy(ShowsHistory):
    """Asks a small local model for templates, and shows it the best templates so far.

    Args:
        lm: a model whose engine supports grammars and `logit_bias`, such as the engine of `programs.lm.local.local_lm`.
        settings: what the model is shown; the fields can also be given as keywords.

    Example:
        >>> import dspy
        >>> import numpy as np
        >>> from ipo_prompts.metrics.reward import Score
        >>> from ipo_prompts.metrics.template import problem
        >>> from ipo_prompts.programs.templates.admission import Desk
        >>> from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
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

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask for one template after another, until there are enough templates or all tries are used up."""
        propose = dspy.Predict(ProposeTemplate)
        shown = self.chosen(known)
        inputs = {
            "task": known.task,
            "image_descriptions": "\n".join(known.descriptions).splitlines(),
            "scored_templates": [short_line(entry.template, entry.value, known.scale) for entry in shown],
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
        """Return a forecast with one call for each template, and some retries."""
        settings = expected.settings
        calls = round(settings.steps * settings.candidates_per_step * USUAL_TRIES)
        return Forecast(calls, calls * PROMPT_TOKENS, calls * TEMPLATE_TOKENS)


# The question to a small local model: grammar, chat and banned words. And the check of its replies.

EXAMPLE_TEXTS = (*(template for template, _ in EXAMPLE_HISTORY), EXAMPLE_ANSWER, *EXAMPLE_DESCRIPTIONS)

GRAMMAR = r"""
root   ::= lead? word " " (slot some | run slot any) "."
lead   ::= (word " "){0,5} word ", "
run    ::= (word " "){1,11}
any    ::= (" " word){0,12} clause?
some   ::= (" " word){1,12} clause? | clause
clause ::= "," (" " word){1,12}
slot   ::= "<CLASS>"
word   ::= [a-zA-Z] [a-z]{0,12} ("-" [a-z]{2,9})?
""".strip()
"""One line, one slot, plain words, at most one comma on each side of the slot. With more commas, the smallest model
writes lists that never end. The limits on word lengths are wide on purpose: under tight limits a small model joins
words."""

WORDS_GRAMMAR = r"""
root ::= word (", " word){0,3} "."?
word ::= [a-z] [a-z]{1,14} (" " [a-z]{2,14})?
""".strip()
SMALL_NAMES = 12
"""The most class names in the question for words."""

SAMPLING = {"temperature": 1.0, "top_p": 0.95, "top_k": 50, "max_tokens": 64}
MIN_P = 0.05
BAN_BIAS = -5.0
"""The bias on the logits of a banned word: the word becomes rare, not impossible."""
SLOT_BIAS = 1.5
"""The bias on the logits of the slot's first token. Without it, the smallest model rambles for a line before
it writes the slot. With it, 10 of 12 replies after a short history passed `quality_problem`; without it, 4."""
WORDS = range(3, 17)
"""The numbers of words that a template may have; the slot counts as one word."""


class SmallModelAdapter(dspy.Adapter):  # type: ignore[misc,unused-ignore]
    """Formats `ProposeTemplate` for a small local model.

    Refused templates are not shown on purpose: a small model copies what it is shown. The next try differs by its seed
    and its banned words. The LM's engine must be a `LocalEngine`: no other engine takes the grammar.
    `Predict(config=...)` may hold `seed`, `logit_bias`, `temperature`, `top_p`, `top_k`, `max_tokens`, `rollout_id` and
    `cache`; any other option is refused.
    """

    grammar: ClassVar[str] = GRAMMAR
    bias: ClassVar[tuple[tuple[str, float], ...]] = ((" <", SLOT_BIAS), ("<", SLOT_BIAS))

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask once and return `[{"template": text}]`, or what `parse` returns; the text is empty if it was cut off.

        Raises:
            TypeError: `lm_kwargs` holds an unknown option.
        """
        defaults = {key: value for key, value in lm.kwargs.items() if value is not None}
        options = {**SAMPLING, **defaults, **lm_kwargs}
        control = {key: options.pop(key) for key in ("rollout_id", "cache") if key in options}
        bias = [list(pair) for pair in (*self.bias, *(options.pop("logit_bias", None) or ()))]
        extensions = {"grammar": self.grammar, "min_p": MIN_P, "logit_bias": bias}
        system, *turns = self.format(signature, demos, inputs)
        request = Request(
            model=lm.model,
            system=system["content"],
            messages=tuple(getattr(Message, turn["role"])(turn["content"]) for turn in turns),
            config=Config(**options, extensions=extensions),
        )
        response = lm(request, **control)
        cut_off = response.finish_reason == "length"
        return [self.parse(signature, "" if cut_off else response.text or "")]

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the chat: the system line, the worked example and the question. The fixed text comes first."""
        descriptions = inputs["image_descriptions"]
        history = [short_line(template, value) for template, value in EXAMPLE_HISTORY]
        example = question(EXAMPLE_TASK, EXAMPLE_DESCRIPTIONS if descriptions else (), history)
        return [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": example},
            {"role": "assistant", "content": EXAMPLE_ANSWER},
            {"role": "user", "content": question(inputs["task"], descriptions, inputs["scored_templates"])},
        ]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the reply, stripped, as the output field."""
        return {"template": completion.strip()}


class SmallWordsAdapter(SmallModelAdapter):
    """Formats `ProposeDomain` for a small local model: the model completes a list of words, after two worked examples.

    The words may be of any kind, so that the model is not asked what the pictures are.
    """

    grammar = WORDS_GRAMMAR
    bias = ()

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the chat: the system line, the worked examples and the question."""
        turns = [turn for names, said in EXAMPLE_KINDS.items() for turn in (("user", names), ("assistant", said))]
        asked = ", ".join(name.replace("_", " ") for name in inputs["classes"][:SMALL_NAMES])
        return [
            {"role": "system", "content": SYSTEM_KINDS},
            *({"role": role, "content": text} for role, text in (*turns, ("user", asked))),
        ]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the words of the reply as the output fields of `ProposeDomain`."""
        return {"kinds": [word.strip() for word in completion.split(",") if word.strip()], "pictures": []}


def words_to_ban(
    history: Iterable[str],
    batch: Iterable[str],
    rng: random.Random,
    *,
    always: Iterable[str] = (),
) -> list[list[str | float]]:
    """Return the words that the next template should avoid, as a `logit_bias` list.

    Three kinds of words are banned:

    - a random half of the content words of the history and of this step's earlier candidates, so that replies differ;
    - the words of the worked example that the history lacks, because a model copies these words;
    - the words of `always`, the class names, because a small model likes to name a class, which harms other classes.
    """
    used = set(_content_words_of((*history, *batch)))
    avoided = set(_content_words_of(always)) | set(_content_words_of(EXAMPLE_TEXTS)) - used
    banned = [word for word in sorted(used) if rng.random() < 0.5]  # one draw for each word, whatever else is banned
    return [[f" {word}", BAN_BIAS] for word in sorted({*banned, *avoided})]


def _content_words_of(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in content_words(text)]


def quality_problem(template: str, class_names: Iterable[str] = ()) -> str | None:
    """Return why a small model's template is not worth a CLIP evaluation; None if it is.

    >>> quality_problem("a photo of a photo of a <CLASS>.")
    "it says 'photo' twice"
    >>> quality_problem("a <CLASS> beside a hot dog.", ["hot_dog", "cat"])
    "it names the class 'hot dog'"
    """
    count = len(template.split())
    if count not in WORDS:
        return f"it has {count} words, not {WORDS[0]} to {WORDS[-1]}"
    words = content_words(template)
    repeated = next((word for word in words if words.count(word) > 1), None)
    if repeated:
        return f"it says {repeated!r} twice"
    texts = [_spaced(part) for part in template.lower().split(SLOT.lower())]
    names = [name for name in every_name(class_names) if _spaced(name).strip()]  # not "+", which no words can name
    named = next((name for name in names if any(_spaced(name.lower()) in text for text in texts)), None)
    return f"it names the class {named.replace('_', ' ')!r}" if named else None


def _spaced(text: str) -> str:
    """Return the words of a text with one space around each, so that `in` finds whole words only."""
    words = re.findall(r"[^\W_]+", text)
    return f" {' '.join(words)} "
