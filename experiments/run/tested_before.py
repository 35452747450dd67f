"""Count how often test images were tested before, by all runs and grids of this user.

Whoever tests ten templates on the same images and reports the best has chosen it on these images. So a run whose
test images were tested before reports its gain with the interval, and no verdict. The same answers again, as of a run
that is resumed or repeated, and all cells of a grid are one test: they tell nothing new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path

import filelock
from pydantic import ValidationError

from ipo_prompts.experiments.run.files import Content, check_writable
from ipo_prompts.metrics.errors import InputError

FILE_NAME = "tests.jsonl"
DIGITS = 12
"""How many digits of a digest are recorded; even among a million images, hardly two digests begin alike."""


class Counted(Content):
    """A line of the file.

    Attributes:
        name: the name of the test: a digest of its answers, or of the folder of a grid.
        images: for each test image, the beginning of the digest of its bytes.
    """

    name: str
    images: frozenset[str]


def state_dir() -> Path:
    """Return `ipo` in the user's state folder. It may not exist yet."""
    import platformdirs

    return Path(platformdirs.user_state_dir("ipo", appauthor=False))


def check_countable() -> None:
    """Refuse to search if the test could not be counted.

    Raises:
        InputError: the user's state folder cannot be written.
    """
    check_writable(state_dir(), "folder in which tests are counted", "make it writable, or set XDG_STATE_HOME")


def name_of(answers: object) -> str:
    """Return the name of a test; `answers` are JSON values."""
    return hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:DIGITS]


def times_before(contents: Callable[[], Iterable[str]]) -> int:
    """Return how many tests had at least half of some images.

    `contents` returns the digests of their bytes. It is called only if there are tests.
    """
    tests = list(_tests(state_dir() / FILE_NAME))
    images = _beginnings(contents()) if tests else frozenset[str]()
    return sum(_shares_half(one, images) for one in tests)


def count(name: str, contents: Iterable[str]) -> int:
    """Record a test, once; return how many tests before it had at least half of its images.

    Args:
        name: the name of the test, see `Counted`.
        contents: the digest of the bytes of each test image.

    Raises:
        InputError: the file cannot be written.
    """
    test, file = Counted(name=name, images=_beginnings(contents)), state_dir() / FILE_NAME
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_suffix(".lock")):
            before = 0
            for one in _tests(file):
                if one == test:
                    return before
                before += _shares_half(one, test.images)
            with file.open("a", encoding="utf-8") as lines:
                lines.write(f"\n{test.model_dump_json()}\n")  # the first \n ends a line that was not written whole
            return before
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}; make room, then resume.") from error


def told(times: int) -> str:
    """Say that test images were tested before."""
    often = "once" if times == 1 else f"{times:,} times"
    return f"these test images were tested {often} before; for a p-value, search on new images"


def _beginnings(contents: Iterable[str]) -> frozenset[str]:
    return frozenset(content[:DIGITS] for content in contents)


def _shares_half(test: Counted, images: Set[str]) -> bool:
    return 2 * len(test.images & images) >= len(images)


def _tests(file: Path) -> Iterator[Counted]:
    """Yield the tests of the file, oldest first; a line that was not written whole is passed over."""
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Counted.model_validate_json(line)
        except ValidationError:
            continue
