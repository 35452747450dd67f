"""Replies that were paid for before: those of a journal, and the cache of all runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from dspy._vendor.lm15.serde import response_from_dict

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.journal import Event


class ReplyCache(Protocol):
    """Replies of earlier runs; `dspy.clients.cache.Cache` is one."""

    def get(self, request: dict[str, Any]) -> Any:
        """Return the stored reply or None."""
        ...

    def put(self, request: dict[str, Any], value: Any) -> None:
        """Store a reply."""
        ...


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
"""What is used of a recorded reply."""


def by_request(events: Iterable[Event]) -> dict[tuple[str, int], Event]:
    """Return the recorded replies by request, and how often it was made before.

    Raises:
        InputError: one is not as this version writes it.
    """
    replies = {}
    for event in events:
        if event["type"] == "lm":
            for name, kinds in _FIELDS.items():
                if not isinstance(event.get(name), kinds) or (name not in event):
                    raise _unknown(f"its {name!r} is missing or of another kind")
            try:
                response_from_dict(event["reply"])
            except Exception as error:  # whatever DSPy meets in a content that it did not write
                raise _unknown(f"its reply cannot be read: {type(error).__name__}: {error}") from error
            replies[event["key"], event["index"]] = event
    return replies


def _unknown(why: str) -> InputError:
    return InputError(
        f"a reply in the journal is not as this version writes it ({why}); use the version of ipo that recorded it, "
        "or start a new run."
    )


def open_reply_cache(folder: Path) -> ReplyCache:
    """Open the cache of paid replies: DSPy's disk cache, restricted to plain data.

    Raises:
        InputError: it is damaged, or the disk is full.
    """
    from dspy.clients.cache import Cache

    try:
        cache: ReplyCache = Cache(
            enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(folder), restrict_pickle=True
        )
    except (sqlite3.Error, OSError) as error:
        raise _unusable(folder, error) from error
    return cache


def _unusable(folder: Path | str, error: Exception) -> InputError:
    return InputError(
        f"cannot use the replies that were paid for before ({folder}: {error}); make room, or remove the folder if it "
        "is damaged: then they are paid for again."
    )
