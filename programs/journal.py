"""The journal of a run. Everything that was paid for or measured is on disk before it is used.

The file `journal.jsonl` holds one JSON object on each line, and lines are only appended. A killed run resumes from this
file: recorded replies are used again, and scores are computed again. If a kill left an incomplete last line, that line
is cut off. Any other damaged line is an error: its reply may have been paid for.

A stranger may have made the file that is read. So it is no link, it is a regular file, and its size is bounded.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import filelock

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import read_record
from ipo_prompts.programs.redaction import redacted

FILE_NAME = "journal.jsonl"
LOCK = ".lock"
"""The lock file of a run directory: only one process at a time works in the directory."""
MOST_BYTES = 2**28
"""The most bytes of a journal. The journal of a run that takes days has a few million bytes."""

_DAMAGE = (ValueError, KeyError, TypeError, RecursionError)
"""The errors that reading a damaged line raises."""
_LONGEST_SECONDS = 1e9
"""The wall time of an event is shorter: 1e400 would be infinite."""

T = TypeVar("T")
Event = dict[str, Any]


class Journal:
    """The journal of one run. Only one process at a time can open it.

    Args:
        folder: the run directory; it is made if it is missing.
        started: the value of `clock.now()` when this session began; None means now.

    Attributes:
        events: the events that the journal held when it was opened, oldest first.
        path: the path of the journal file.
        seconds_before: the wall time of earlier sessions, in seconds.

    Raises:
        InputError: the folder cannot be written, another process works in it, or the journal is damaged.

    Example:
        >>> journal = Journal(Path("runs/pets"))
        >>> _ = journal.append("scores", kind="train", step=0)
        >>> journal.close()
        >>> again = Journal(Path("runs/pets"))
        >>> again.find("scores", step=0)["kind"]
        'train'
        >>> again.close()
    """

    def __init__(self, folder: Path, started: float | None = None) -> None:
        self.path = folder / FILE_NAME
        self._lock = filelock.FileLock(folder / LOCK, timeout=0)
        self._record = Record(self.path)
        self._started = clock.now() if started is None else started
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.events = _events(self.path)
        except filelock.Timeout as error:
            raise InputError(
                f"another process is working in {folder}; wait for it, or choose another folder."
            ) from error
        except OSError as error:
            raise InputError(f"cannot write the folder {folder}: {error.strerror}; choose another.") from error
        self.seconds_before = seconds_of(self.events)

    @property
    def seconds(self) -> float:
        """Wall time spent on the run so far, in seconds, earlier sessions included."""
        return self.seconds_before + clock.now() - self._started

    def append(self, type_: str, **content: Any) -> Event:
        """Append one event to the journal, and return when it is on the disk.

        Returns:
            The event as it was written, without secrets. Use the content of this event: a resumed run will read it.

        Raises:
            InputError: the event cannot be written, or the run directory was moved or deleted. Earlier events stay
                readable.
        """
        event: Event = {"type": type_, **redacted(content), "seconds": round(clock.now() - self._started, 3)}
        self._record.append(event)
        return event

    def note(self, type_: str, **content: Any) -> None:
        """Append an event, unless an earlier session has written the same event."""
        if not self.find(type_, **content):
            self.append(type_, **content)

    def find(self, type_: str, **match: Any) -> Event | None:
        """Return the latest event in `events` of a type whose fields equal `match`; None if there is none."""
        wanted = {"type": type_, **match}.items()
        return next((one for one in reversed(self.events) if all(one.get(key) == value for key, value in wanted)), None)

    def close(self) -> None:
        """Let another process open the run."""
        self._lock.release()


def read(folder: Path) -> list[Event]:
    """Return the events in the journal of a run, oldest first, without locking the journal.

    Raises:
        InputError: there is no journal, or it is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} is not a run directory: it has no {FILE_NAME}.")
    return _events(path)


def last(folder: Path, type_: str) -> Event | None:
    """Return the latest event of one type in the journal of a run; None if there is none. Damaged lines are skipped."""
    try:
        lines = read_record(folder / FILE_NAME, MOST_BYTES).split(b"\n")
    except (InputError, OSError):
        return None
    start = json.dumps({"type": type_})[:-1].encode()
    for line in reversed(lines):
        if line.startswith(start):  # only these lines are parsed: the journals of all runs beside a run are read
            with suppress(*_DAMAGE):
                return _event(line)
    return None


def _events(path: Path) -> list[Event]:
    """Return the event of each whole line of a journal; raise an InputError if a line is damaged."""
    return read_lines(path, MOST_BYTES, _event, _fix)


def _fix(number: int) -> str:
    if number == 1:  # the event `start`, without which nothing can be resumed
        return "start a new run in another folder"
    return "remove the line and resume: what it held is then made again"


def _event(line: bytes) -> Event:
    """Return the event of a line; raise one of `_DAMAGE` if the line is damaged."""
    event: Event = json.loads(line)
    if not isinstance(event["type"], str) or not 0 <= event["seconds"] < _LONGEST_SECONDS:
        raise TypeError("no event")
    return event


def seconds_of(events: Sequence[Event]) -> float:
    """Return the wall time, in seconds, of all sessions that wrote these events."""
    # The clock of a session starts at 0 with its `start` event, so the last event of a session holds the whole time.
    after = [*(event["type"] == "start" for event in events[1:]), True]
    return float(sum(event["seconds"] for event, ends in zip(events, after, strict=False) if ends))


def seconds_of_search(events: Sequence[Event]) -> float:
    """Return the seconds from `start` to the test, or to the last event before it, of all sessions together."""
    total, searching = 0.0, False
    for before, event in pairwise(events):
        if before["type"] in ("start", "test"):
            searching = before["type"] == "start"
        if searching and event["type"] != "start":
            total += event["seconds"] - before["seconds"]
    return total


def check_same(journal: Journal, identity: Mapping[str, Any]) -> None:
    """Raise an error if a journal belongs to another search than the search with this `identity`.

    Raises:
        InputError: the journal belongs to another search; the message names a difference.
    """
    before = journal.find("start")
    if before is None:
        return
    if not identity.keys() <= before.keys():
        raise InputError(
            f"{journal.path.parent} holds a search that was begun in another way, by `ipo optimize` or by IPO.compile; "
            "go on with it that way, or begin a new one elsewhere."
        )
    other = next((key for key, value in redacted(dict(identity)).items() if before.get(key) != value), None)
    if other:
        raise InputError(
            f"{journal.path.parent} holds a search with another value of {other}; begin a new one elsewhere, or go on "
            "with what that search was begun with."
        )


def begin(journal: Journal, identity: Mapping[str, Any], **about: Any) -> None:
    """Write the event `start`, the first event of a session.

    Args:
        journal: the journal of the search.
        identity: the values that must be equal in all sessions of a search.
        about: further values to record about the search.

    Raises:
        InputError: the journal belongs to another search.
    """
    check_same(journal, identity)
    journal.append("start", **about, **identity)


# The file: lines of JSON. A run appends to it, and changes nothing before its end. `replies.jsonl` is such a file, too.


class Record:
    """A file to which any number of threads append lines. The first line makes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    @cached_property
    def _file(self) -> Any:
        # Unbuffered: a buffer that cannot be written would fail a second time when the file is closed.
        file = self.path.open("a+b", buffering=0)
        weakref.finalize(self, file.close)
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)  # a kill may have left a part of a line
        return file

    def append(self, content: Mapping[str, Any]) -> None:
        """Append a line, and return when it is on the disk.

        Raises:
            InputError: the line cannot be written, or the run directory was moved or deleted. Earlier lines stay
                readable.
        """
        line = line_of(content)
        with self._lock:
            try:
                end = self._file.seek(0, os.SEEK_END)
                try:
                    written = 0
                    while written < len(line):  # a nearly full disk may take only a part of the line
                        written += self._file.write(line[written:]) or 0
                    os.fsync(self._file.fileno())
                except OSError:
                    self._file.truncate(end)
                    raise
            except OSError as error:
                raise InputError(
                    f"cannot write {self.path}: {error.strerror}; make room, or move the run directory back if it was "
                    "moved, then resume."
                ) from error
        with suppress(OSError):  # after the write: a directory that was moved still gets the paid reply
            if os.path.samestat(self.path.lstat(), os.fstat(self._file.fileno())):
                return
        raise InputError(
            f"the run directory {self.path.parent} was moved or deleted while the run went on, so nothing more is "
            "asked; if it was moved, move it back and resume."
        )


def read_lines(path: Path, most: int, parse: Callable[[bytes], T], fix: Callable[[int], str]) -> list[T]:
    """Return what `parse` makes of each whole line of a file, in order; [] if there is no file.

    Args:
        path: the file.
        most: the most bytes that are read.
        parse: a function that raises one of `_DAMAGE` for a damaged line.
        fix: a function from the number of a damaged line to what to do, other than restoring the file.

    Raises:
        InputError: a line is damaged; or see `read_record`.
    """
    found = []
    for number, line in enumerate(read_record(path, most).split(b"\n")[:-1], start=1):
        try:
            found.append(parse(line))
        except _DAMAGE as error:
            other = fix(number)
            raise InputError(f"{path} is damaged in line {number}; restore it from a copy, or {other}.") from error
    return found


def line_of(content: Mapping[str, Any]) -> bytes:
    """Return a dictionary as a line of JSON with a line break."""
    # Half a character (a lone surrogate) has no UTF-8; JSON writes it as an escape.
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
