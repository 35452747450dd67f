"""Reading a reply that litellm could not: it was paid for, and is worth what can be read of it.

Its text is looked for where each kind of server writes it, whole or in the pieces of a stream that nobody asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dspy.lm15 import Message, Response, Usage

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class _Form:
    """Where one kind of server writes things; of several places the first that is there counts.

    Attributes:
        texts: the text of a reply, and of a piece of a stream.
        tokens_in, tokens_out: what it counted; of a stream the last number counts.
        finish: why it ended; `cut` stands there when it was cut off at its limit of tokens.
        thoughts: tokens out that are not among `tokens_out`; () where all are.
    """

    texts: tuple[Steps, ...]
    tokens_in: tuple[Steps, ...]
    tokens_out: tuple[Steps, ...]
    finish: tuple[Steps, ...]
    cut: str = "length"
    thoughts: Steps = ()


_FORMS = (
    _Form(  # OpenAI, and all that speak like it
        texts=(("choices", 0, "message", "content"), ("choices", 0, "delta", "content")),
        tokens_in=(("usage", "prompt_tokens"),),
        tokens_out=(("usage", "completion_tokens"),),
        finish=(("choices", 0, "finish_reason"),),
    ),
    _Form(  # Gemini
        texts=(("candidates", 0, "content", "parts"), ("candidates", 0, "content")),
        tokens_in=(("usageMetadata", "promptTokenCount"),),
        tokens_out=(("usageMetadata", "candidatesTokenCount"),),
        thoughts=("usageMetadata", "thoughtsTokenCount"),
        finish=(("candidates", 0, "finishReason"),),
        cut="MAX_TOKENS",
    ),
    _Form(  # Anthropic
        texts=(("content",), ("delta", "text")),
        tokens_in=(("usage", "input_tokens"), ("message", "usage", "input_tokens")),
        tokens_out=(("usage", "output_tokens"),),
        finish=(("stop_reason",), ("delta", "stop_reason")),
        cut="max_tokens",
    ),
    _Form(  # Ollama
        texts=(("message", "content"), ("response",)),
        tokens_in=(("prompt_eval_count",),),
        tokens_out=(("eval_count",),),
        finish=(("done_reason",),),
    ),
)


def read_completion(body: bytes, model: str) -> Response | None:
    """Read a completion leniently; None when it is none.

    Of several choices the first is taken, of a text in parts their texts. A text that is no text is empty, and a number
    of tokens that is none is left out.
    """
    pieces = _pieces(body)
    for form in _FORMS:
        texts = [text for piece in pieces if (text := _first(piece, form.texts)) is not _NOTHING]
        if not texts:
            continue
        reasons = [_first(piece, form.finish) for piece in pieces]
        tokens_in, tokens_out = _count(pieces, form.tokens_in), _count(pieces, form.tokens_out)
        if tokens_out is not None and form.thoughts:
            tokens_out += _count(pieces, (form.thoughts,)) or 0
        return Response(
            id=None,
            model=model,
            message=Message.assistant("".join(map(_text_of, texts))),
            finish_reason="length" if form.cut in reasons else "stop",
            usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out),
        )
    return None


def _pieces(body: bytes) -> list[Any]:
    """Return what a reply holds: one value of JSON, or those of a stream (server-sent events, lines, or a list)."""
    try:
        text = body.decode("utf-8")
        whole = _values([text])
        if not whole:
            lines = [line for line in text.splitlines() if line.strip()]
            data = [line[5:].strip() for line in lines if line.startswith("data:")]
            whole = _values([line for line in data if line != "[DONE]"] if data else lines)
    except RecursionError:
        return []
    return whole[0] if len(whole) == 1 and isinstance(whole[0], list) else whole


def _values(texts: Sequence[str]) -> list[Any]:
    """Return the values of texts in JSON; none when one of them is no JSON."""
    try:
        return [json.loads(text) for text in texts]
    except ValueError:  # a number of 5,000 digits, too
        return []


_NOTHING = object()


def _first(value: Any, paths: Sequence[Steps]) -> Any:
    """Return what stands at the first path that leads somewhere, else `_NOTHING`."""
    for path in paths:
        found = value
        try:
            for step in path:
                found = found[step]
        except (LookupError, TypeError):
            continue
        return found
    return _NOTHING


def _count(pieces: Sequence[Any], paths: Sequence[Steps]) -> int | None:
    """Return the last number of tokens that is one."""
    counts = [_first(piece, paths) for piece in pieces]
    return next((n for n in reversed(counts) if type(n) is int and n >= 0), None)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        said = [part for part in content if isinstance(part, dict) and not part.get("thought")]
        return "".join(_text_of(part.get("text")) for part in said)
    return content if isinstance(content, str) else ""
