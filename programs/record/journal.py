"""The append-only record of a run. Everything that was paid for or measured is on disk before it is used.

`journal.jsonl` holds one JSON object a line. A killed run resumes from it: recorded replies are used again, scores are
computed again. If a kill in the middle of a write left an incomplete last line, the line is cut off. Each line ends
with a checksum of the text before it. A damaged line is never skipped: it may have been paid for.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.errors import InputError, flag, listener
from ipo_prompts.programs.record import trust
from ipo_prompts.programs.record.lines import (
    FILE_NAME,
    LOCK,
    MOST_BYTES,
    Event,
    bytes_of,
    event_of,
    last,
    line_of,
    no_link,
    refuse_links,
)
from ipo_prompts.programs.record.redaction import redacted
from ipo_prompts.programs.record.trust import resumed_by

__all__ = [
    "FILE_NAME",
    "LOCK",
    "MOST_BYTES",
    "Event",
    "Journal",
    "begin",
    "check_same",
    "last",
    "line_of",
    "read",
    "seconds_of",
]


class Journal:
    """The record of one run, open in one process at a time.

    Args:
        folder: the run directory; made when missing.
        started: `clock.now()` when this session began; now when None.

    Attributes:
        events: the events that the record held when it was opened, oldest first.

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
        self._lock = filelock.FileLock(folder / LOCK, timeout=0)
        self._mutex = threading.Lock()
        self._started = clock.now() if started is None else started
        try:
            folder.mkdir(parents=True, exist_ok=True)
            refuse_links(folder / LOCK, self.path)
            self._lock.acquire()
            data = bytes_of(self.path)
            self.events = list(_events(self.path, data))
            end = _end_of_lines(self.path, data)  # only now is it known to be a journal, which may be repaired
            # Unbuffered: a buffer that cannot be written would fail again at the end.
            self._file = open(self.path, "ab", buffering=0, opener=no_link)  # noqa: SIM115
            if os.fstat(self._file.fileno()).st_nlink > 1:
                self._file.close()
                raise InputError(
                    f"{self.path} has a second name elsewhere (a hard link), and what is written would change that "
                    "file, too; put a copy in its place."
                )
            if end < len(data):
                self._file.truncate(end)
        except filelock.Timeout as error:
            raise InputError(
                f"another process is working in {folder}; wait for it, or choose another {flag('out')}."
            ) from error
        except OSError as error:
            place = "log_dir" if listener() == "compile" else "the run directory"
            raise InputError(
                f"cannot write {place} {folder}: {error.strerror}; choose another {flag('out')}."
            ) from error
        self.seconds_before = seconds_of(self.events)

    @property
    def seconds(self) -> float:
        """Wall time spent on the run so far, in seconds, earlier sessions included."""
        return self.seconds_before + clock.now() - self._started

    def append(self, type_: str, **content: Any) -> Event:
        """Write one event through to the disk; only then may its content be used.

        Returns:
            The event as it was written, without secrets. Use this one, as a resumed run will.

        Raises:
            InputError: the disk is full or gone, or see `check_there`. Earlier events stay readable.
        """
        event: Event = {"type": type_, **redacted(content), "seconds": round(clock.now() - self._started, 3)}
        line = line_of(event)
        with self._mutex:
            try:
                end = self._file.seek(0, os.SEEK_END)
                try:
                    written = 0
                    while written < len(line):  # a nearly full disk takes only a part
                        written += self._file.write(line[written:]) or 0
                    os.fsync(self._file.fileno())
                except OSError:
                    self._file.truncate(end)
                    raise
            except OSError as error:
                raise InputError(
                    f"cannot write {self.path}: {error.strerror}; make room, then {resumed_by(self.path.parent)}."
                ) from error
        self.check_there()  # only now, so that a directory that was moved still gets what was paid for
        return event

    def check_there(self) -> None:
        """Refuse to go on in a run directory that is no longer where it was.

        Raises:
            InputError: the directory was moved or deleted.
        """
        try:
            there = os.path.samestat(self.path.lstat(), os.fstat(self._file.fileno()))
        except OSError:
            there = False
        if not there:
            raise InputError(
                f"the run directory {self.path.parent} was moved or deleted while the run went on, so nothing more is "
                f"asked; if it was moved, move it back and go on with {resumed_by(self.path.parent)}."
            )

    def find(self, type_: str, **match: Any) -> Event | None:
        """Return the latest of `events` that has this type and whose fields equal `match`."""
        wanted = {"type": type_, **match}.items()
        return next((one for one in reversed(self.events) if all(one.get(key) == value for key, value in wanted)), None)

    def close(self) -> None:
        """Close the file, so that another process can open the run."""
        try:
            self._file.close()
        finally:
            self._lock.release()


def read(folder: Path) -> list[Event]:
    """Read the record of a run without locking it.

    Raises:
        InputError: there is no record, or it is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} is not a run directory: it has no {FILE_NAME}.")
    return list(_events(path, bytes_of(path)))


def _events(path: Path, data: bytes) -> Iterator[Event]:
    """Yield the events of all whole lines."""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield event_of(line)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(_damaged(path, number, line)) from error


def _end_of_lines(path: Path, data: bytes) -> int:
    """Return where the whole lines end; the rest was left by a kill. A file without a whole line may be no journal."""
    end = data.rfind(b"\n") + 1
    start = json.dumps({"type": ""})[:-2].encode()
    if end == 0 and not (data.startswith(start) or start.startswith(data)):
        raise InputError(f"{path} is no record of a run; move it away, or name another run directory.")
    return end


def _damaged(path: Path, number: int, line: bytes) -> str:
    """Say what a damaged line costs, and how to give it up. No reply is paid for again unless the user does so."""
    again = "the content of the line is made again"
    if b'"type": "lm"' in line:
        amount = rb"([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)[,}]"
        cost = [re.search(rb'"%s": %s' % (name, amount), line) for name in (b"tokens_in", b"tokens_out", b"usd")]
        spent = [float(found[1]) if found else None for found in cost]
        tokens = f"{spent[0] + spent[1]:,.0f} tokens" if spent[0] is not None and spent[1] is not None else "its tokens"
        again = f"its reply is paid for again ({tokens}{'' if spent[2] is None else f', ${spent[2]:.4f}'})"
    file = shlex.quote(str(path))
    return (
        f"{path} is damaged in line {number}; restore the file from a copy, or remove the line with "
        f"`sed -i {number}d {file}` and resume with {resumed_by(path.parent)}, where {again}."
    )


def seconds_of(events: Sequence[Event]) -> float:
    """Return the wall time of all sessions that left these events."""
    # The clock of a session starts at 0 with its `start` event, so its last event holds the whole time.
    after = [*(event["type"] == "start" for event in events[1:]), True]
    return float(sum(event["seconds"] for event, ends in zip(events, after, strict=False) if ends))


def check_same(journal: Journal, identity: Mapping[str, Any]) -> None:
    """Refuse the journal of another search.

    Raises:
        InputError: the journal is that of another search; the message names what differs.
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
        differs = "differ" if other.endswith("s") else "differs"
        raise InputError(
            f"{journal.path.parent} holds another search: its {other} {differs}; begin a new one elsewhere, or go "
            "on with what that search was begun with."
        )


def begin(journal: Journal, identity: Mapping[str, Any], **about: Any) -> None:
    """Write the first event of a session.

    Args:
        journal: the journal of the search.
        identity: what makes the search this search and no other.
        about: what else is known about the search.

    Raises:
        InputError: the journal is that of another search.
    """
    check_same(journal, identity)
    content = redacted({**about, **identity})
    journal.append("start", **content, **({trust.SEAL: made} if (made := trust.seal(content)) else {}))
