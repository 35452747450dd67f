"""The acceptance test: do the data, split and CLIP on this machine give the numbers that a paper prints?

Printed templates are measured again, on the data sets on this machine, in each precision of the CLIP. No search and no
language model is needed. The result is one frame with a line for each printed row and precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import harmonic_mean
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from ipo_prompts.experiments.compare.printing import Block, Line, code, page, plain
from ipo_prompts.experiments.compare.published import contradictions, data_key, library
from ipo_prompts.experiments.data import DataSet, Draw, draw, load_data
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.experiments.run.config import PUBLISHED_CLIP
from ipo_prompts.experiments.run.files import Content, read_settings, read_words
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import BLOCK, ClipReward, EncodedImages, logits_of
from ipo_prompts.metrics.clip import Clip, check_name, load_clip
from ipo_prompts.metrics.device import Precision
from ipo_prompts.metrics.errors import InputError, did_you_mean, input_error
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.template import problem

KEYS = ("table", "data", "clip", "precision")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
POINTS = 0.15
"""Two numbers agree when they differ by at most one image or this many points, whichever is more.

Other machines and other rounding change numbers by about this much. Where the paper prints a template twice, its two
numbers differ by up to 0.06 points.
"""
ROUNDING = 0.005
"""The largest rounding error of a number that is printed with two decimals."""

Hits = dict[str, tuple[int, int] | str]
"""Template → the numbers of right images of the base and the new classes, or why it cannot be measured."""


Percent = Annotated[float, Field(ge=0, le=100)]


class TemplateRow(Content):
    """A printed template with its printed accuracies in percent; H is the harmonic mean of base and new.

    `decides` is False where the numbers are not one measurement of one CLIP, for instance where they are means over
    seeds.
    """

    template: str
    base: Percent
    new: Percent
    H: Percent
    follows: dict[str, float] = Field({})
    decides: bool = True
    note: str = ""

    @field_validator("template")
    @classmethod
    def _valid(cls, template: str) -> str:
        if wrong := problem(template):
            raise ValueError(f"the template {template[:80]!r} cannot be used: {wrong}")
        return template


class TemplateTable(Content):
    """Printed templates of one data set. `data` is a spec for `load_data`; if `decides` is False, no row decides."""

    data: str
    source: str
    checked: bool
    decides: bool = True
    note: str = ""
    rows: tuple[TemplateRow, ...] = Field(min_length=1)


def printed_tables(file: Path | None = None) -> list[TemplateTable]:
    """Return the printed templates of a file, or of the paper.

    Raises:
        InputError: the file cannot be read, or has another form; the message names the fault.
    """
    found = {"templates": (read_settings(file) if file else library()).get("templates", [])}
    try:
        return TypeAdapter(dict[str, list[TemplateTable]]).validate_python(found)["templates"]
    except ValidationError as error:
        raise input_error(error, str(file)) from error


def measured(words: Sequence[str], ui: Ui) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Measure the printed templates that `table=FILE.yaml data=NAME,… clip=NAME precision=fp32,fp16` ask for.

    Args:
        words: words `key=value`.
        ui: shows the progress.

    Returns:
        The frame, see `beside_print`; data sets that were not measured with the reason; and notes.

    Raises:
        InputError: a key or value is unknown, the table cannot be read, a data set that was named is not on this
            machine, no data set can be read, or the CLIP cannot be loaded.
    """
    given = read_words(words)
    if strange := next((key for key in given if key not in KEYS), None):
        raise InputError(f"unknown key {strange!r}{did_you_mean(strange, KEYS)}; there are {', '.join(KEYS)}.")
    clip = str(given.get("clip", PUBLISHED_CLIP[0]))
    check_name(clip)
    own = given.get("table")
    tables = printed_tables(None if own is None else Path(str(own)))
    if not tables:
        raise InputError(f"{own} has no templates; benchmarks/README.md has the form of such a file.")
    precisions = listed(given.get("precision", [*PRECISIONS]))
    if strange := next((name for name in precisions if name not in PRECISIONS), None):
        raise InputError(
            f"there is no precision {strange!r}; give {' or '.join(PRECISIONS)}, or leave it out for both."
        )
    named = "data" in given
    wanted = {one: _of(one, tables) for one in listed(given["data"])} if named else {}
    here, absent = {}, {}
    for spec, table in (wanted or {table.data: table for table in tables}).items():
        try:
            data = load_data(spec, seed=SPLIT_SEED)
            here[spec] = (table.model_copy(update={"data": spec}), data, halves_of(data))
        except InputError as error:
            if named:
                raise
            absent[spec] = str(error)
    if not here:
        raise InputError(f"none of the {len(absent)} data sets is here: {next(iter(absent.values()))}")
    frames = []
    for precision in (one for one in PRECISIONS if one in precisions):
        encoder = load_clip(clip, precision=precision)
        for spec, (table, data, halves) in here.items():
            try:
                if spec not in absent:
                    hits = measure(
                        encoder, halves, [row.template for row in table.rows], ui.images(f"{spec} in {precision}")
                    )
                    sizes = (len(halves.test), len(halves.new_test))
                    frames.append(beside_print(table, data.split, sizes, precision, hits))
            except InputError as error:
                absent[spec] = str(error)
    if not frames:
        raise InputError(next(iter(absent.values())))
    found = pd.concat(frames, ignore_index=True)
    notes = ["The paper does not print the precision of its CLIP."] if own is None else []
    if own is None and clip not in PUBLISHED_CLIP:
        notes.append(f"The printed numbers are of {PUBLISHED_CLIP[0]} and these of {clip}: they need not agree.")
    notes += [f"{table.data}: {table.note}" for table, *_ in here.values() if table.note]
    return found[~found.data.isin([*absent])], absent, notes


def _of(spec: str, tables: Sequence[TemplateTable]) -> TemplateTable:
    known = {table.data: table for table in tables}
    table = known.get(spec) or {data_key(name): table for name, table in known.items()}.get(data_key(spec))
    if table is None:
        raise InputError(
            f"no templates are printed for {spec!r}{did_you_mean(spec, list(known))}; there are: {', '.join(known)}."
        )
    return table


def listed(value: Any) -> list[str]:
    """Return the names in a list or in a text `NAME,NAME`, each once."""
    names = value if isinstance(value, list) else str(value or "").split(",")
    return list(dict.fromkeys(str(one).strip() for one in names))


def halves_of(data: DataSet) -> Draw:
    """Return the test images of the base classes and of the new classes; no image is opened.

    Raises:
        InputError: there are too few classes to divide into halves.
    """
    return draw(data, shots=1, val_shots=0, seed=SPLIT_SEED, classes="base")


def measure(clip: Clip, halves: Draw, templates: Sequence[str], progress: Progress | None = None) -> Hits:
    """Encode the test images once, and count for each template the images that are classified correctly.

    Raises:
        InputError: an image cannot be decoded; the message names it.
    """
    store = FeatureStore(clip)
    names = (halves.class_names, halves.new_class_names)
    rewards = [ClipReward(clip, own, store, also_fit=other) for own, other in (names, names[::-1])]
    refused = {template: why for template in templates if (why := rewards[0].problem(template))}
    wanted = [template for template in dict.fromkeys(templates) if template not in refused]
    counts = []
    for reward, items in zip(rewards, (halves.test, halves.new_test), strict=True):
        images = reward.encode([item.image for item in items], [item.label for item in items], progress=progress)
        classes = reward.texts.encode(wanted, reward.class_names)
        counts.append([count_right(clip, one, images) for one in classes])
    return {**dict(zip(wanted, zip(*counts, strict=True), strict=True)), **refused}


def count_right(clip: Clip, classes: Floats, images: EncodedImages) -> int:
    """Return the number of images whose own class has the highest logit. Of equal logits, the lowest label wins.

    With a CLIP in half precision, features and logits are rounded to half precision at each step, as in CoOp's
    zero-shot classifier (github.com/KaiyangZhou/CoOp, trainers/zsclip.py). Logits near 20 then lie 1/64 apart, and some
    are equal.
    """
    right = 0
    logits: npt.NDArray[np.floating[Any]]
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        if clip.precision == "fp16":
            scaled = np.float16(clip.logit_scale) * images.features[block].astype(np.float16)
            products = scaled.astype(np.float32) @ classes.astype(np.float16).astype(np.float32).T
            logits = products.astype(np.float16)  # a bias is equal for all classes, so it changes no order
        else:
            logits = logits_of(clip, images.features[block], classes)
        right += int((logits.argmax(axis=1) == images.labels[block]).sum())
    return right


def beside_print(table: TemplateTable, split: str, sizes: tuple[int, int], precision: str, hits: Hits) -> pd.DataFrame:
    """Return the printed rows of a data set beside what was measured in one precision.

    Args:
        table: the printed rows.
        split: see `DataSet.split`.
        sizes: the numbers of test images of the base and of the new classes.
        precision: the precision of the CLIP.
        hits: see `measure`.

    Returns:
        A line for each printed row. `printed_*` and `measured_*` are in percent; `off` is the measured minus the
        printed value in points, of the half `half` that is further off in relation to what is allowed.
    """
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {"data": table.data, "split": split, "template": row.template, "precision": precision}
        line |= {"decides": table.decides and row.decides, "agrees": False}
        line |= {"printed_base": row.base, "printed_new": row.new, "printed_H": row.H}
        remarks = [row.note, *contradictions({"base": row.base, "new": row.new, "H": row.H}, row.follows)]
        for other in table.rows:  # CLIP reads capitals as small letters
            same = other.template.casefold() == row.template.casefold()
            if same and (other.base, other.new) != (row.base, row.new):
                remarks.append(f"Also printed as “{other.template}” with {other.base:.2f} / {other.new:.2f}.")
        found = hits[row.template]
        if isinstance(found, str):
            remarks.append(f"Not measured: {found}")
        else:
            base, new = (100 * right / n for right, n in zip(found, sizes, strict=True))
            off = {"base": base - row.base, "new": new - row.new}
            allowed = {name: max(POINTS, 100 / n) + ROUNDING for name, n in zip(off, sizes, strict=True)}
            half = max(off, key=lambda name: abs(off[name]) / allowed[name])
            line |= {"measured_base": base, "measured_new": new, "measured_H": harmonic_mean([base, new])}
            line |= {"off": off[half], "half": half, "agrees": abs(off[half]) <= allowed[half] + 1e-9}
        lines.append({**line, "remark": " ".join(filter(None, remarks))})
    return pd.DataFrame(lines)


def answer(found: pd.DataFrame, absent: Sequence[str]) -> tuple[str, bool]:
    """Return whether the deciding rows agree: a sentence, and whether all do in one precision.

    The precision in which most rows agree counts, because the paper names none.
    """
    missing = f" Not measured: {', '.join(map(plain, absent))}." if absent else ""
    deciding = found[found.decides]
    if deciding.empty:
        return f"None of these rows can decide whether data, split and CLIP are right.{missing}", True
    agreeing = deciding.groupby("precision", sort=False).agrees.sum()
    best = agreeing.idxmax()
    tried = deciding[deciding.precision == best]
    others = "".join(f", {number} in {name}" for name, number in agreeing.items() if name != best)
    counted = f"{agreeing[best]} of {len(tried)} deciding rows agree in {best}{others}"
    if tried.agrees.all():
        either = len(agreeing) > 1 and agreeing.eq(len(tried)).all()
        right = "data, split and CLIP are right, and either precision is" if either else "data, split, CLIP and "
        return f"{counted}: {right}{'' if either else 'precision are right'}.{missing}", True
    wrong = []
    for name, rows in tried.groupby("data", sort=False):
        if not rows.agrees.all():
            other = ", another split" if why_different(rows.split.iloc[0]) else ""
            text = f"{plain(str(name))}{other}: {rows.agrees.sum()} of {len(rows)} agree"
            off = rows[~rows.agrees].get("off", pd.Series(dtype=float)).dropna()
            if off.empty:
                wrong.append(f"{text}, the others cannot be measured")
            else:
                worst = rows.loc[off.abs().idxmax()]
                wrong.append(f"{text}, off by up to {worst.off:+.2f} points ({worst.half}, {code(worst.template)})")
    return f"{counted}. {'; '.join(wrong)}.{missing}", False


def printed_documents(found: pd.DataFrame, absent: Mapping[str, str], notes: Sequence[str]) -> dict[str, str]:
    """Return `table.md` and `table.csv`: the answer, how many rows of each data set agree, and all rows."""
    counts = found.groupby(["data", "precision", "decides"], sort=False).agrees.agg(["sum", "size"]).reset_index()
    counted: list[Line] = [["data", "precision", "decide", "agree", "rows"]]
    for name, precision, decides, agree, number in counts.itertuples(index=False):
        counted.append([name, precision, "yes" if decides else "no", str(agree), str(number)])
    rows: list[Line] = [["data", "template", "precision", "printed", "measured", "agrees", "remark"]]
    for row in found.itertuples():
        pairs = [[getattr(row, f"{what}_{name}") for name in ("base", "new", "H")] for what in ("printed", "measured")]
        agrees = "yes" if row.agrees else f"no, {row.half} {row.off:+.2f}"
        texts = [" / ".join(f"{value:.2f}" for value in pair) for pair in pairs]
        rows.append(
            [row.data, row.template, row.precision, *texts, agrees if row.decides else f"({agrees})", row.remark]
        )
    blocks: list[Block] = ["## Printed templates, measured again", f"**{answer(found, [*absent])[0]}**", counted]
    blocks += [plain(note) for note in notes]
    blocks += [f"Not measured: {plain(name)}. {plain(why)}" for name, why in absent.items()]
    blocks += ["Base / new / H in percent. Rows in brackets do not decide.", rows]
    return {"table.md": page(blocks), "table.csv": found.round(4).to_csv(index=False, lineterminator="\n")}
