"""Verdicts by clicks that were asked for on pictures, wherever their pages lie: kept in the user's state folder.

Who asks about ten templates on the same pictures, a page each, has ten chances to find something by luck. Pages lie
where people put them, so looks are kept in one place: `clicks/`, beside the secret of `trust.py`, has a file for each
set of pictures. It holds digests alone. Without it looks are counted from what `label.json` and the runs beside it say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Set
from contextlib import suppress
from pathlib import Path

from pydantic import PositiveInt

from ipo_prompts.experiments.run.files import Content, read_model, write_json
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.trust import secret_file


class Look(Content):
    """One time that a verdict was asked for.

    Attributes:
        question: a digest of the two programs, in any order.
        answers: a digest of the answers.
        opening: the how many-th opening of their pictures the question was, when it was first asked.
    """

    question: str
    answers: str
    opening: PositiveInt


class AllLooks(Content):
    """The content of a file: the beginnings of the digests of the pictures, sorted, and all looks at them."""

    pictures: tuple[str, ...]
    looks: tuple[Look, ...]


def looks_at(pictures: Set[str]) -> set[Look]:
    """Return the looks at these pictures or some of them."""
    return {look for known in _all() if not pictures.isdisjoint(known.pictures) for look in known.looks}


def asked_elsewhere(question: str, pictures: Set[str]) -> int:
    """Return on how many sets of other pictures a question was asked: who goes on to new ones has more chances."""
    others = [known for known in _all() if pictures.isdisjoint(known.pictures)]
    return sum(any(look.question == question for look in known.looks) for known in others)


def _all() -> Iterator[AllLooks]:
    """Yield what is kept; a file that is damaged counts for nothing."""
    for file in sorted(_folder().glob("*.json")):
        with suppress(InputError):
            yield read_model(AllLooks, file)


def remember(pictures: Collection[str], look: Look) -> None:
    """Keep a look for later ones at the same pictures.

    Raises:
        InputError: the state folder cannot be written.
    """
    named = tuple(sorted(pictures))
    file = _folder() / f"{hashlib.sha256(''.join(named).encode()).hexdigest()[:16]}.json"
    looks: tuple[Look, ...] = ()
    with suppress(InputError):
        looks = read_model(AllLooks, file).looks
    if look not in looks:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(f"cannot write {file}: {error.strerror}.") from error
        write_json(file, AllLooks(pictures=named, looks=(*looks, look)))


def _folder() -> Path:
    return secret_file().parent / "clicks"
