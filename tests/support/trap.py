"""A trap in this process: who is reached, what is started, and what is written outside of the folders that may be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

REACHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")
STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
CHANGED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
CODE = "evil"
"""The module of a stranger."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_caught: list[str] = []
_folders: list[tuple[str, ...]] = []
_logging: list[bool] = []


class Trapped(Exception):
    """Nothing that is caught is done."""


@contextmanager
def trapped(*folders: str, logging: bool = False) -> Iterator[list[str]]:
    """Catch what is done while the block runs; files below the folders may be written.

    With `logging`, W&B's own process may be started and spoken to; whom that one asks is for a server to see. Python
    keeps nothing of the modules that it compiles meanwhile, so that all that is written is the block's doing.
    """
    _logging[:] = [logging]
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _folders.append((*map(os.path.realpath, folders), "/dev/null", "/dev/tty"))
    _caught.clear()
    try:
        yield _caught
    finally:
        _folders.pop()
        sys.dont_write_bytecode = kept


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _folders:
        return
    wrong = None
    if event == "socket.bind" and arguments[1][1] == 0 and arguments[1][0] in ("::1", "127.0.0.1"):
        return  # libraries try so whether there is IPv6
    if _logging[0] and (event in STARTED or (event == "socket.connect" and isinstance(arguments[1], str))):
        return
    if event in REACHED or event in STARTED:
        wrong = f"{event} {arguments[-1] if event in REACHED else arguments[0]!r}"
    elif event == "import" and arguments[0] == CODE:
        wrong = "the code of a stranger"
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        wrong = _outside(event, arguments[:1])
    elif event in CHANGED:
        wrong = _outside(event, arguments[1:2] if event in ("os.link", "os.symlink") else arguments[:2])
    if wrong:
        _caught.append(wrong)
        raise Trapped(wrong)


def _outside(event: str, paths: Sequence[Any]) -> str | None:
    for path in paths:
        if isinstance(path, (str, bytes, os.PathLike)) and os.fspath(path):
            place = os.fsdecode(path)
            parent, name = os.path.split(os.path.abspath(place))  # noqa: PTH100 - may run in any thread of the import
            # Opening follows a link; renaming and removing do not.
            real = os.path.realpath(place) if event == "open" else f"{os.path.realpath(parent)}/{name}"
            if not any(real == folder or real.startswith(f"{folder}/") for folder in _folders[-1]):
                return f"{event} {real}"
    return None


sys.addaudithook(_watch)
