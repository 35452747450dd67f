"""Write and read lines of JSON that end with a checksum, as in `journal.jsonl`. Reading takes no lock.

A stranger may have made the file that is read. So links are not followed, only a regular file is read, and its size is
bounded.
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
"""The lock file of a run directory: only one process at a time works in the directory."""
MOST_BYTES = 2**28
"""The most bytes of a journal. The journal of a run that takes days has a few million bytes."""

_CHECKSUM = re.compile(rb', "crc": "([0-9a-f]{8})"\}$')
"""The end of a line: the field `crc`. It holds the CRC-32 of the line without this field."""

Event = dict[str, Any]


def line_of(event: Event) -> bytes:
    """Return an event, or any other dictionary, as a line of JSON with a checksum and a line break."""
    # Half a character (a lone surrogate) has no UTF-8; JSON writes it as an escape.
    body = json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace")
    return body[:-1] + f', "crc": "{zlib.crc32(body):08x}"}}\n'.encode()


def last(folder: Path, type_: str) -> Event | None:
    """Return the latest event of one type in the journal of a run; None if there is none. Damaged lines are skipped."""
    return last_of(folder, type_)[0]


def last_of(folder: Path, *types: str) -> list[Event | None]:
    """Return the latest event of each type, in the order of `types`, as `last` does; the file is read only once."""
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
    """Return the event of a line; raise a ValueError, KeyError or TypeError if the line is damaged."""
    event: Event = json.loads(checked(line))
    if not isinstance(event["type"], str) or not isinstance(event["seconds"], (int, float)):
        raise TypeError("no event")
    return event


def checked(line: bytes) -> bytes:
    """Return a line without its field `crc`; raise a ValueError if the checksum is missing or wrong."""
    found = _CHECKSUM.search(line)
    if not found:
        raise ValueError("no checksum")
    body = line[: found.start()] + b"}"
    if zlib.crc32(body) != int(found[1], 16):
        raise ValueError("wrong checksum")
    return body


def refuse_links(*paths: Path) -> None:
    """Raise an error if a path is a link or not a regular file. Writing to a link would change another file.

    Raises:
        InputError: a path exists and is not a regular file; the message names the path.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
                raise InputError(f"{path} is {what}, which no run makes; remove it, or name another run directory.")


def no_link(path: str, flags: int) -> int:
    """Open a file, as `opener` of `open`: a link is not followed, and a pipe does not make the call wait."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def bytes_of(path: Path) -> bytes:
    """Return the content of a file; b"" if there is no file.

    Raises:
        InputError: the path is not a regular file, or the file has more than `MOST_BYTES`.
    """
    refuse_links(path)
    try:
        with open(path, "rb", opener=no_link) as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES:,} bytes, so it is no record of a run; name another run.")
    return content
