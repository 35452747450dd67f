"""The texts for a small local model: grammar, chat, words to ban, and which replies are not worth a score."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request

from ipo_prompts.metrics.class_names import every_name
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.wording import content_words
from ipo_prompts.signatures.propose_one import (
    EXAMPLE_ANSWER,
    EXAMPLE_DESCRIPTIONS,
    EXAMPLE_HISTORY,
    EXAMPLE_TASK,
    SYSTEM,
    question,
    short_line,
)

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
"""One line, one slot, plain words, at most one comma on each side of the slot: with more, the smallest model writes
lists that never end. The limits on word lengths are wide on purpose: under tight ones a small model joins words."""

SAMPLING = {"temperature": 1.0, "top_p": 0.95, "top_k": 50, "max_tokens": 64}
MIN_P = 0.05
BAN_BIAS = -5.0
"""Added to the logits of a banned word, which becomes rare, not impossible."""
SLOT_BIAS = 1.5
"""Added to the logits of the slot's first token, so that the smallest model writes it before it has rambled for a
line: of 12 replies after a short history 10 instead of 4 passed `quality_problem`."""
WORDS = range(3, 17)
"""How many words a template may have; the slot is one of them."""


class SmallModelAdapter(dspy.Adapter):  # type: ignore[misc,unused-ignore]
    """Formats `ProposeTemplate` for a small local model.

    Refused templates are not shown on purpose: a small model copies what it is shown, and the next try differs by its
    seed and its bans. The LM's engine has to be a `LocalEngine`: no other takes the grammar.
    `Predict(config=...)` may hold `seed`, `logit_bias`, `temperature`, `top_p`, `top_k`, `max_tokens`, `rollout_id` and
    `cache`; anything else is refused.
    """

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask once and return `[{"template": text}]`, an empty text when the reply was cut.

        Raises:
            TypeError: `lm_kwargs` holds an unknown option.
        """
        defaults = {key: value for key, value in lm.kwargs.items() if value is not None}
        options = {**SAMPLING, **defaults, **lm_kwargs}
        control = {key: options.pop(key) for key in ("rollout_id", "cache") if key in options}
        bias = [[" <", SLOT_BIAS], ["<", SLOT_BIAS], *(list(pair) for pair in options.pop("logit_bias", None) or ())]
        extensions = {"grammar": GRAMMAR, "min_p": MIN_P, "logit_bias": bias}
        system, *turns = self.format(signature, demos, inputs)
        request = Request(
            model=lm.model,
            system=system["content"],
            messages=tuple(getattr(Message, turn["role"])(turn["content"]) for turn in turns),
            config=Config(**options, extensions=extensions),
        )
        response = lm(request, **control)
        if response.finish_reason == "length":
            return [{"template": ""}]
        return [self.parse(signature, response.text or "")]

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the chat: the system line, the worked example and the question; the fixed text comes first."""
        descriptions, findings = inputs["image_descriptions"], inputs.get("findings", ())
        history = [short_line(template, value) for template, value in EXAMPLE_HISTORY]
        example = question(EXAMPLE_TASK, EXAMPLE_DESCRIPTIONS if descriptions else (), history)
        return [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": example},
            {"role": "assistant", "content": EXAMPLE_ANSWER},
            {"role": "user", "content": question(inputs["task"], descriptions, inputs["scored_templates"], findings)},
        ]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the reply as the output field."""
        return {"template": completion.strip()}


def words_to_ban(
    history: Iterable[str],
    batch: Iterable[str],
    rng: random.Random,
    *,
    always: Iterable[str] = (),
    example: Iterable[str] = EXAMPLE_TEXTS,
) -> list[list[str | float]]:
    """Choose the words that the next template should avoid, as a `logit_bias` list.

    They are: a random half of the content words of the history and of this step's earlier candidates, so that replies
    differ; the words of the worked example that the history lacks, since a model copies them; and the words of
    `always`, the class names, since a small model likes to name one class, which harms all the others.
    """
    used = set(_content_words_of((*history, *batch)))
    avoided = set(_content_words_of(always)) | set(_content_words_of(example)) - used
    banned = [word for word in sorted(used) if rng.random() < 0.5]  # one draw for each word, whatever else is banned
    return [[f" {word}", BAN_BIAS] for word in sorted({*banned, *avoided})]


def _content_words_of(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in content_words(text)]


def quality_problem(template: str, class_names: Iterable[str] = ()) -> str | None:
    """Say why a small model's template is not worth a CLIP evaluation, or None.

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
