"""Count how often sealed pictures were opened: by this run, by other runs, and elsewhere.

The counted runs are those beside this run. Each opening is one more chance to find a
gain by luck, so p is corrected for the number of the opening (`metrics/verdict.py`). The name of an opening is made
from its chosen template and the hits of both templates. So a run that is replayed, or that ends with the same template
again, does not count as another opening: it tests nothing new.

This correction holds for templates, because they are found without the sealed pictures. It does not hold for classes
and their names: a person may change them, and the page shows in which classes sealed pictures were misclassified. So an
opening with other classes or names than the earlier openings gives no p, unless a search found the names on search and
selection pictures alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.run.files import Content, event_as
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.metrics.errors import printable, several
from ipo_prompts.metrics.evidence import ALPHA
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import SLOT, fill, names_of
from ipo_prompts.metrics.verdict import spends
from ipo_prompts.programs.record.journal import FILE_NAME, Journal, last

DIGITS = 12
"""How many digits of a digest are recorded; even among a million pictures, hardly two digests begin alike."""
EVENT = "opened"
MOST = 1_000_000
"""The largest number of openings elsewhere that a record may hold."""


Names = tuple[str, str]
"""Two digests of all class names: of the names that a run was given, and of those after its search for names."""


class Openings(Content):
    """The `opened` event of a journal: an opening, and earlier openings of the same sealed pictures or some of them.

    Attributes:
        this: the name of this opening, see `opening_of`.
        known: the names of all openings, this one included.
        elsewhere: how many more openings were made elsewhere.
        pictures: for each sealed picture, the beginning of the digest of its bytes. The digest does not depend on how
            the picture is read or labelled.
        given: the digest of the class names that this run was given; empty in records that lack it.
        allowed: the digests of the class names that were chosen without any sealed picture. The first digest is that of
            the names of the first opening; the others are of names that searches for names made from them. Empty if
            openings began with different names.
        renamed_in: the names of the runs beside this one that opened some of the pictures with other class names.
    """

    this: str
    known: tuple[str, ...]
    elsewhere: Annotated[int, Field(ge=0, le=MOST)]
    pictures: tuple[str, ...]
    given: str = ""
    allowed: tuple[str, ...] = ()
    renamed_in: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The number of this opening, from 1."""
        return self.elsewhere + len(self.known)

    @property
    def tests(self) -> bool:
        """Whether this opening gives a p: it does if its class names were chosen without any sealed picture."""
        return self.given in self.allowed


def names_digest(class_names: Iterable[str]) -> str:
    """Return a digest of the names of all classes, in order, with synonyms, exactly as they stand in prompts."""
    read = [[fill(SLOT, one) for one in names_of(name)] for name in class_names]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()[:DIGITS]


def count(this: str, pictures: Set[str], names: Names, elsewhere: int, journal: Journal) -> Openings:
    """Count an opening and record it; an opening that the journal holds already is not counted again.

    Args:
        this: the name of the opening, see `opening_of`.
        pictures: the beginning of each sealed picture's digest, see `Openings`.
        names: the two digests of the class names.
        elsewhere: how many openings were made elsewhere, as the setting `opened` of this run says. If another run of
            these pictures was given a larger number, the larger number is used.
        journal: the journal of the run, with its `test` events.
    """
    found = event_as(Openings, journal.find(EVENT, this=this))
    if found and found.given and found.elsewhere >= elsewhere:
        return found
    own = {opening_of(event.get("template"), event.get("hits")) for event in journal.events if event["type"] == "test"}
    folder = journal.path.parent
    beside = _beside(folder)
    found = opened_after([*beside.values()], this, pictures, names, elsewhere, own)
    found = found.model_copy(update={"renamed_in": renamed_in(folder, beside, pictures, names[0])})
    journal.append(EVENT, **found.model_dump(mode="json"))
    return found


def opened_after(
    others: Sequence[Openings],
    this: str,
    pictures: Set[str],
    names: Names,
    elsewhere: int,
    own: Set[str] = frozenset(),
) -> Openings:
    """Return an opening that follows other openings.

    Args:
        others: the openings of other runs; those of other pictures are ignored.
        this: the name of the opening.
        pictures: the beginning of each sealed picture's digest.
        names: the two digests of the class names.
        elsewhere: how many openings were made elsewhere, as this run was told.
        own: the names of the earlier openings of the same run.
    """
    given, renamed = names
    others = [one for one in others if not pictures.isdisjoint(one.pictures)]
    again = [one for one in others if (one.this, one.given, set(one.pictures)) == (this, given, pictures)]
    first = min(again, key=lambda one: one.number, default=None)
    if first and first.elsewhere >= elsewhere:  # the same test again tests nothing new, and keeps its p
        return first
    allowed = _allowed(others, pictures) if others else (given,)
    if given in allowed:
        allowed = tuple(dict.fromkeys((*allowed, renamed)))
    return Openings(
        this=this,
        known=tuple(sorted({this, *own}.union(*(one.known for one in others)))),
        elsewhere=max([elsewhere, *(one.elsewhere for one in others)]),
        pictures=tuple(sorted(pictures)),
        given=given,
        allowed=allowed,
    )


def _allowed(others: Sequence[Openings], pictures: Set[str]) -> tuple[str, ...]:
    """Return the digests of the class names with which opened pictures may be tested again, see `Openings.allowed`.

    None are allowed if the other openings began with different names: the result of one opening may have led to the
    names of another. The names that a run found are allowed only if it sealed all of these pictures: else it may have
    found its names on some of them.
    """
    firsts = {one.allowed[:1] for one in others}
    if len(firsts) > 1:
        return ()
    found = (one.allowed for one in others if pictures <= set(one.pictures))
    return tuple(dict.fromkeys(chain(*firsts, *found)))


def cost_of_opening(planned: Plan, contents: Callable[[list[Picture]], Iterable[str]], folder: Path) -> str | None:
    """Say what a further opening of the sealed pictures means for p; return None if none was opened before.

    Args:
        planned: the plan of the run that would open them.
        contents: returns the digest of the bytes of each picture; called only if any pictures were opened before.
        folder: the run directory.

    Raises:
        InputError: a picture cannot be read.
    """
    beside, drawn = _beside(folder), planned.drawn
    others = [*beside.values()]
    if not others and not planned.config.opened:
        return None
    digest = names_digest(planned.data.answers)
    pictures = {content[:DIGITS] for content in contents([item.picture for item in (*drawn.test, *drawn.new_test)])}
    found = opened_after(others, "", pictures, (digest, digest), planned.config.opened)
    times = found.number - 1
    if not times:
        return None
    often = "once" if times == 1 else f"{times:,} times"
    opened = f"these sealed pictures, or some of them, were opened {often} before"
    if not found.tests:
        runs = renamed_in(folder, beside, pictures, digest)
        where = f" (in {several(runs, 3)}, beside this run)" if runs else ""
        return (
            f"{opened}, with other classes or class names{where}: what they showed may have led to the classes or "
            "names of this run, so it will report a difference with its interval and no p; only new pictures can test "
            "it"
        )
    return (
        f"{opened}: an uncorrected p has to be {spends(found.number) * ALPHA:.3g} or less to show a gain of another "
        f"template, where the first opening needed {spends(1) * ALPHA:.3g}"
    )


def opening_of(template: object, hits: object) -> str:
    """Return the name of an opening: a digest of the chosen template and of the hits of both templates."""
    return hashlib.sha256(json.dumps([template, hits], sort_keys=True).encode()).hexdigest()[:DIGITS]


def renamed_in(folder: Path, beside: Mapping[str, Openings], pictures: Set[str], given: str) -> tuple[str, ...]:
    """Return the names of the runs beside `folder` that opened some of these pictures with other classes or names.

    `beside` are the openings of these runs, and `given` is the digest of the class names that the run in `folder` was
    given.
    """
    return tuple(
        printable(name)
        for name, one in sorted(beside.items())
        if name != folder.absolute().name and one.given != given and not pictures.isdisjoint(one.pictures)
    )


def _beside(folder: Path) -> dict[str, Openings]:
    """Return the latest opening of the run in `folder`, and of each run beside it, by the name of its folder."""
    folders = [file.parent for file in folder.absolute().parent.glob(f"*/{FILE_NAME}")]
    found = {one.name: event_as(Openings, last(one, EVENT)) for one in folders}
    return {name: opening for name, opening in found.items() if opening}


def names_after(data: DataSet, named: Any) -> list[str]:
    """Return the names of all classes of the data after a search for names, in label order.

    Classes that the search did not see keep their names. `named` is None if there was no search for names.
    """
    pairs = zip(named.given, named.class_names, strict=True) if named else ()
    called = {str(before): after for before, after in pairs}
    return [called.get(str(name), name) for name in data.class_names]
