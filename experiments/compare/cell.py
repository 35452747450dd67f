"""One cell of a grid: a protocol, a data set, a method and a seed. How a cell is run, and its record.

A cell is a run directory. A method that is a run is run as by `ipo optimize`; any other method learns from the same
images and writes its own record under the same name, `result.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_core import to_jsonable_python

from ipo_prompts.experiments.compare.methods import METHODS, Absent, Facts, Method
from ipo_prompts.experiments.compare.protocols import carried_over, laid_out, other_tests, own_tests, score_of
from ipo_prompts.experiments.compare.scores import Placed
from ipo_prompts.experiments.compare.text_methods import Search
from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.pipeline import run_job
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import (
    Content,
    allow_typed,
    as_model,
    build,
    check_config,
    check_writable,
    content_of,
    holds_run,
    write_bytes,
)
from ipo_prompts.experiments.run.final_test import test_in_grid
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import InGrid, Plan, names_of_others
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.experiments.run.result import RESULT, Budget, RewardNames, RunResult, Tested
from ipo_prompts.experiments.run.tested_before import check_countable
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import JSON_BYTES, read_text
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.programs.journal import line_of
from ipo_prompts.programs.search_settings import LIMITS
from ipo_prompts.programs.state import ClipUsed

SET_BY_THE_CELL = ("data", "classes", "seed", "preset", "patience", "classifier", "test")


@dataclass(frozen=True)
class Cell:
    """A cell of a grid. It can be pickled, so that executors can send it to other processes.

    Attributes:
        protocol: one of `ProtocolName`.
        data: spec of the data set to learn from.
        method: a name in `METHODS`, or a class of the user's own.
        seed: decides which images are drawn, the language model's sampling, and whatever else is random in a method.
        targets: specs of the data sets to test on, for cross-dataset and domain-generalization; specs of the CLIPs
            to test with, for cross-clip.
        settings: settings of `RunConfig` that all methods share.
        label: the label of the row; the cells of a row take about equally long.
        is_plain: whether the row stands for its method itself, not for a variant of it.
        folder: the folder of the cell, a run directory; the cell is finished when the folder has `result.json`.
    """

    protocol: str
    data: str
    method: str
    seed: int
    targets: tuple[str, ...]
    settings: dict[str, Any]
    label: str = ""
    is_plain: bool = True
    folder: Path = Path()

    @property
    def digest(self) -> str:
        """A digest of what the cell asks for; the order of the settings makes no difference."""
        named = ("protocol", "data", "method", "seed", "targets", "settings")
        asked = json.dumps(to_jsonable_python({name: getattr(self, name) for name in named}), sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The name of the cell in messages: data set, row and seed."""
        return f"{self.data}  {self.label}  seed {self.seed}"

    def finished(self) -> Result | None:
        """Return the record of the cell if an earlier session has finished it, else None; see `read_cell`."""
        return read_cell(self, self.folder)

    def run(self) -> Result:
        """Do the cell or resume it, and return its record; see `run_cell`."""
        return run_cell(self, self.folder)

    def placed(self, outcome: Result | str) -> Placed:
        """Return the cell in its place in a table; `outcome` is its record, or a text that says why there is none."""
        result = None if isinstance(outcome, str) else outcome
        if isinstance(result, MethodResult):
            facts = result.facts
        elif self.method in METHODS:
            facts = METHODS.find(self.method).facts(run_config(self) or shared_config(self))
        else:  # a class of the user's own, whose code may not be here
            facts = Facts(label=self.label)
        if not self.is_plain:
            facts = facts.model_copy(update={"label": f"“{self.label}”", "shows": "", "is_opponent": False})
        absent = outcome if isinstance(outcome, str) else outcome.absent or ""
        return Placed(self.protocol, self.data, self.label, self.seed, facts, result, absent)


class MethodResult(Content):
    """The content of `result.json` of a method that is no run.

    Attributes:
        cell: the digest of the cell.
        facts: what a table needs to know about the method.
        absent: why there is nothing to test, else None.
        templates: the templates; None where what was learnt is no text.
        tests, gaps: see `RunResult`.
        shown: the score on the train images and, if there are any, on the validation images.
        val_gain: see `Fitted.gain`.
    """

    version: Literal[4] = Field(default=4, alias="schema")
    cell: str
    facts: Facts
    reward: RewardNames
    clip: ClipUsed
    seed: int
    absent: str | None = None
    templates: tuple[str, ...] | None = None
    tests: dict[str, Tested] = Field({})
    gaps: dict[str, str] = Field({})
    shown: dict[str, float] = Field({})
    val_gain: float | None = None
    budget: Budget = Budget()


Result = RunResult | MethodResult
"""The record of a cell."""


def run_cell(cell: Cell, folder: Path) -> Result:
    """Return the record of a cell. The cell is done or resumed in `folder`, or read if it is finished.

    Raises:
        InputError: the cell cannot be done, or the folder holds another cell.
        NothingUsable, dspy.LMError: see `search_in`; the cell can then be resumed.
    """
    if before := read_cell(cell, folder):
        return before
    allow_typed(cell.settings)  # code nobody typed was refused by `load_grid`; a worker allows the rest
    METHODS.allow(cell.method)
    sources.allow([cell.data, *cell.targets])
    shared, method = shared_config(cell), METHODS.find(cell.method)
    check_writable(folder)
    if isinstance(method, Search):
        config = method.run_config(shared, cell.settings)
        check_config(config, folder)
        placed = partial(in_grid, cell, shared, folder)
        return run_job(config, folder, Ui(0, quiet=True), resume=holds_run(folder), in_grid=placed)
    check_countable()
    result = _fitted_and_tested(cell, method, in_grid(cell, shared, folder, laid_out(shared)), folder)
    write_bytes(folder / RESULT, line_of(content_of(result)))
    return result


def in_grid(cell: Cell, shared: RunConfig, folder: Path, planned: Plan) -> Plan:
    """Return the plan with what a grid asks of it: the further test sets, and names that templates must fit.

    Args:
        cell: the cell.
        shared: see `shared_config`.
        folder: the folder of the cell: GRID/cells/DATA/ROW/seed-N.
        planned: the plan of what is learnt.

    Raises:
        InputError: see `other_tests`.
    """
    others = other_tests(cell.protocol, planned, cell.targets, shared)
    return replace(planned, in_grid=InGrid(cell.digest, folder.parents[3], others), also_fit=names_of_others(others))


def _fitted_and_tested(cell: Cell, method: Method, planned: Plan, folder: Path) -> MethodResult:
    assert planned.in_grid
    tests = [*own_tests(planned), *planned.in_grid.others]
    # The method cannot reach the test images: nothing that it is given contains them.
    data = replace(planned.data, test=())
    drawn = replace(planned.drawn, test=(), new_test=())
    lesson = prepare(replace(planned, data=data, drawn=drawn, in_grid=None), Ui(0, quiet=True))
    folder.mkdir(parents=True, exist_ok=True)
    result = MethodResult(
        cell=cell.digest,
        facts=method.facts(planned.config),
        reward=planned.reward_names,
        clip=ClipUsed.model_validate(lesson.clip),
        seed=cell.seed,
    )
    parts = {"train": lesson.train, "val": lesson.val}
    try:
        fitted = method.fit(lesson)  # evaluate only after learning
        found = {name: score_of(fitted, lesson.reward, part) for name, part in parts.items() if part}

        def answer(clip: Clip) -> Callable[[Reward, Encoded], Score]:
            if clip.fingerprint == lesson.clip.fingerprint:
                return partial(score_of, fitted)
            return partial(score_of, carried_over(fitted, clip))

        tested, gaps = test_in_grid(lesson, planned.in_grid.folder, tests, answer)
        if not tested:
            raise Absent("; ".join(dict.fromkeys(gaps.values())))
    except Absent as reason:
        return result.model_copy(update={"absent": str(reason)})
    about = {
        "templates": fitted.templates,
        "tests": tested,
        "gaps": gaps,
        "shown": {name: round(one.value, 6) for name, one in found.items()},
        "val_gain": fitted.gain,
        "budget": Budget(scored_only=fitted.scored_only),
    }
    return result.model_copy(update=about)


def as_result(text: str, what: str, fix: str) -> Result:
    """Return the record that a text of JSON holds; see `as_model`."""
    form: Any = MethodResult if '"facts":' in text else RunResult  # in a text within JSON, `"` would be `\\"`
    found: Result = as_model(form, text, what, fix)
    return found


def read_cell(cell: Cell, folder: Path) -> Result | None:
    """Return the record of a finished cell; None when the cell is not finished.

    Raises:
        InputError: the file is damaged, or belongs to another cell.
    """
    file, what, fix = folder / RESULT, "the cell in", "delete the file to do the cell again"
    if not file.is_file():
        return None
    result = as_result(read_text(file, what, JSON_BYTES, "JSON", fix), f"{what} {file}", fix)
    if result.cell != cell.digest:
        raise InputError(f"{folder} holds another cell; choose another folder.")
    return result


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
    own = {"data": cell.data, "classes": classes, "seed": cell.seed, "classifier": "text"}
    shared = build({"names": "as-is", **cell.settings, **own}, "the settings of the grid")
    if shared.names in ("auto", "search") and not isinstance(METHODS.find(cell.method), Search):
        raise InputError(
            f"names={shared.names} is settled at the end of a search, and {cell.method} is none; give it to the rows "
            "of searches alone, in their settings, or write names=normalised."
        )
    return shared


def run_config(cell: Cell) -> RunConfig | None:
    """Return the configuration of the run that the cell's method is; None when the method is no run.

    Raises:
        InputError: see `shared_config`.
    """
    method, shared = METHODS.find(cell.method), shared_config(cell)
    return method.run_config(shared, cell.settings) if isinstance(method, Search) else None
