"""How often pictures were opened: by this run, by those beside it and before it, by clicks, and elsewhere.

Each opening is one more chance to claim by luck, so p is corrected for its number (`metrics/verdict.py`). An opening is
known by what it found, the hits of both templates: a run that is replayed, or ends with the same template again, tests
nothing new and is no other opening.

That correction holds for templates, which are found without the sealed pictures. Classes and their names are what a
person changes, and the page shows the person in which classes the sealed pictures were lost. So an opening with other
ones than those before it gives no p, unless a search found them on search and selection pictures alone.

Who asks about ten templates by clicks, a page each, has ten chances to find something by luck, too. Pages lie where
people put them, so these peeks are kept in the user's state folder: `clicks/`, beside the secret of `trust.py`, has a
file for each set of pictures. It holds digests alone. Without it peeks are counted from what `label.json` and the runs
beside it say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.run.files import Content, event_as, read_model, write_json
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import ALPHA
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import SLOT, fill, names_of
from ipo_prompts.metrics.verdict import spends
from ipo_prompts.programs.record.journal import FILE_NAME, Journal, last
from ipo_prompts.programs.record.lines import last_of
from ipo_prompts.programs.record.trust import own_settings, secret_file

DIGITS = 12
"""Of a digest: of a million pictures hardly two begin alike."""
EVENT = "opened"
MOST = 1_000_000
"""Openings elsewhere."""


Names = tuple[str, str]
"""What all classes of the data are called, as digests: as a run was given them, and after its search for names."""


class Openings(Content):
    """The `opened` event of a journal: an opening, and those before it of the same sealed pictures or some of them.

    Attributes:
        this: what this one is called.
        known: the names of all, this one included.
        elsewhere: how many more were made elsewhere.
        pictures: the beginning of the digest of each sealed picture's bytes, however they are read and labelled.
        given: the digest of the classes and their names that this run was given; empty in records without it.
        allowed: the digests of those that no sealed picture had a part in: of the first opening, then what searches for
            names found from there. None where openings began with different ones.
    """

    this: str
    known: tuple[str, ...]
    elsewhere: Annotated[int, Field(ge=0, le=MOST)]
    pictures: tuple[str, ...]
    given: str = ""
    allowed: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The how many-th opening this one is."""
        return self.elsewhere + len(self.known)

    @property
    def tests(self) -> bool:
        """Whether it gives a p: no sealed picture can have chosen its classes and their names."""
        return self.given in self.allowed


def names_digest(class_names: Iterable[str]) -> str:
    """Return a digest of classes, in their order, with all names of each, letter by letter as prompts have them."""
    read = [[fill(SLOT, one) for one in names_of(name)] for name in class_names]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()[:DIGITS]


def count(
    this: str, pictures: Set[str], names: Names, elsewhere: int, journal: Journal, before: Sequence[Openings] = ()
) -> Openings:
    """Count an opening and record it; the count stays when the run is resumed and opens nothing new.

    Args:
        this: its name, see `opening_of`.
        pictures: see `Openings`.
        names: of the classes.
        elsewhere: how many were made where they cannot be counted; the most that any run of these pictures was told.
        journal: of the run, with its tests.
        before: of the runs that it started from.
    """
    found = event_as(Openings, journal.find(EVENT, this=this))
    if found and found.given and found.elsewhere >= elsewhere:
        return found
    own = {opening_of(event.get("template"), event.get("hits")) for event in journal.events if event["type"] == "test"}
    found = opened_after([*before, *_beside(journal.path.parent)], this, pictures, names, elsewhere, own)
    journal.append(EVENT, **found.model_dump(mode="json"))
    return found


def opened_after(
    others: Sequence[Openings],
    this: str,
    pictures: Set[str],
    names: Names,
    elsewhere: int = 0,
    own: Set[str] = frozenset(),
) -> Openings:
    """Return an opening after others and after verdicts by clicks; `own` are those that the same run made before."""
    given, renamed = names
    others = [one for one in others if not pictures.isdisjoint(one.pictures)]
    allowed = _allowed(others, pictures) if others else (given,)
    if given in allowed:
        allowed = tuple(dict.fromkeys((*allowed, renamed)))
    clicked = {one.question for one in peeks_at(pictures)}
    return Openings(
        this=this,
        known=tuple(sorted({this, *own, *clicked}.union(*(one.known for one in others)))),
        elsewhere=max([elsewhere, *(one.elsewhere for one in others)]),
        pictures=tuple(sorted(pictures)),
        given=given,
        allowed=allowed,
    )


def _allowed(others: Sequence[Openings], pictures: Set[str]) -> tuple[str, ...]:
    """Return the names under which pictures that others opened may be tested again, as `Openings` has them.

    Where others began with different names, those of the one may have been chosen by what the other showed. And a run
    that sealed only a part of these pictures may have found its names on the rest.
    """
    firsts = {one.allowed[:1] for one in others}
    if len(firsts) > 1:
        return ()
    found = (one.allowed for one in others if pictures <= set(one.pictures))
    return tuple(dict.fromkeys(chain(*firsts, *found)))


def cost_of_opening(
    planned: Plan,
    contents: Callable[[list[Picture]], Iterable[str]],
    folder: Path,
    before: Sequence[Openings] = (),
) -> str | None:
    """Say what it costs to open sealed pictures once more; None where nobody has opened any of them.

    Args:
        planned: a run that would open them.
        contents: returns the digests of pictures' bytes; it is called only where anything was opened before.
        folder: of the run.
        before: of the runs that it starts from.

    Raises:
        InputError: a picture cannot be read.
    """
    others, drawn = [*before, *_beside(folder)], planned.drawn
    if not others and not planned.config.opened:
        return None
    digest = names_digest(planned.data.class_names)
    pictures = {content[:DIGITS] for content in contents([item.picture for item in (*drawn.test, *drawn.new_test)])}
    found = opened_after(others, "", pictures, (digest, digest), planned.config.opened)
    times = found.number - 1
    if not times:
        return None
    often = "once" if times == 1 else f"{times:,} times"
    opened = f"these sealed pictures, or some of them, were opened {often} before"
    if not found.tests:
        return (
            f"{opened}, with other classes or class names: what they showed may have chosen those of this run, so it "
            "will give a difference with its interval and no p; only new pictures can test it"
        )
    return (
        f"{opened}: an uncorrected p has to be {spends(found.number) * ALPHA:.3g} or less to show a gain of another "
        f"template, where the first opening needed {spends(1) * ALPHA:.3g}"
    )


def opening_of(template: object, hits: object) -> str:
    """Name an opening by its `test` event: the chosen template, and what both contributed on each unit."""
    return hashlib.sha256(json.dumps([template, hits], sort_keys=True).encode()).hexdigest()[:DIGITS]


def last_opening(folder: Path) -> Openings | None:
    """Return the latest opening of a run; None where it opened nothing, or its record says nothing that is whole."""
    return event_as(Openings, last(folder, EVENT))


def opened_at(folder: Path, pictures: Set[str]) -> list[Openings]:
    """Return the openings of these pictures or some of them, by the run in a folder and by those beside it."""
    return [one for one in _beside(folder) if not pictures.isdisjoint(one.pictures)]


def _beside(folder: Path) -> list[Openings]:
    """Return the latest of each run in the folder that a run lies in, this run included.

    A run that was begun elsewhere counts as one opening, whatever it says of others: it is its sender's word.
    """
    found = []
    for file in folder.absolute().parent.glob(f"*/{FILE_NAME}"):
        opened, start = last_of(file.parent, EVENT, "start")
        if one := event_as(Openings, opened):
            ours = own_settings(start) is not None
            found.append(one if ours else one.model_copy(update={"known": (one.this,), "elsewhere": 0}))
    return found


def names_after(data: DataSet, named: Any) -> list[str]:
    """Return what all classes of the data are called after a search for names, in label order; new ones as before."""
    pairs = zip(named.given, named.class_names, strict=True) if named else ()
    called = {str(before): after for before, after in pairs}
    return [called.get(str(name), name) for name in data.class_names]


# Verdicts by clicks.


class Peek(Content):
    """One time that a verdict was asked for.

    Attributes:
        question: a digest of the two programs, in any order.
        answers: a digest of the answers.
        opening: the how many-th opening of their pictures the question was, when it was first asked.
    """

    question: str
    answers: str
    opening: PositiveInt


class AllPeeks(Content):
    """The content of a file: the beginnings of the digests of the pictures, sorted, and all peeks at them."""

    pictures: tuple[str, ...]
    peeks: tuple[Peek, ...]


def peeks_at(pictures: Set[str]) -> set[Peek]:
    """Return the peeks at these pictures or some of them."""
    return {peek for known in _all() if not pictures.isdisjoint(known.pictures) for peek in known.peeks}


def asked_elsewhere(question: str, pictures: Set[str]) -> int:
    """Return on how many sets of other pictures a question was asked: who goes on to new ones has more chances."""
    others = [known for known in _all() if pictures.isdisjoint(known.pictures)]
    return sum(any(peek.question == question for peek in known.peeks) for known in others)


def _all() -> Iterator[AllPeeks]:
    """Yield what is kept; a file that is damaged counts for nothing."""
    for file in sorted(secret_file().with_name("clicks").glob("*.json")):
        with suppress(InputError):
            yield read_model(AllPeeks, file)


def remember(pictures: Collection[str], peek: Peek) -> None:
    """Keep a peek for later ones at the same pictures.

    Raises:
        InputError: the state folder cannot be written.
    """
    named = tuple(sorted(pictures))
    file = secret_file().with_name("clicks") / f"{hashlib.sha256(''.join(named).encode()).hexdigest()[:16]}.json"
    peeks: tuple[Peek, ...] = ()
    with suppress(InputError):
        peeks = read_model(AllPeeks, file).peeks
    if peek not in peeks:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(f"cannot write {file}: {error.strerror}.") from error
        write_json(file, AllPeeks(pictures=named, peeks=(*peeks, peek)))
