"""The context window of a language model, the tokens of a text, and the room that questions leave for descriptions.

Nothing is asked or fetched: sizes come from litellm's price list, tokenizers from litellm's own files.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm import quiet_litellm
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.strategies.base import Expected, Strategy, forecast_of

BYTES_PER_TOKEN = 2
"""The bytes of English letters and spaces that count as one token if a model's tokenizer is not here. Each other byte
counts as a token. With the tokenizers in use, English prose has 4 to 5 bytes a token, names have 3, and other
scripts, digits and signs hardly more than one. Only letters in no order, such as base64, can have more tokens than are
counted."""
FEWEST = 40
"""The least tokens of a shortened description. Published descriptions are about as long: 500 of them have some 19,500
tokens."""
SHIPPED = ("cl100k_base", "o200k_base")
"""The tokenizers of OpenAI's chat models. litellm ships both as files; other tokenizers would be downloaded."""
AROUND = 200
"""Tokens reserved for what surrounds the texts of a question: roles, a schema for JSON, borders of texts."""

_PLAIN = re.compile(rb"[A-Za-z ]")
SHORTEST_REPLY = 128
"""The least tokens that a reply needs for the templates of a step."""


@dataclass(frozen=True)
class Window:
    """The context window of a language model.

    Attributes:
        model: the name of the model.
        tokens: the most tokens of prompt and reply together.
        count: a function that counts the tokens of a text, or bounds them from above.
    """

    model: str
    tokens: int
    count: Callable[[str], int]


@dataclass(frozen=True)
class Room:
    """The room that the longest question of a search leaves for descriptions.

    Attributes:
        window: the context window of the model.
        tokens: the most tokens of all descriptions together, line breaks included.
    """

    window: Window
    tokens: int


def window_of(model: str, given: int | None = None) -> Window | None:
    """Return the context window of a language model.

    Args:
        model: the name of the model. `local/…` and `replay/…` have no window, because they are asked in another way.
        given: the size of the window in tokens; None takes the size that litellm knows.

    Returns:
        The window; None if its size is not known. Without a window nothing is bounded.
    """
    if model.startswith(("local", "replay/")):
        return None
    tokens = given or _known(model)
    return None if tokens is None else Window(model, tokens, _counting(model))


def room_in(window: Window | None, strategy: Strategy, expected: Expected, *, described: bool = False) -> Room | None:
    """Return the room that a strategy's longest question and its reply leave in a window; None if `window` is None.

    Args:
        window: see `window_of`.
        strategy: the strategy, whose `forecast` says how long its longest question is.
        expected: the data for the forecast, without descriptions.
        described: whether a describer is paid for. If so, at least one description must fit.

    Raises:
        InputError: the question does not fit: without any description, or with one description if these are paid for.
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
            f"model that takes more (--lm){shorter}, or, if it takes more, write lm_context=NUMBER."
        )
    return Room(window, for_reply - expected.reply_tokens + least)


def _known(model: str) -> int | None:
    """Return the size of the window in litellm's price list; None if it is not there.

    litellm's `get_model_info` is not used, because it would ask an Ollama server.
    """
    litellm = quiet_litellm()
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


# Descriptions that do not fit into a question together are cut. If that is not enough, some are left out.
#
# Longer descriptions are all cut to the same number of tokens: the largest number with which all descriptions fit.
# Shorter descriptions stay whole. A description is cut at the end of a sentence if this keeps half of the tokens, else
# at a word. No description is cut to fewer than `FEWEST` tokens. Instead, some descriptions are left out, evenly over
# the order of the pictures, and so over the classes. If all descriptions fit, none is changed.

_PIECE = re.compile(r"\s*\S{1,24}|\s+$")
"""A word with the spaces before it. Text without spaces, such as Chinese, is cut after this many characters."""
_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)\]]*$")


@dataclass(frozen=True)
class Shortened:
    """A record of how descriptions that did not fit were shortened.

    Attributes:
        model: the name of the language model.
        takes: the most tokens that the model takes for prompt and reply together.
        room: the most tokens of all descriptions together.
        of: the number of all descriptions.
        shown: the number of descriptions that are shown.
        tokens: the number of tokens to which longer descriptions are cut.
    """

    model: str
    takes: int
    room: int
    of: int
    shown: int
    tokens: int

    def __str__(self) -> str:
        """Return a sentence, without its full stop, that says what was done and why."""
        return f"{self.what}: {self.model} takes {self.takes:,} tokens"

    @property
    def what(self) -> str:
        """A clause that says what was done to the descriptions."""
        if not self.shown:
            return f"of {self.of:,} descriptions none is shown"
        many = "all are" if self.shown == self.of else f"{self.shown:,}, spread evenly, are"
        return f"of {self.of:,} descriptions {many} shown, cut to {self.tokens} tokens each"


def expected(room: Room, number: int, longest: int) -> Shortened | None:
    """Return how the longest possible descriptions would be shortened; None if descriptions fit in any case.

    Args:
        room: the room that is left for descriptions.
        number: the number of descriptions.
        longest: the most bytes of one description.
    """
    if number * (longest + 1) <= room.tokens:
        return None
    shown = min(number, room.tokens // (FEWEST + 1))
    return _shortened(room, number, shown, room.tokens // shown - 1 if shown else FEWEST)


def fitted_texts(
    descriptions: Sequence[str], room: Room | None, record: ScoreKeeper, say: Callable[[str], None]
) -> list[str]:
    """Return the descriptions, shortened, as all questions of a search show them. How they were shortened is recorded.

    A resumed search keeps the room that it began with, whatever is known of the language model now.
    """
    if before := record.find("shortened"):
        same = room is not None and room.window.model == before["model"]
        window = room.window if room and same else window_of(before["model"], before["takes"])
        room = Room(window, before["room"]) if window else None
    elif record.find("scores"):  # an earlier step was asked with whole descriptions
        room = None
    if room is None:
        return list(descriptions)
    shown, level = shorten(descriptions, room.tokens, room.window.count)
    if shown != list(descriptions):
        found = _shortened(room, len(descriptions), len(shown), level)
        record.note("shortened", **asdict(found))
        say(str(found))
    return shown


def recorded_texts(events: Sequence[dict[str, Any]]) -> Shortened | None:
    """Return how the descriptions of a recorded search were shortened; None if they were not."""
    event = next((event for event in reversed(events) if event["type"] == "shortened"), None)
    return event and Shortened(**{name: event[name] for name in Shortened.__dataclass_fields__})


def shorten(descriptions: Sequence[str], room: int, count: Callable[[str], int]) -> tuple[list[str], int]:
    """Make descriptions fit together, one a line.

    Args:
        descriptions: the descriptions, in the order of the pictures, which is kept.
        room: the most tokens of all descriptions together.
        count: a function that counts the tokens of a text.

    Returns:
        The descriptions, and the number of tokens to which longer descriptions were cut. The number is 0 if all
        descriptions fit uncut, or if none fits.

    Example:
        >>> by_words = lambda text: len(text.split())
        >>> shorten(["A red bus.", "A bus. " * 30], 50, by_words)[0][0]
        'A red bus.'
    """
    if count("\n".join(descriptions)) <= room:
        return list(descriptions), 0
    texts = [_Text.of(text, count) for text in descriptions]

    def total(number: int, level: int) -> int:
        return sum(text.tokens(level) + 1 for text in _spread(texts, number))

    number = _largest(0, len(texts), lambda number: total(number, FEWEST) <= room)
    if number == 0:
        return [], 0
    most = max(text.sums[-1] for text in texts)
    level = _largest(FEWEST, max(FEWEST, most), lambda level: total(number, level) <= room)
    shown = [text.cut(level) for text in _spread(texts, number)]
    while count("\n".join(shown)) > room:  # a tokenizer may make more of a whole text than of its pieces
        level -= 1
        shown = [text.cut(level) for text in _spread(texts, number)]
    return shown, level


@dataclass(frozen=True)
class _Text:
    """A description in pieces: `ends` has the place where each piece ends, `sums` the number of tokens up to there."""

    text: str
    ends: tuple[int, ...]
    sums: tuple[int, ...]

    @classmethod
    def of(cls, text: str, count: Callable[[str], int]) -> _Text:
        pieces = list(_PIECE.finditer(text))
        sums = accumulate((count(piece.group()) for piece in pieces), initial=0)
        return cls(text, (0, *(piece.end() for piece in pieces)), tuple(sums))

    def tokens(self, level: int) -> int:
        """Return the tokens of the text when it is cut to `level` tokens."""
        return min(self.sums[-1], level)

    def cut(self, level: int) -> str:
        if self.sums[-1] <= level:
            return self.text
        last = bisect_right(self.sums, level) - 1
        for place in range(last, 0, -1):
            if self.sums[place] * 2 < level:
                break
            if _SENTENCE_END.search(self.text[: self.ends[place]]):
                last = place
                break
        return self.text[: self.ends[last]].rstrip(" ,;:")


def _spread(texts: Sequence[_Text], number: int) -> list[_Text]:
    """Return `number` of the texts, spread evenly over their order."""
    return [texts[place * len(texts) // number] for place in range(number)]


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from `low` to `high` for which `fits` is true; `low` if there is none."""
    return low + bisect_left(range(low + 1, high + 1), True, key=lambda number: not fits(number))


def _shortened(room: Room, number: int, shown: int, level: int) -> Shortened:
    return Shortened(room.window.model, room.window.tokens, room.tokens, number, shown, level)
