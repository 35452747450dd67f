"""Several processes share a grid's folder, on one machine or on many: parts, and claims on cells.

A process claims a cell by creating a file in the cell's folder, which fails where the file exists. No file is locked,
because cluster file systems may lack locks. The process touches its file while it works. A claim is dead when its file
was not touched for `DEAD_AFTER` seconds, or when its process has gone from this machine. Claims are numbered: to take
over from the dead claim k, a process creates claim k + 1, and only one process can.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from ipo_prompts.experiments.compare.grid import GridCell
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.files import read_bytes

BEAT = 20.0
"""Seconds between two touches of a claim."""
DEAD_AFTER = 300.0
"""Seconds without a touch after which a claim is dead; network file systems show a touch up to a minute late."""


def part_of(found: Sequence[GridCell], spec: str) -> tuple[list[GridCell], int]:
    """Return the cells of one part of a grid, in their order, and the number of parts.

    The rows of one data set and seed stay together, because they share pictures and replies. So no reply is paid for in
    two parts. Each data set goes round the parts, seed by seed, because data sets differ most in how long they take.

    Args:
        found: the cells of the whole grid.
        spec: `I/N`: part I of N, counted from 1.

    Raises:
        InputError: the spec is none, or there are fewer pairs of a data set and a seed than parts.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", spec)
    number, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= parts:
        raise InputError(f"--part={spec} is no part; write I/N with I from 1 to N, such as 1/4.")
    data = list(dict.fromkeys(entry.cell.data for entry in found))
    seeds = list(dict.fromkeys(entry.cell.seed for entry in found))
    if parts > len(data) * len(seeds):
        raise InputError(
            f"there are at most {len(data) * len(seeds)} parts, not {parts}: the rows of one data set and seed share "
            "pictures and replies, so that one part does them all."
        )
    step = len(data) + (len(data) % parts == 0)  # a multiple of `parts` would leave each data set in one part
    turn = {(one, seed): i + j * step for i, one in enumerate(data) for j, seed in enumerate(seeds)}
    return [entry for entry in found if turn[entry.cell.data, entry.cell.seed] % parts == number - 1], parts


def holder(folder: Path, session: str = "") -> str | None:
    """Return who works on the cell in a folder, as a text with machine and process; None if nobody does.

    Claims of the session `session` do not count: a worker of this session has died, and its item is tried again.
    """
    numbers = _claims(folder)
    return _alive(folder, numbers[-1], session) if numbers else None


@contextmanager
def claimed(folder: Path, session: str) -> Iterator[bool]:
    """Claim the cell in a folder within the block.

    Args:
        folder: the folder of the cell.
        session: a text that no other call of `run_all` has.

    Yields:
        Whether this process has the cell. If not, another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    below = (_claims(folder) or [0])[-1]
    mine = _file(folder, below + 1)
    try:
        if below and _alive(folder, below, session):
            raise FileExistsError
        with mine.open("x") as file:
            json.dump({"place": _place(), "process": os.getpid(), "session": session}, file)
    except FileExistsError:
        yield False
        return
    ended = threading.Event()
    threading.Thread(target=_touch, args=(mine, ended), daemon=True).start()
    try:
        # Since it was found dead, the claim below may have been released and made anew by another process.
        yield not (below and _alive(folder, below, session))
    finally:
        ended.set()
        for number in (one for one in _claims(folder) if one <= below):
            _file(folder, number).unlink(missing_ok=True)
        mine.unlink(missing_ok=True)  # the last: a dead claim must not seem to be the newest


def _file(folder: Path, number: int) -> Path:
    return folder / f"claim-{number}.json"


def _claims(folder: Path) -> list[int]:
    """Return the numbers of the claims in a folder, in their order."""
    return sorted(int(file.stem.partition("-")[2]) for file in folder.glob("claim-*.json"))


def _place() -> str:
    """Return this machine, with what tells apart containers that do not see each other's processes."""
    processes = ""
    with suppress(OSError):  # no Linux
        processes = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()} {processes}".rstrip()


def _alive(folder: Path, number: int, session: str) -> str | None:
    """Return who holds a claim; None if the claim is dead, released, or of this session."""
    file = _file(folder, number)
    try:
        silent = _now(folder) - file.stat().st_mtime
        text = read_bytes(file, 1_000)
    except OSError:
        return None  # just released
    try:
        place, process, of = (json.loads(text)[key] for key in ("place", "process", "session"))
    except (ValueError, KeyError, TypeError):  # just being written
        place, process, of = "an unknown machine", "that begins", ""
    gone = place == _place() and Path("/proc/self").exists() and not Path(f"/proc/{process}").exists()
    if gone or silent > DEAD_AFTER or (session and of == session):
        return None
    return printable(f"process {process} on {str(place).partition(' ')[0]}")


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system, since the clocks of two machines may differ."""
    with TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _touch(file: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(file)
