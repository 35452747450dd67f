"""A line of JSON with the checksum that ends it, as in `journal.jsonl`, and the record of a run read without a lock.

The file may be a stranger's: links are not followed, what is no regular file is refused, and bytes have a bound.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.errors import InputError

FILE_NAME = "journal.jsonl"
LOCK = ".lock"
"""Of a run directory: one process works in it."""
MOST_BYTES = 2**28
"""Of a journal; that of a run of days has some millions."""

_CHECKSUM = re.compile(rb', "crc": "([0-9a-f]{8})"\}$')
"""How a line ends: the CRC-32 of the line without this field."""

Event = dict[str, Any]


def line_of(event: Event) -> bytes:
    """Return the line of an event, or of any dictionary, its checksum and its end included."""
    # Half a character (a lone surrogate) has no UTF-8; its escape is what JSON has for it.
    body = json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace")
    return body[:-1] + f', "crc": "{zlib.crc32(body):08x}"}}\n'.encode()


def last(folder: Path, type_: str) -> Event | None:
    """Return the latest whole event of one type in a run's record; other lines, though damaged, are passed over."""
    return last_of(folder, type_)[0]


def last_of(folder: Path, *types: str) -> list[Event | None]:
    """Return the latest event of each of some types, from one reading; see `last`."""
    try:
        lines = bytes_of(folder / FILE_NAME).split(b"\n")
    except (InputError, OSError):
        return [None] * len(types)
    found: dict[str, Event] = {}
    starts = {type_: json.dumps({"type": type_})[:-1].encode() + b"," for type_ in types}
    for line in reversed(lines):
        for type_, start in starts.items():
            if type_ not in found and line.startswith(start):
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    found[type_] = event_of(line)
        if len(found) == len(starts):
            break
    return [found.get(type_) for type_ in types]


def event_of(line: bytes) -> Event:
    """Return the event of a line; raise a ValueError, KeyError or TypeError where it is damaged."""
    event: Event = json.loads(checked(line))
    if not isinstance(event["type"], str) or not isinstance(event["seconds"], (int, float)):
        raise TypeError("no event")
    return event


def checked(line: bytes) -> bytes:
    """Return the JSON of a line without its checksum; raise a ValueError where it has none, or another one's."""
    found = _CHECKSUM.search(line)
    if not found:
        raise ValueError("no checksum")
    body = line[: found.start()] + b"}"
    if zlib.crc32(body) != int(found[1], 16):
        raise ValueError("wrong checksum")
    return body


def refuse_links(*paths: Path) -> None:
    """Refuse what is no file of the run directory's own: what is written there would end up in another one.

    Raises:
        InputError: names it.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
                raise InputError(f"{path} is {what}, which no run makes; remove it, or name another run directory.")


def no_link(path: str, flags: int) -> int:
    """Open a file as `open` does with this opener: through no link, and without waiting where it is a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def bytes_of(path: Path) -> bytes:
    """Return what is in the file; nothing where there is none."""
    refuse_links(path)
    try:
        with open(path, "rb", opener=no_link) as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES:,} bytes, as no record of a run has; name another run.")
    return content
