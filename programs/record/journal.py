"""The append-only record of a run. Everything that was paid for or measured is on disk before it is used.

`journal.jsonl` holds one JSON object a line. A killed run resumes from it: recorded replies are used again, scores are
made again. An incomplete last line, left by a kill in the middle of a write, is cut off.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from ipo.metrics.errors import InputError
from ipo.programs.record.redaction import redacted

FILE_NAME = "journal.jsonl"

Event = dict[str, Any]


class Journal:
    """The record of one run, open in one process at a time.

    Args:
        folder: the run directory; made when missing.
        started: `time.monotonic()` when this session began; now when None.

    Attributes:
        events: those that the record held when it was opened, oldest first.

    Raises:
        InputError: the folder cannot be written, another process holds it, or the record is damaged.

    Example:
        >>> journal = Journal(Path("runs/pets"))
        >>> _ = journal.append("scores", kind="search", step=0)
        >>> journal.close()
        >>> again = Journal(Path("runs/pets"))
        >>> again.find("scores", step=0)["kind"]
        'search'
        >>> again.close()
    """

    def __init__(self, folder: Path, started: float | None = None) -> None:
        self.path = folder / FILE_NAME
        self._lock = filelock.FileLock(folder / ".lock", timeout=0)
        self._mutex = threading.Lock()
        self._started = time.monotonic() if started is None else started
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.events = list(_read(self.path, repair=True))
            # Half a character (a lone surrogate) has no UTF-8; its escape is what JSON has for it.
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
        except filelock.Timeout as error:
            raise InputError(
                f"another process is working in {folder}; wait for it, or choose another --out."
            ) from error
        except OSError as error:
            raise InputError(
                f"cannot write the run directory {folder}: {error.strerror}; choose another --out."
            ) from error
        self.seconds_before: float = sum(event["seconds"] for event in _segment_ends(self.events))

    @property
    def seconds(self) -> float:
        """Wall time spent on the run so far, earlier sessions included."""
        return self.seconds_before + time.monotonic() - self._started

    def append(self, type_: str, **content: Any) -> Event:
        """Write one event through to the disk; only then may its content be used.

        Returns:
            The event as it was written, without secrets: use this one, as a resumed run will.

        Raises:
            InputError: the disk is full or gone. What was written before stays readable.
        """
        event: Event = {"type": type_, **redacted(content), "seconds": round(time.monotonic() - self._started, 3)}
        line = json.dumps(event, ensure_ascii=False)
        with self._mutex:
            try:
                self._file.write(line + "\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise InputError(
                    f"cannot write {self.path}: {error.strerror}; make room, then --resume {self.path.parent}."
                ) from error
        return event

    def find(self, type_: str, **match: Any) -> Event | None:
        """Return the latest of `events` that has this type and whose fields equal `match`."""
        for event in reversed(self.events):
            if event["type"] == type_ and all(event.get(name) == value for name, value in match.items()):
                return event
        return None

    def close(self) -> None:
        """Close the file, so that another process can open the run."""
        self._file.close()
        self._lock.release()


def read(folder: Path) -> list[Event]:
    """Read the record of a run without locking it.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} is not a run directory: it has no {FILE_NAME}.")
    return list(_read(path, repair=False))


def _read(path: Path, *, repair: bool) -> Iterator[Event]:
    if not path.exists():
        return
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data) and repair:
        with path.open("r+b") as file:
            file.truncate(end)
    for number, line in enumerate(data[:end].splitlines(), start=1):
        try:
            event = json.loads(line)
            event["type"], event["seconds"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged in line {number}; start a new run, or cut the file before it."
            ) from error
        yield event


def _segment_ends(events: list[Event]) -> Iterator[Event]:
    """Yield the last event of every session; the clock of a session starts at 0 with its `start` event."""
    for i, event in enumerate(events):
        if i + 1 == len(events) or events[i + 1]["type"] == "start":
            yield event
