"""The acceptance test: do the data, split and CLIP on this machine give the numbers that a paper prints?

Printed templates are measured again, on the data sets on this machine, in each precision of the CLIP. No search and no
language model is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from benchmarks.lab.printed_table import PrintedTable, TemplateHits, beside_print
from benchmarks.lab.words import listed, read_known
from ipo_prompts.experiments.compare.published import TemplateTable, data_key, library, read_library
from ipo_prompts.experiments.data import DataSet, Draw, draw, load_data
from ipo_prompts.experiments.run.config import PUBLISHED_CLIP
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import BLOCK, ClipReward, EncodedPictures, logits_of
from ipo_prompts.metrics.clip import Clip, check_name, load_clip
from ipo_prompts.metrics.device import Precision
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.features import FeatureStore, Progress

KEYS = ("table", "data", "clip", "precision")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class PrintedData:
    """A data set on this machine, with its printed templates and its test pictures."""

    table: TemplateTable
    data: DataSet
    halves: Draw

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of test pictures of the base and of the new classes."""
        return len(self.halves.test), len(self.halves.new_test)

    @property
    def templates(self) -> list[str]:
        """The printed templates, each once."""
        return list(dict.fromkeys(row.template for row in self.table.rows))


@dataclass(frozen=True)
class Request:
    """The request: the data sets on this machine, `absent` data sets with the reason, a CLIP, and its precisions."""

    found: list[PrintedData]
    absent: dict[str, str]
    clip: str
    precisions: tuple[Precision, ...]
    notes: list[str] = field(default_factory=list)


def request(words: Sequence[str]) -> Request:
    """Read `table=FILE.yaml`, `data=NAME,…`, `clip=NAME` and `precision=fp32,fp16`; check which data sets are here.

    No picture is opened and no model loaded.

    Raises:
        InputError: a key or value is unknown, the table cannot be read, a data set that was named is not on this
            machine, or no data set is.
    """
    given = read_known(words, KEYS, "paper-templates")
    clip = str(given.get("clip", PUBLISHED_CLIP[0]))
    check_name(clip)
    own = given.get("table")
    tables = library().templates if own is None else read_library(Path(str(own))).templates
    if not tables:
        raise InputError(f"{own} has no templates; ipo docs reproduce has the form of such a file.")
    named = listed(given["data"], "paper-templates") if "data" in given else None
    wanted = [(table.data, table) for table in tables] if named is None else [(one, _of(one, tables)) for one in named]
    found, absent = [], {}
    for spec, table in wanted:
        try:
            data = load_data(spec, seed=SPLIT_SEED)
            found.append(PrintedData(table.model_copy(update={"data": spec}), data, halves_of(data)))
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


def compare_all(asked: Request, progress: Callable[[str], Progress | None]) -> list[PrintedTable]:
    """Measure all templates. The pictures of each data set are encoded once in each precision.

    A data set whose pictures cannot be read is moved to `asked.absent`.

    Args:
        asked: the request.
        progress: a function that takes a text about the current work, and returns a function to call with the number of
            encoded pictures, or None.

    Raises:
        InputError: the CLIP cannot be loaded, or no data set can be read.
    """
    measured: dict[str, dict[str, TemplateHits]] = {one.table.data: {} for one in asked.found}
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
    return [beside_print(one.table, one.data.split, one.sizes, measured[one.table.data]) for one in done]


def to_stderr(what: str) -> Progress:
    """Return a progress function that prints a line on stderr after every tenth of the pictures of a half."""
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
    names = PRECISIONS if value is None else listed(value, "paper-templates")
    strange = next((name for name in names if name not in PRECISIONS), None)
    if strange is not None:
        raise InputError(
            f"there is no precision {strange!r}; give {' or '.join(PRECISIONS)}, or leave it out for both."
        )
    return tuple(one for one in PRECISIONS if one in names)


def halves_of(data: DataSet) -> Draw:
    """Return the test pictures of the base classes and of the new classes; no picture is opened.

    Raises:
        InputError: there are too few classes to divide into halves.
    """
    return draw(data, shots=1, selection_shots=0, seed=SPLIT_SEED, classes="base")


def measure(clip: Clip, halves: Draw, templates: Sequence[str], progress: Progress | None = None) -> TemplateHits:
    """Encode the test pictures once, and count for each template the pictures that are classified correctly.

    Raises:
        InputError: a picture cannot be decoded; the message names it.
    """
    store = FeatureStore(clip)
    names = (halves.class_names, halves.new_class_names)
    rewards = [ClipReward(clip, own, store, also_fit=other) for own, other in (names, names[::-1])]
    refused = {template: why for template in templates if (why := rewards[0].problem(template))}
    wanted = [template for template in templates if template not in refused]
    counts = []
    for reward, items in zip(rewards, (halves.test, halves.new_test), strict=True):
        pictures = reward.encode([item.picture for item in items], [item.label for item in items], progress=progress)
        classes = reward.texts.encode(wanted, reward.class_names)
        counts.append([count_right(clip, one, pictures) for one in classes])
    return TemplateHits(dict(zip(wanted, zip(*counts, strict=True), strict=True)), refused)


def count_right(clip: Clip, classes: Floats, pictures: EncodedPictures) -> int:
    """Return the number of pictures whose own class has the highest logit. Of equal logits, the lowest label wins.

    With a CLIP in half precision, features and logits are rounded to half precision at each step, as in CoOp's
    zero-shot classifier (github.com/KaiyangZhou/CoOp, trainers/zsclip.py). Logits near 20 then lie 1/64 apart, and some
    are equal.
    """
    right = 0
    logits: npt.NDArray[np.floating[Any]]
    for start in range(0, len(pictures), BLOCK):
        block = slice(start, start + BLOCK)
        if clip.precision == "fp16":
            scaled = np.float16(clip.logit_scale) * pictures.features[block].astype(np.float16)
            products = scaled.astype(np.float32) @ classes.astype(np.float16).astype(np.float32).T
            logits = products.astype(np.float16)  # a bias is equal for all classes, so it changes no order
        else:
            logits = logits_of(clip, pictures.features[block], classes)
        right += int((logits.argmax(axis=1) == pictures.labels[block]).sum())
    return right
