"""How a small local model is best asked for a template: one at a time, after one worked example, held by a grammar.

A model of half a billion parameters that is asked for a list repeats itself and runs on. Asked for one template, with a
grammar that only lets a template through and a soft ban on words that were used already, nearly every reply is a new
and valid template. The scored history stays in the prompt: that is what the search learns from.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request

from ipo.metrics.template import SLOT

SYSTEM = "You write short image caption templates for the CLIP classifier. You answer with one template."
TASK = "Task: {task}"
DESCRIPTIONS = "What some of the images look like:"
HISTORY = "Templates tried so far, from the worst score to the best:"
REQUEST = (
    "Write 1 new caption template for these images that could score higher. Use the slot <CLASS> exactly once. "
    "Describe the images: kind of picture, viewpoint, scene, material, or the category of the classes. "
    "Do not repeat a template from the list."
)

# The worked example: its task is far from what people classify, and says nothing about how any other pictures look.
EXAMPLE_TASK = "pictures of old coins, such as denarius, ducat, penny. <CLASS> is the name of a coin."
EXAMPLE_DESCRIPTIONS = ("A round piece of metal lies on a tray in a museum.",)
EXAMPLE_HISTORY = (
    "accuracy 41.00 %, loss 1.9000: <CLASS>.",
    "accuracy 46.50 %, loss 1.7000: a photo of a <CLASS>.",
    "accuracy 52.00 %, loss 1.5000: an image of a <CLASS> from a collection.",
    "accuracy 55.50 %, loss 1.4000: a museum photo of a <CLASS>.",
)
EXAMPLE_ANSWER = "a top view of a <CLASS>, a kind of coin on a museum tray."

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
lists that never end. The limits on words are wide on purpose: a small model that meets a tight one glues words."""

SAMPLING = {"temperature": 1.0, "top_p": 0.95, "top_k": 50, "max_tokens": 64}
MIN_P = 0.05
BAN_BIAS = -5.0
"""Added to the logits of a banned word: rare, not impossible."""
SLOT_BIAS = 1.5
"""Added to the logits of the slot's first token, so that the smallest model comes to it before it has rambled for a
line: of 12 replies after a short history 10 instead of 4 passed `quality_problem`."""
HISTORY_LINES = 12
"""The most templates shown, the best ones: each costs prompt time at every step."""
DESCRIPTION_CHARACTERS = 200
DESCRIPTION_LINES = 4
WORDS = range(3, 17)
"""How many words a template may have; the slot is one of them."""

_SCORED = re.compile(r"^accuracy (\d+(?:\.\d+)?) %, loss \S+: (.*)$", re.DOTALL)
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_FUNCTION_WORDS = re.compile(
    r"an?|the|this|that|these|those|of|in|on|at|to|for|from|by|with|without|and|or|but|as|is|are|was|be|being|been|it|"
    r"its|his|her|their|our|your|my|one|some|any|each|no|not|into|onto|over|under|near|up|down|out|off|very"
)


class SmallModelAdapter(dspy.Adapter):  # type: ignore[misc,unused-ignore]
    """Renders `ProposeTemplates` for a small local model, and asks for one template whatever `count` says.

    `refused_templates` is left out on purpose: a small model copies what it is shown, and the next try differs by its
    seed and its bans. The LM's engine has to be a `LocalEngine`: the grammar reaches no other.
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
        """Ask once and return `[{"templates": [text]}]`, or an empty list of templates when the reply was cut.

        Raises:
            TypeError: `lm_kwargs` holds an option that has no place here.
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
            return [{"templates": []}]
        return [self.parse(signature, response.text or "")]

    async def acall(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Do the same in a thread: the model has no asynchronous form."""
        return await asyncio.to_thread(self, lm, lm_kwargs, signature, demos, inputs)

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the chat: the system line, the worked example and the question; the fixed text comes first."""
        descriptions = str(inputs.get("image_descriptions") or "").splitlines()
        history = str(inputs.get("scored_templates") or "").splitlines()
        example = question(EXAMPLE_TASK, EXAMPLE_DESCRIPTIONS if descriptions else (), EXAMPLE_HISTORY)
        return [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": example},
            {"role": "assistant", "content": EXAMPLE_ANSWER},
            {"role": "user", "content": question(inputs["task"], descriptions, history)},
        ]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the reply as the one template of the output field."""
        text = completion.strip()
        return {"templates": [text] if text else []}


def question(task: str, descriptions: Sequence[str], scored_templates: Sequence[str]) -> str:
    """Write one user turn. Parts that would be empty are left out; `scored_templates` run from worst to best."""
    parts = [TASK.format(task=task)]
    shown = [shortened(text) for text in descriptions[:DESCRIPTION_LINES]]
    if shown:
        parts.append("\n".join([DESCRIPTIONS, *(f"- {text}" for text in shown)]))
    lines = []
    for line in scored_templates[-HISTORY_LINES:]:
        accuracy, template = split_scored(line)
        lines.append(template if accuracy is None else f"{accuracy:.1f}  {template}")
    if lines:
        parts.append("\n".join([HISTORY, *lines]))
    return "\n\n".join([*parts, REQUEST])


def shortened(description: str) -> str:
    """Cut a description to its first sentence, and that to what fits.

    >>> shortened("A red bus. It stands in a street.")
    'A red bus.'
    """
    text = re.split(r"(?<=[.!?])\s", " ".join(description.split()), maxsplit=1)[0]
    if len(text) <= DESCRIPTION_CHARACTERS:
        return text
    return text[:DESCRIPTION_CHARACTERS].rsplit(" ", 1)[0] + " ..."


def split_scored(line: str) -> tuple[float | None, str]:
    """Split a history line into accuracy in percent and template; a line without a score is a template.

    >>> split_scored("accuracy 31.25 %, loss 2.0412: a photo of a <CLASS>.")
    (31.25, 'a photo of a <CLASS>.')
    """
    found = _SCORED.match(line)
    return (float(found[1]), found[2]) if found else (None, line)


def content_words(template: str) -> list[str]:
    """Return the words of a template that carry meaning: lower case, in order, repeats kept, without the slot.

    >>> content_words("a photo of a <CLASS> on the Photo.")
    ['photo', 'photo']
    """
    words = _WORD.findall(template.replace(SLOT, " ").lower())
    return [word for word in words if not _FUNCTION_WORDS.fullmatch(word)]


def words_to_ban(
    scored_templates: Iterable[str],
    batch: Iterable[str],
    rng: random.Random,
    *,
    always: Iterable[str] = (),
    example: Iterable[str] = (*EXAMPLE_HISTORY, EXAMPLE_ANSWER, *EXAMPLE_DESCRIPTIONS),
) -> list[list[str | float]]:
    """Choose the words that the next template should rather not use, as a `logit_bias` list.

    These are a random half of the content words of the history and of this step's earlier candidates, so that each
    reply has to look elsewhere; those of the worked example that the history lacks, which would leak otherwise; and
    those of `always`: the class names, since a small model likes to name one of them, which harms all the others.
    """
    used = set(_content_words_of((*scored_templates, *batch)))
    avoided = set(_content_words_of(always)) | set(_content_words_of(example)) - used
    banned = [word for word in sorted(used) if rng.random() < 0.5]  # one draw for each word, whatever else is banned
    return [[f" {word}", BAN_BIAS] for word in sorted({*banned, *avoided})]


def _content_words_of(lines: Iterable[str]) -> list[str]:
    return [word for line in lines for word in content_words(split_scored(line)[1])]


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
    named = next((name for name in class_names if any(_spaced(name.lower()) in text for text in texts)), None)
    return f"it names the class {named.replace('_', ' ')!r}" if named else None


def _spaced(text: str) -> str:
    """Return the words of a text with one space around each, so that `in` finds whole words only."""
    words = re.findall(r"[^\W_]+", text)
    return f" {' '.join(words)} "
