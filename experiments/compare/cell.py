"""One cell of a grid: a protocol, a data set, a method and a seed. How a cell is run, and its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue
from pydantic_core import to_jsonable_python

from ipo_prompts.experiments.compare.methods import METHODS, Absent, Fitted, Lesson
from ipo_prompts.experiments.compare.protocols import (
    TO_DATA,
    TestSet,
    carried_over,
    laid_out,
    picture_ids,
    score_of,
    tested,
    totals,
)
from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.run.config import RunConfig, dotted
from ipo_prompts.experiments.run.files import (
    Content,
    allow_typed,
    as_model,
    build,
    check_writable,
    content_of,
    write_bytes,
)
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan
from ipo_prompts.experiments.run.prepared import Prepared, prepare
from ipo_prompts.experiments.run.tested_before import check_countable, count, name_of
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.device import Precision
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.files import JSON_BYTES, read_text
from ipo_prompts.programs.journal import line_of
from ipo_prompts.programs.search_settings import LIMITS

FILE_NAME = "cell.json"
"""The name of a cell's file, which has one line, see `line_of`. A cell that is done again gives the same bytes."""

SET_BY_THE_CELL = ("data", "classes", "seed", "preset", "patience", "head", "test")


@dataclass(frozen=True)
class Cell:
    """A cell of a grid.

    Attributes:
        protocol: one of `ProtocolName`.
        data: spec of the data set to learn from.
        method: a name in `METHODS`, or a class of the user's own.
        seed: decides which pictures are drawn, the language model's sampling, and whatever else is random in a method.
        targets: specs of the data sets to test on, for cross-dataset and domain-generalization; specs of the CLIPs
            to test with, for cross-clip.
        settings: keys and values of `RunConfig` that all methods share, see `nested`.
    """

    protocol: str
    data: str
    method: str
    seed: int
    targets: tuple[str, ...]
    settings: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return the cell as JSON values; the order of the settings makes no difference."""
        settings = dict(sorted(dotted(self.settings).items()))
        record: dict[str, Any] = to_jsonable_python({**asdict(self), "settings": settings})
        return record


Numbers = dict[str, int | float | None]


class Tested(Content):
    """The score on a set of test pictures, unit by unit; see `tested`. Either `hits` or `values` is None."""

    value: float
    loss: float
    n: int
    classes: int
    hits: str | None = None
    values: list[float] | None = None
    labels: list[int] | None
    draws: list[int] | None
    split: str


class Result(Content):
    """A finished cell: the content of `cell.json`, and a line of a file of cells.

    Attributes:
        absent: why there is nothing to run, else None.
        templates: the templates; None where what was learnt is no text.
        scores: test set → its scores, see `Tested`.
        gaps: test set → why it has no score.
        search, selection: the score on the search pictures, and on the selection pictures: `value, loss, n`.
        choice, budget: see `Fitted`.
        picture_ids: test set → a digest of its pictures, in order, with their labels. Two cells with the same digest
            can be compared picture by picture.
        precision: the precision of the CLIP.
    """

    schema_: Literal[2] = Field(2, alias="schema")
    cell: dict[str, JsonValue]
    measure: str
    unit: str
    absent: str | None = None
    templates: list[dict[str, JsonValue]] | None = None
    scores: dict[str, Tested] = Field({})
    gaps: dict[str, str] = Field({})
    search: Numbers | None = None
    selection: Numbers | None = None
    choice: dict[str, JsonValue] | None = None
    budget: Numbers | None = None
    picture_ids: dict[str, str] = Field({})
    precision: Precision = "fp32"


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """Return the content of a cell's `Result`. The cell is done or resumed in `folder`, or read if it is finished.

    Raises:
        InputError: the cell cannot be done, or the folder holds another cell.
        NothingUsable, dspy.LMError: see `search_in`; the cell can then be resumed.
    """
    before = read_cell(cell, folder)
    if before:
        return before
    allow_typed(cell.settings)  # code nobody typed was refused by `load_grid`; a worker allows the rest
    METHODS.allow(cell.method)
    sources.allow([cell.data, *cell.targets])
    config, method = shared_config(cell), METHODS.find(cell.method)
    check_writable(folder)
    check_countable()
    source, drawn, tests = laid_out(cell.protocol, cell.data, cell.targets, config)
    # 1. Learn. The method cannot reach the test pictures: nothing that it is given contains them.
    others = tests[1:] if cell.protocol in TO_DATA else []
    also_fit = tuple(name for test in others for name in test.class_names)
    sealed = Plan(config, replace(source, test=()), replace(drawn, test=(), new_test=()), None, None, also_fit)
    ui = Ui(0, quiet=True)
    prepared = prepare(sealed, ui, _clip(config.clip, config.device, config.precision))
    folder.mkdir(parents=True, exist_ok=True)
    task = sealed.task
    about = {"cell": cell.record(), "measure": task.measure, "unit": task.unit, "precision": config.precision}
    with Tracker(config, folder, ui, **cell.record()) as tracker:
        try:
            fitted = method.fit(Lesson(prepared, cell.settings, source.hand_written, folder, tracker))
            # 2. Evaluate only after learning.
            result = Result(
                **about,
                templates=fitted.templates and [{"template": template} for template in fitted.templates],
                choice=fitted.choice,
                budget=asdict(fitted.budget),
                **_evaluated(fitted, tests, prepared),
            )
            # All cells of a grid are one test: the folder of a cell is GRID/cells/DATA/ROW/seed-N.
            pictures = [item.picture for test in tests for item in test.items]
            count(name_of(str(folder.resolve().parents[3])), contents(pictures))
        except Absent as reason:
            result = Result(**about, absent=str(reason))
        content = content_of(result)
        tracker.finish({**content, "scores": {name: score["value"] for name, score in content["scores"].items()}})
    write_bytes(folder / FILE_NAME, line_of(content))
    return content


def _evaluated(fitted: Fitted, tests: list[TestSet], prepared: Prepared) -> dict[str, Any]:
    """Return the fields of a result that hold the scores.

    Raises:
        Absent: there is no score on any test set.
    """
    found: dict[str, Any] = {"scores": {}, "gaps": {}, "picture_ids": {}}
    for part, encoded in (("search", prepared.search), ("selection", prepared.selection)):
        if encoded:
            found[part] = totals(score_of(fitted, prepared.reward, encoded))
    for test in tests:
        try:
            found["scores"][test.name] = _tested(fitted, test, prepared)
            found["picture_ids"][test.name] = picture_ids(test.items)
        except Absent as reason:
            found["gaps"][test.name] = str(reason)
    if not found["scores"]:
        raise Absent("; ".join(dict.fromkeys(found["gaps"].values())))
    return found


def _tested(fitted: Fitted, test: TestSet, prepared: Prepared) -> dict[str, Any]:
    """Open the pictures of a test set and score the fitted method on them, with the CLIP of the test set.

    See `tested` and `carried_over`.
    """
    config, clip, store = prepared.config, prepared.clip, prepared.store
    if test.clip:
        clip = _clip(test.clip, config.device, config.precision)
    same = clip.fingerprint == prepared.clip.fingerprint
    if not same:
        store = FeatureStore(clip)
    reward = prepared.plan.task.reward(clip, test.class_names, store)
    encoded = prepared.plan.task.encode(reward, test.items, seed=SPLIT_SEED)
    try:
        return tested(fitted if same else carried_over(fitted, clip), test, reward, encoded)
    except InputError as error:
        if same:
            raise
        # A text that fits into one CLIP's context may be too long for another's.
        raise Absent(str(error).rstrip(".")) from error


def read_cell(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """Return the content of a finished cell; None when the cell is not finished.

    Raises:
        InputError: the file is damaged, or belongs to another cell.
    """
    file, what, fix = folder / FILE_NAME, "the cell in", "delete the file to do the cell again"
    if not file.is_file():
        return None
    result = as_model(Result, read_text(file, what, JSON_BYTES, "JSON", fix).rstrip("\n"), f"{what} {file}", fix)
    if result.cell != cell.record():
        raise InputError(f"{folder} holds another cell; choose another folder.")
    return content_of(result)


def shared_config(cell: Cell) -> RunConfig:
    """Return the settings that all methods of the cell's row share.

    Raises:
        InputError: an unknown method or setting, or a setting that a grid must not set.
    """
    for key in cell.settings:
        if key in SET_BY_THE_CELL:
            raise InputError(f"{key} is set by the cell and its method; leave it out of the settings.")
        if key in LIMITS:
            raise InputError(f"{key} would give methods different budgets; set steps and candidates_per_step instead.")
    classes = "base-to-new" if cell.protocol == "base-to-new" else "all"
    own = {"data": cell.data, "classes": classes, "seed": cell.seed, "head": "words"}
    shared = build({"names": "as-is", **cell.settings, **own}, "the settings of the grid")
    if shared.names in ("auto", "search") and METHODS.find(cell.method).run_config(shared, cell.settings) is None:
        raise InputError(
            f"names={shared.names} is settled at the end of a search, and {cell.method} is none; give it to the rows "
            "of searches alone, in their settings, or write names=cleaned."
        )
    return shared


def run_config(cell: Cell) -> RunConfig | None:
    """Return the configuration of the search of the cell's method; None when the method has no such search.

    Raises:
        InputError: see `shared_config`.
    """
    config: RunConfig | None = METHODS.find(cell.method).run_config(shared_config(cell), cell.settings)
    return config


@lru_cache(maxsize=4)
def _clip(name: str, device: str, precision: Precision) -> Clip:
    """Return a frozen CLIP, which is loaded once for all cells of a process."""
    return load_clip(name, device, precision)
