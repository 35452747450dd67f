"""Files that are written whole or not at all.

The content goes to a new file beside the target, under a random name: a folder may be a stranger's, and a name that can
be guessed can be a link to somebody's own file. The rename then replaces whatever has the target's name: of a link the
link, never what it points to.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left of the new content.
    """
    with replacing(file) as opened:
        opened.write(content)


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the name of `file` when the block ends, on the disk by then; if it fails, it is gone.

    Raises:
        OSError: see `write_whole`.
    """
    partial = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("x+b") as opened:  # x: nothing is opened that is there already, and no link is followed
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def flush_tree(place: Path) -> None:
    """Have a file, or all files of a folder, on the disk; links are not followed.

    Raises:
        OSError: it cannot be.
    """
    files = [place] if place.is_file() else [found for found in place.rglob("*") if found.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
