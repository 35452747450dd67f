"""The acceptance test: printed templates on the data sets that are here, in each precision of the CLIP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ipo_prompts.experiments.compare.printed.agree import Compared, compare
from ipo_prompts.experiments.compare.printed.measure import Measured, halves_of, measure
from ipo_prompts.experiments.compare.published import TemplateTable, data_key, library, read_library
from ipo_prompts.experiments.data import DataSet, Draw, load_data
from ipo_prompts.experiments.run.config import read_words
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.experiments.run.settings import PUBLISHED_CLIP
from ipo_prompts.metrics.clip import Precision, check_name, load_clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nearest import did_you_mean

if TYPE_CHECKING:
    from ipo_prompts.metrics.features import Progress

KEYS = ("table", "data", "clip", "precision")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Found:
    """A data set that is here, with its printed templates and its test pictures."""

    table: TemplateTable
    data: DataSet
    halves: Draw

    @property
    def sizes(self) -> tuple[int, int]:
        """Test pictures of the base and of the new classes."""
        return len(self.halves.test), len(self.halves.new_test)

    @property
    def templates(self) -> list[str]:
        """The printed templates, each once."""
        return list(dict.fromkeys(row.template for row in self.table.rows))


@dataclass(frozen=True)
class Request:
    """What is asked for: the data sets that are here, `absent` with the reason, a CLIP, and its precisions."""

    found: list[Found]
    absent: dict[str, str]
    clip: str
    precisions: tuple[Precision, ...]
    notes: list[str] = field(default_factory=list)


def request(words: Sequence[str]) -> Request:
    """Read `table=FILE.yaml`, `data=NAME,…`, `clip=NAME` and `precision=fp32,fp16`, and look which data sets are here.

    No picture is opened and no model loaded.

    Raises:
        InputError: an unknown key or value, a table that cannot be read, a data set that was named and is not here, or
            no data set at all.
    """
    given = read_words(words)
    strange = next((key for key in given if key not in KEYS), None)
    if strange is not None:
        raise InputError(
            f"unknown key {strange!r}{did_you_mean(strange, KEYS)}; paper-templates takes {', '.join(KEYS)}."
        )
    clip = str(given.get("clip", PUBLISHED_CLIP[0]))
    check_name(clip)
    own = given.get("table")
    tables = library().templates if own is None else read_library(Path(str(own))).templates
    if not tables:
        raise InputError(f"{own} has no templates; docs/reproduce.md has the form of such a file.")
    named = _listed(given["data"]) if "data" in given else None
    wanted = [(table.data, table) for table in tables] if named is None else [(one, _of(one, tables)) for one in named]
    found, absent = [], {}
    for spec, table in wanted:
        try:
            data = load_data(spec, seed=SPLIT_SEED)
            found.append(Found(table.model_copy(update={"data": spec}), data, halves_of(data)))
        except InputError as error:
            if named is not None:
                raise
            absent[spec] = str(error)
    if not found:
        raise InputError(f"none of the {len(wanted)} data sets is here: {next(iter(absent.values()))}")
    notes = ["The paper does not print the precision of its CLIP."] if own is None else []
    if own is None and clip not in PUBLISHED_CLIP:
        notes.append(f"The printed numbers are of {PUBLISHED_CLIP[0]} and these of {clip}: they need not agree.")
    return Request(found, absent, clip, _precisions(given.get("precision")), notes)


def compare_all(asked: Request, progress: Callable[[str], Progress | None]) -> list[Compared]:
    """Measure all templates, the pictures of each data set encoded once in each precision.

    A data set whose pictures cannot be read is moved to `asked.absent`.

    Args:
        asked: what to measure.
        progress: what is worked on → who is told how many pictures are encoded.

    Raises:
        InputError: the CLIP cannot be loaded, or no data set can be read.
    """
    measured: dict[str, dict[str, Measured]] = {one.table.data: {} for one in asked.found}
    for precision in asked.precisions:
        clip = load_clip(asked.clip, precision=precision)
        for one in asked.found:
            name = one.table.data
            if name in asked.absent:
                continue
            try:
                told = progress(f"{name} in {precision}")
                measured[name][precision] = measure(clip, one.halves, one.templates, told)
            except InputError as error:
                asked.absent[name] = str(error)
    done = [one for one in asked.found if one.table.data not in asked.absent]
    if not done:
        raise InputError(next(iter(asked.absent.values())))
    return [compare(one.table, one.data.split, one.sizes, measured[one.table.data]) for one in done]


def to_stderr(what: str) -> Progress:
    """Return a progress that writes a line on stderr for every tenth of the pictures of a half."""
    last = -1

    def told(done: int, total: int) -> None:
        nonlocal last
        tenth = 10 * done // total
        if tenth != last:
            last = tenth
            print(f"{what}: {done:,} of {total:,} pictures of a half", file=sys.stderr)

    return told


def _of(spec: str, tables: Sequence[TemplateTable]) -> TemplateTable:
    known = {table.data: table for table in tables}
    keys = {data_key(table.data): table for table in tables}
    table = known.get(spec) or keys.get(data_key(spec))
    if table is None:
        raise InputError(
            f"no templates are printed for {spec!r}{did_you_mean(spec, list(known))}; there are: {', '.join(known)}."
        )
    return table


def _precisions(value: Any) -> tuple[Precision, ...]:
    names = PRECISIONS if value is None else _listed(value)
    strange = next((name for name in names if name not in PRECISIONS), None)
    if strange is not None:
        raise InputError(
            f"there is no precision {strange!r}; give {' or '.join(PRECISIONS)}, or leave it out for both."
        )
    return tuple(one for one in PRECISIONS if one in names)


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, list) else str("" if value is None else value).split(",")
    names = list(dict.fromkeys(str(one).strip() for one in values))
    if not all(names):
        raise InputError("a name is missing in the words of paper-templates; write data=NAME,NAME.")
    return names
