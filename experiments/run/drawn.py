"""Which pictures a run drew, by their bytes: it goes on with the same ones, though others came or went since.

One picture less in a folder moves the cut and the draw of all others. The record names the pictures of each part, so
that a run is resumed with them. Those that searched or chose must all be there. Of the sealed ones some may be gone,
such as one that could not be read, until the test is opened; then it is made on what is there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ipo_prompts.experiments.data import DataSet, Draw, Item
from ipo_prompts.experiments.data.dataset import content_or_name, in_threads
from ipo_prompts.experiments.data.draw import cut_to
from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.openings import DIGITS
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.experiments.run.result import RESULT
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs.record.journal import Event, Journal, last

EVENT = "drawn"


class DrawnPictures(Content):
    """The `drawn` event of a journal: the beginning of the digest of each picture's bytes, part by part, in order."""

    search: Annotated[tuple[str, ...], Field(min_length=1)]
    selection: tuple[str, ...]
    sealed: tuple[str, ...]


def as_begun(planned: Plan, folder: Path) -> Plan:
    """Return the plan of a run with the pictures that its record names; the plan as it is where they are drawn anyway.

    Raises:
        InputError: pictures that searched or chose are gone or changed.
    """
    data, drawn = drawn_before(planned.data, planned.drawn, folder)
    return planned if drawn is planned.drawn else replace(planned, data=data, drawn=drawn)


def searched_before(folder: Path) -> set[str]:
    """Return the beginnings of the digests of the pictures that searched or chose in a run; none where it has none."""
    known = _checked(last(folder, EVENT))
    return {*known.search, *known.selection} if known else set()


def drawn_before(data: DataSet, drawn: Draw, folder: Path) -> tuple[DataSet, Draw]:
    """Return the data and the draw of the run in a folder, where another one is drawn now; see `as_begun`."""
    known = _checked(last(folder, EVENT))
    if known is None or (known.search, known.selection) == (_digests(drawn.search), _digests(drawn.selection)):
        return data, drawn
    there: dict[str, list[Item]] = {}
    every = [item for _, item in data.items()]
    for digest, item in zip(_digests(every), every, strict=True):
        there.setdefault(digest, []).append(item)

    def found(digests: Sequence[str]) -> tuple[Item, ...]:
        return tuple(there[digest].pop(0) for digest in digests if there.get(digest))

    search, selection, sealed = found(known.search), found(known.selection), found(known.sealed)
    shown = len(known.search) + len(known.selection)
    if gone := shown - len(search) - len(selection):
        raise _refusal(
            folder,
            f"{folder} holds another search: its pictures differ, for {gone:,} of the {shown:,} that searched or chose "
            f"{'is' if gone == 1 else 'are'} gone or changed",
        )
    classes, apart = len(drawn.class_names), {id(item.picture) for item in sealed}
    again = Draw(
        search=cut_to(search, range(classes)),
        selection=cut_to(selection, range(classes)),
        test=cut_to(sealed, range(classes)) if data.labelled else sealed,
        new_test=cut_to(sealed, range(classes, len(data.class_names))),
        class_names=drawn.class_names,
        new_class_names=drawn.new_class_names,
    )
    if not data.labelled:
        return data, replace(again, search=search, selection=selection)
    rest = tuple(item for item in every if id(item.picture) not in apart)
    return replace(data, train=rest, val=(), test=sealed), again


def record_drawn(journal: Journal, store: FeatureStore, drawn: Draw, say: Callable[[str], None]) -> None:
    """Record the pictures of a run, once; say how many of the sealed ones are gone since.

    Raises:
        InputError: some are, and the test was opened on them.
    """
    parts = (drawn.search, drawn.selection, (*drawn.test, *drawn.new_test))
    search, selection, sealed = (
        tuple(content[:DIGITS] for content in store.contents([item.picture for item in items])) for items in parts
    )
    known = _checked(journal.find(EVENT))
    gone = len(set(known.sealed) - set(sealed)) if known else 0
    if known and not gone:
        return
    if known:
        were = f"{gone:,} of the {len(known.sealed):,} sealed pictures {'is' if gone == 1 else 'are'} gone or changed"
        if journal.find("test"):
            raise _refusal(journal.path.parent, f"{were}, and the test of {journal.path.parent} was opened on them")
        say(f"{were} since the run began; the test, which was not opened yet, is made on the other {len(sealed):,}")
    journal.append(EVENT, **DrawnPictures(search=search, selection=selection, sealed=sealed).model_dump(mode="json"))


def _refusal(folder: Path, why: str) -> InputError:
    """Say what to do where pictures are gone: a run that opened its test and has no result cannot be started from."""
    again = f", or begin a new run that goes on from it: `ipo optimize --from {shlex.quote(str(folder))}`"
    opened = last(folder, "test") is not None and not (folder / RESULT).is_file()
    return InputError(f"{why}; put them back{'' if opened else again}.")


def _digests(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(content[:DIGITS] for content in in_threads(content_or_name, [item.picture for item in items]))


def _checked(event: Event | None) -> DrawnPictures | None:
    try:
        return DrawnPictures.model_validate({name: (event or {}).get(name) for name in DrawnPictures.model_fields})
    except ValidationError:
        return None
