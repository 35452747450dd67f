"""Cells: what a script measured, kept in a file from which its tables are made again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.lab.gains import CELLS

Key = tuple[str | int | float, ...]
OPTION: dict[str, Any] = {"type": Path, "default": None, "help": "a file that keeps what is measured (.jsonl.gz)"}
"""The option `--cells` of a script, for `benchmarks.common.arguments`."""


class Cells:
    """Cells by their keys. A cell that is not there is measured.

    A file holds a line of JSON for each cell: its key and what was measured, in the order of the keys.

    Args:
        file: the file to read and to write; None keeps the cells in memory.
        complete: whether a cell that is not there is an error. Tables of the pages are made so: nothing is measured.
    """

    def __init__(self, file: Path | None = None, *, complete: bool = False) -> None:
        self._file, self._complete = file, complete
        self._known: dict[Key, Any] = {}
        if file and file.exists():
            for line in gzip.decompress(file.read_bytes()).decode("utf-8").splitlines():
                key, found = json.loads(line)
                self._known[tuple(key)] = found

    @classmethod
    def kept(cls, name: str) -> Cells:
        """Return the cells behind the tables of a page: `docs/evidence/cells/NAME.jsonl.gz`.

        Raises:
            FileNotFoundError: there is no such file.
        """
        file = CELLS / f"{name}.jsonl.gz"
        if not file.exists():
            raise FileNotFoundError(file)
        return cls(file, complete=True)

    def of(self, key: Key, measure: Callable[[], Any]) -> Any:
        """Return a cell; measure it if it is not there.

        Args:
            key: what the cell is of, the CLIP first.
            measure: returns what JSON can hold.

        Raises:
            KeyError: the cells must be complete, and this one is not there.
        """
        if key not in self._known:
            if self._complete:
                raise KeyError(key)
            self._known[key] = json.loads(json.dumps(measure()))
        return self._known[key]

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def items(self) -> Iterator[tuple[Key, Any]]:
        """Yield each cell with its key, in the order of the file."""
        yield from self._known.items()

    def save(self) -> None:
        """Write the file, if there is one."""
        if self._file:
            lines = sorted(json.dumps([list(key), found]) for key, found in self._known.items())
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))

    def __enter__(self) -> Cells:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was measured, also if an error ends the measurement."""
        self.save()


def short(clip: str) -> str:
    """Return what cells call a CLIP: its name, or that of its folder."""
    return clip.rpartition("/")[2]


def string_of(hits: Any, before: Any = None) -> str:
    """Return a character for each image: 1 for a hit, else 0; given other hits, + where one is gained, - where lost.

    Args:
        hits: 0 or 1 for each image, (n,).
        before: the same of the other hits.
    """
    if before is None:
        return "".join("01"[int(one)] for one in hits)
    return "".join("0+-"[int(one) - int(other)] for one, other in zip(hits, before, strict=True))


def show(lines: Iterable[str]) -> None:
    """Print each line as soon as what it says is measured."""
    for line in lines:
        print(line, flush=True)
