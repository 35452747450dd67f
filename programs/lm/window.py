"""How many tokens a language model takes, how many a text has, and what its questions leave for descriptions.

Nothing is asked of the model or fetched: sizes come from litellm's price list, tokenizers from litellm's own files.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ipo_prompts.metrics.errors import InputError, flag
from ipo_prompts.programs.strategies.base import Expected, Strategy, forecast_of

BYTES_PER_TOKEN = 2
"""Of English letters and spaces, for a model whose tokenizer is not here; of all else every byte counts as a token.
English prose has 4 to 5 bytes a token with the tokenizers in use, and names 3. Other scripts, digits and signs have
hardly more than one; only letters in no order, such as base64, can have more tokens than are counted."""
FEWEST = 40
"""Tokens that a description keeps: about the length of the published ones, of which 500 would have some 19,500."""
SHIPPED = ("cl100k_base", "o200k_base")
"""The tokenizers of OpenAI's chat models. litellm ships both as files; others would be downloaded."""
AROUND = 200
"""Tokens kept for what stands around the texts of a question: roles, a schema for JSON, borders of texts."""

_PLAIN = re.compile(rb"[A-Za-z ]")
SHORTEST_REPLY = 128
"""Tokens in which a step's templates can be answered at all."""


@dataclass(frozen=True)
class Window:
    """What a language model takes.

    Attributes:
        model: its name.
        tokens: of prompt and reply together.
        count: the tokens of a text, or more.
    """

    model: str
    tokens: int
    count: Callable[[str], int]


@dataclass(frozen=True)
class Room:
    """What the longest question of a search leaves for descriptions.

    Attributes:
        window: of the model that is asked.
        tokens: that all descriptions may have together, line breaks included.
    """

    window: Window
    tokens: int


def window_of(model: str, given: int | None = None) -> Window | None:
    """Return what a language model takes.

    Args:
        model: its name; `local/…` and `replay/…` have none here, they are asked otherwise.
        given: its size in tokens; None takes what litellm knows.

    Returns:
        None where neither is known: then nothing is bounded.
    """
    if model.startswith(("local", "replay/")):
        return None
    tokens = given or _known(model)
    return None if tokens is None else Window(model, tokens, _counting(model))


def room_in(window: Window | None, strategy: Strategy, expected: Expected, *, described: bool = False) -> Room | None:
    """Return what the longest question of a strategy and its reply leave of a window; None without one.

    Args:
        window: see `window_of`.
        strategy: its `forecast` says how long its longest question is.
        expected: of the search, without descriptions.
        described: whether descriptions are paid for, so that one at least has to fit.

    Raises:
        InputError: nothing is left: the question does not fit even without a description, or without a paid one.
    """
    if window is None:
        return None
    longest = forecast_of(strategy, replace(expected, count=window.count)).longest
    least = FEWEST + 1 if described else 0
    for_reply = window.tokens - longest - AROUND - least
    if for_reply < expected.reply_tokens:
        shorter = f", or write max_tokens={for_reply}" if for_reply >= SHORTEST_REPLY else ""
        without = "with one description" if described else "without any description"
        raise InputError(
            f"{window.model} takes {window.tokens:,} tokens, and the longest question of this search has "
            f"{longest + AROUND + least:,} {without}, beside {expected.reply_tokens:,} for the reply; name a "
            f"model that takes more ({flag('lm')}){shorter}, or, if it takes more, write lm_context=NUMBER."
        )
    return Room(window, for_reply - expected.reply_tokens + least)


def _known(model: str) -> int | None:
    """Return what litellm's price list says; its `get_model_info` would ask a server of Ollama."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm downloads its price list
    import litellm

    provider, _, bare = model.partition("/")
    entry = litellm.model_cost.get(model)
    if entry is None and (found := litellm.model_cost.get(bare)) and found.get("litellm_provider") == provider:
        entry = found
    tokens = (entry or {}).get("max_input_tokens")
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _counted(text: str) -> int:
    data = text.encode("utf-8", "replace")
    plain = len(_PLAIN.findall(data))
    return math.ceil(plain / BYTES_PER_TOKEN) + len(data) - plain


def _counting(model: str) -> Callable[[str], int]:
    import litellm
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        name = ""
    if name not in SHIPPED:
        return _counted
    litellm.encode(model="gpt-3.5-turbo", text="")  # now tiktoken reads litellm's files, and downloads nothing
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))
