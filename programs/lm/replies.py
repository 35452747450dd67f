"""Find replies that were paid for before, in a journal or in the cache of all runs; and read the text of an answer."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import dspy
from dspy._vendor.lm15.serde import response_from_dict

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import KeptFile, checksum
from ipo_prompts.metrics.template import LIST_MARKER, SLOT, normalise
from ipo_prompts.programs.lm.ledger import explain
from ipo_prompts.programs.record.journal import Event

logger = logging.getLogger(__name__)


_FIELDS: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "index": (int,),
    "reply": (dict,),
    "tokens_in": (int,),
    "tokens_out": (int,),
    "usd": (int, float, type(None)),
    "waited": (int, float),
    "cached": (bool,),
}
"""The fields that the event of a reply must have, and the types that each may have."""


def by_request(events: Iterable[Event]) -> dict[tuple[str, int], Event]:
    """Return the events of replies, by (key of the request, number of earlier answers to the same request).

    Raises:
        InputError: a reply is not in the form that this version writes.
    """
    replies = {}
    for event in events:
        if event["type"] == "lm":
            for name, kinds in _FIELDS.items():
                if not isinstance(event.get(name), kinds) or (name not in event):
                    raise _unknown(f"its {name!r} is missing or of another kind")
            try:
                response_from_dict(event["reply"])
            except Exception as error:  # DSPy may raise any error over content that it did not write
                raise _unknown(f"its reply cannot be read: {type(error).__name__}: {error}") from error
            replies[event["key"], event["index"]] = event
    return replies


def _unknown(why: str) -> InputError:
    return InputError(
        f"a reply in the journal is not as this version writes it ({why}); use the version of ipo that recorded it, "
        "or start a new run."
    )


_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
"""


class ReplyFile(KeptFile):
    """The file with the paid replies of all runs, each with a checksum.

    A reply that was changed in the file is paid for again, after a warning.

    Args:
        path: the path of the file.

    Raises:
        InputError: the file cannot be read at all, or cannot be made. A damaged file is never deleted: its replies were
            paid for.
    """

    unusable = (
        "cannot use the replies that were paid for before (%s: %s); make room, or remove the file if it is damaged: "
        "then they are paid for again."
    )

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
        self.use(lambda database: None)

    def get(self, request: dict[str, Any]) -> Any:
        """Return the stored reply to a request; None if there is none."""
        key = _key(request)
        row = self.use(
            lambda database: database.execute("SELECT reply, crc FROM replies WHERE request = ?", (key,)).fetchone()
        )
        if row is None:
            return None
        reply, crc = row
        if isinstance(reply, str) and checksum(key, reply.encode(errors="replace")) == crc:
            return json.loads(reply)
        logger.warning("a reply in %s is not as it was written; it is asked for again", self.path)
        return None

    def put(self, request: dict[str, Any], value: Any) -> None:
        """Store the reply to a request. If this fails, only warn: the run has the reply in its own record."""
        key, reply = _key(request), json.dumps(value)
        row = key, reply, checksum(key, reply.encode())

        def store(database: sqlite3.Connection) -> None:
            with database:
                database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", row)

        try:
            self.use(store)
        except InputError as error:
            logger.warning("a reply is not kept for other runs: %s", error)


def _key(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


# Read an answer with DSPy's chat adapter. The length of an answer is bounded, so that no answer can stop a run or keep
# it busy.
#
# DSPy's parsers try hard (they repair JSON, search for brackets, evaluate literals), and text that was made to fail can
# raise many kinds of errors in them. Here, every answer that cannot be read raises an `AdapterParseError`.


MAX_CHARACTERS = 65_536
"""The most characters of a whole answer. Text before the fields, such as a model's reasoning, is skipped quickly."""
MAX_FIELD_CHARACTERS = 16_384
"""The most characters of the fields of an answer. The time of `json_repair` grows with the square of the length: the
worst text that was tried takes 2 s at 16 kB, and a minute at 64 kB. Forty templates of the greatest length have 12,000
characters."""

_FIRST_FIELD = "[[ ## "


class BoundedChatAdapter(dspy.ChatAdapter):  # type: ignore[misc,unused-ignore]
    """DSPy's default adapter, with bounds on the length of an answer.

    If an answer cannot be read, DSPy asks a second question, which wants JSON. Its answer has bounds, too.
    """

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the fields of an answer, by name.

        Raises:
            dspy.AdapterParseError: the answer cannot be read.
        """
        start = completion.find(_FIRST_FIELD)
        size = len(completion) - start if start >= 0 else 0
        return _bounded(super().parse, "ChatAdapter", signature, completion, size)

    def _make_json_adapter_fallback(self) -> dspy.Adapter:
        return BoundedJSONAdapter()


class BoundedJSONAdapter(dspy.JSONAdapter):  # type: ignore[misc,unused-ignore]
    """DSPy's adapter for answers in JSON, with bounds on the length of an answer."""

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """See `BoundedChatAdapter.parse`."""
        return _bounded(super().parse, "JSONAdapter", signature, completion, len(completion))


def _bounded(
    parse: Callable[[type[dspy.Signature], str], dict[str, Any]],
    name: str,
    signature: type[dspy.Signature],
    completion: str,
    size: int,
) -> dict[str, Any]:
    problem, cause = f"The answer is too long to be read: {len(completion):,} characters.", None
    if len(completion) <= MAX_CHARACTERS and size <= MAX_FIELD_CHARACTERS:
        try:
            fields: dict[str, Any] = whole_characters(parse(signature, completion))
            return fields
        except dspy.AdapterParseError:
            raise
        except Exception as error:  # no code of ours runs in `parse`, so the error is due to the answer
            problem, cause = f"The answer cannot be read ({type(error).__name__}).", error
    raise dspy.AdapterParseError(
        adapter_name=name, signature=signature, lm_response=completion[:1000], message=problem
    ) from cause


def ask_lm(predict: Any, inputs: dict[str, Any], config: dict[str, Any]) -> Any:
    """Ask a DSPy module and return its prediction. If it fails, raise the error that `explain` returns."""
    try:
        return predict(**inputs, config=config)
    except dspy.LMError as error:
        if (shown := explain(error)) is error:
            raise
        raise shown from error


def excerpt(error: Any) -> str:
    """Return the answer that a parse error says could not be read, on one line; the next question may show it."""
    answer = getattr(error, "lm_response", "")
    return str(whole_characters(" ".join(answer.split()))) if isinstance(answer, str) else ""


def why_unreadable(error: Any) -> str:
    """Return a clause that says why an answer could not be read. `error` is the parse error."""
    if was_cut_off():
        return "the answer was cut off at its limit of tokens before a template was whole; max_tokens= raises it"
    return "the answer was not a list of templates" if excerpt(error) else "the answer was empty"


def was_cut_off() -> bool:
    """Return whether the model's last reply ended at the token limit."""
    lm = dspy.settings.lm
    if not lm or not lm.history:
        return False
    response = lm.history[-1].get("response")
    reason = getattr(response, "finish_reason", None)
    if reason is None and getattr(response, "choices", None):
        reason = response.choices[0].finish_reason
    return bool(reason == "length")


def items_of(answer: str) -> list[str]:
    """Return the templates in an answer that lists them as JSON, or on numbered or bulleted lines.

    >>> items_of('{"prompts": [{"text": "a sketch of a <CLASS>.", "score": 0.4}, null, "a print of a [class]"]}')
    ['a sketch of a <CLASS>.', 'a print of a [class]']
    >>> items_of("Here are two:\\n1. a sketch of a <CLASS>.\\n2. I like this one.\\n- a print of a [class]")
    ['1. a sketch of a <CLASS>.', '- a print of a [class]']
    """
    if len(answer) > MAX_CHARACTERS:
        return []
    answer = answer[-MAX_FIELD_CHARACTERS:]
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


def whole_characters(value: Any) -> Any:
    r"""Return a JSON value with the two halves of a character (surrogates) joined; a single half becomes U+FFFD.

    >>> whole_characters(["\ud83d\ude00", "\ud83d"])
    ['😀', '\ufffd']
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {whole_characters(name): whole_characters(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole_characters(item) for item in value]
    return value
