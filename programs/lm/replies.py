"""Ask for the fields of an answer with DSPy, and read answers that DSPy cannot read."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

import dspy

from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import LIST_MARKER, SLOT, normalise
from ipo_prompts.programs.lm import is_local
from ipo_prompts.programs.lm.ledger import explain
from ipo_prompts.programs.redaction import each_text


def _adapter(as_json: bool) -> dspy.Adapter:
    """Return the adapter of a question to the language model of the context. An adapter that the user has set stays.

    Each call is one question. DSPy's second try as JSON is switched off, because no forecast counts it. A small local
    model is asked for a line an entry, under a grammar.
    """
    if dspy.settings.lm and is_local(dspy.settings.lm.model):
        from ipo_prompts.programs.lm.local import LinesAdapter

        return LinesAdapter()
    if dspy.settings.adapter is not None:
        return dspy.settings.adapter
    return dspy.JSONAdapter() if as_json else dspy.ChatAdapter(use_json_adapter_fallback=False)


def ask_lm(signature: Any, inputs: dict[str, Any], number: int, *, as_json: bool = False) -> Any:
    """Ask the language model of the context, and return the fields of the answer.

    DSPy's parsers try hard (they repair JSON, search for brackets, evaluate literals), and text that was made to fail
    can raise many kinds of errors in them.

    Args:
        signature: the question.
        inputs: its inputs.
        number: tells equal questions apart for a cache: DSPy's `rollout_id`.
        as_json: whether the answer is asked for as JSON.

    Raises:
        BudgetReached, InputError: see `Recorded`.
        dspy.LMError: there is no answer.
        dspy.AdapterParseError: the answer cannot be read.
    """
    try:
        with dspy.context(adapter=_adapter(as_json)):
            answer = dspy.Predict(signature)(**inputs, config={"rollout_id": number})
        return dspy.Prediction(**each_text(dict(answer), whole_characters))
    except (dspy.AdapterParseError, BudgetReached, InputError):
        raise
    except dspy.LMError as error:
        if (shown := explain(error)) is error:
            raise
        raise shown from error
    except Exception as error:
        problem = f"The answer cannot be read ({type(error).__name__})."
        raise dspy.AdapterParseError(adapter_name="", signature=signature, lm_response="", message=problem) from error


def excerpt(error: Any) -> str:
    """Return the answer that a parse error says could not be read, on one line; the next question may show it."""
    answer = getattr(error, "lm_response", "")
    return whole_characters(" ".join(answer.split())) if isinstance(answer, str) else ""


def why_unreadable(error: Any) -> str:
    """Return a clause that says why an answer could not be read. `error` is the parse error."""
    if was_cut_off():
        return "the answer was cut off at its limit of tokens before a template was whole; max_tokens= raises it"
    return "the answer was not a list of templates" if excerpt(error) else "the answer was empty"


def was_cut_off() -> bool:
    """Return whether the model's last reply ended at the token limit, as its engine says (`Recorded.cut_off`).

    DSPy's history does not tell: a user may have switched it off, and its last entry is then an earlier reply.
    """
    return getattr(getattr(dspy.settings.lm, "engine", None), "cut_off", False)


def items_of(answer: str) -> list[str]:
    """Return the templates in an answer that lists them as JSON, or on numbered or bulleted lines.

    >>> items_of('{"prompts": [{"text": "a sketch of a <CLASS>.", "score": 0.4}, null, "a print of a [class]"]}')
    ['a sketch of a <CLASS>.', 'a print of a [class]']
    >>> items_of("Here are two:\\n1. a sketch of a <CLASS>.\\n2. I like this one.\\n- a print of a [class]")
    ['1. a sketch of a <CLASS>.', '- a print of a [class]']
    """
    found = _json_list(answer) or [line for line in answer.splitlines() if LIST_MARKER.match(line)]
    return [text for text in found if SLOT in normalise(text)]


def _json_list(answer: str) -> list[str]:
    """Return the texts in the first JSON list of an answer. If an item is an object, its first text is taken."""
    start = re.search(r'\[\s*["{]', answer)
    if start is None:
        return []
    try:
        items, _ = json.JSONDecoder().raw_decode(answer, start.start())
    except (ValueError, RecursionError):
        return []
    found = [item if isinstance(item, dict) else {"": item} for item in items]
    return [text for item in found for text in islice((one for one in item.values() if isinstance(one, str)), 1)]


def whole_characters(text: str) -> str:
    r"""Return a text with the two halves of a character (surrogates) joined; a single half becomes U+FFFD.

    >>> whole_characters("\ud83d\ude00"), whole_characters("\ud83d")
    ('😀', '\ufffd')
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
