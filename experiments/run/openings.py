"""How often sealed pictures were opened: by this run, by those beside it and before it, and elsewhere.

Each opening is one more chance to claim by luck, so p is corrected for its number (`metrics/verdict.py`). An opening is
known by what it found, the hits of both templates: a run that is replayed, or ends with the same template again, tests
nothing new and is no other opening.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.looked import looks_at
from ipo_prompts.programs.record.journal import FILE_NAME, Event, Journal, last

DIGITS = 12
"""Of a digest: of a million pictures hardly two begin alike."""
EVENT = "opened"
MOST = 1_000_000
"""Openings elsewhere."""


class Openings(Content):
    """The `opened` event of a journal: an opening, and those before it of the same sealed pictures or some of them.

    Attributes:
        this: what this one is called.
        known: the names of all, this one included.
        elsewhere: how many more were made elsewhere.
        pictures: the beginning of the digest of each sealed picture's bytes, however they are read and labelled.
    """

    this: str
    known: tuple[str, ...]
    elsewhere: Annotated[int, Field(ge=0, le=MOST)]
    pictures: tuple[str, ...]

    @property
    def number(self) -> int:
        """The how many-th opening this one is."""
        return self.elsewhere + len(self.known)


def count(this: str, pictures: Set[str], elsewhere: int, journal: Journal, before: Sequence[Openings] = ()) -> Openings:
    """Count an opening and record it; the count stays when the run is resumed and opens nothing new.

    Args:
        this: its name, see `opening_of`.
        pictures: see `Openings`.
        elsewhere: how many were made where they cannot be counted; the most that any run of these pictures was told.
        journal: of the run, with its tests.
        before: of the runs that it started from.
    """
    found = _checked(journal.find(EVENT, this=this))
    if found and found.elsewhere >= elsewhere:
        return found
    own = {opening_of(event.get("template"), event.get("hits")) for event in journal.events if event["type"] == "test"}
    others = [one for one in (*before, *_beside(journal.path.parent)) if not pictures.isdisjoint(one.pictures)]
    known = {this, *own}.union(*(one.known for one in others), (one.question for one in looks_at(pictures)))
    found = Openings(
        this=this,
        known=tuple(sorted(known)),
        elsewhere=max([elsewhere, *(one.elsewhere for one in others)]),
        pictures=tuple(sorted(pictures)),
    )
    journal.append(EVENT, **found.model_dump(mode="json"))
    return found


def opening_of(template: object, hits: object) -> str:
    """Name an opening by its `test` event: the chosen template, and what both contributed on each unit."""
    return hashlib.sha256(json.dumps([template, hits], sort_keys=True).encode()).hexdigest()[:DIGITS]


def last_opening(folder: Path) -> Openings | None:
    """Return the latest opening of a run; None where it opened nothing, or its record says nothing that is whole."""
    return _checked(last(folder, EVENT))


def opened_at(folder: Path, pictures: Set[str]) -> list[Openings]:
    """Return the openings of these pictures or some of them, by the run in a folder and by those beside it."""
    found = [last_opening(folder), *_beside(folder)]
    return [one for one in found if one and not pictures.isdisjoint(one.pictures)]


def _beside(folder: Path) -> list[Openings]:
    """Return those of the other runs in the folder that a run lies in."""
    folder = folder.absolute()
    runs = [file.parent for file in folder.parent.glob(f"*/{FILE_NAME}") if file.parent != folder]
    return [found for run in runs if (found := last_opening(run))]


def _checked(event: Event | None) -> Openings | None:
    try:
        return Openings.model_validate({name: (event or {}).get(name) for name in Openings.model_fields})
    except ValidationError:
        return None
