"""One cell of a grid: a protocol, a data set, a method and a seed. How a cell is run, and its record.

A cell is a run directory. A method that is a run is run as by `ipo optimize`; any other method learns from the same
pictures and writes its own record under the same name, `result.json`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_core import to_jsonable_python

from ipo_prompts.experiments.compare.methods import METHODS, Absent, Facts, Fitted, Lesson, Method
from ipo_prompts.experiments.compare.protocols import carried_over, laid_out, score_of
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
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import InGrid, Plan, TestSet, names_of_others
from ipo_prompts.experiments.run.prepared import Prepared, loaded, prepare
from ipo_prompts.experiments.run.result import RESULT, Budget, RewardNames, RunResult, Tested
from ipo_prompts.experiments.run.sealed import tested_on
from ipo_prompts.experiments.run.tested_before import check_countable, count, name_of
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import contents
from ipo_prompts.metrics.files import JSON_BYTES, read_text
from ipo_prompts.programs.journal import line_of
from ipo_prompts.programs.search_settings import LIMITS
from ipo_prompts.programs.state import ClipUsed

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
        settings: settings of `RunConfig` that all methods share.
    """

    protocol: str
    data: str
    method: str
    seed: int
    targets: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """A digest of what the cell asks for; the order of the settings makes no difference."""
        asked = json.dumps(to_jsonable_python(asdict(self)), sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]


class MethodResult(Content):
    """The content of `result.json` of a method that is no run.

    Attributes:
        cell: the digest of the cell.
        facts: what a table needs to know about the method.
        absent: why there is nothing to test, else None.
        templates: the templates; None where what was learnt is no text.
        tests, gaps: see `RunResult`.
        shown: the score on the search pictures and, if there are any, on the selection pictures.
        gain_held_back: see `Fitted.gain`.
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
    gain_held_back: float | None = None
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
    source, drawn, tests = laid_out(cell.protocol, cell.data, cell.targets, shared)
    own = 2 if shared.classes == "base-to-new" else 1
    in_grid = InGrid(cell.digest, folder.parents[3], tests[own:])  # GRID/cells/DATA/ROW/seed-N
    if config := method.run_config(shared, cell.settings):
        check_config(config, folder)
        return run_job(config, folder, Ui(0, quiet=True), resume=holds_run(folder), in_grid=in_grid)
    check_countable()
    # The method cannot reach the test pictures: nothing that it is given contains them.
    further = names_of_others(in_grid.others)
    sealed = Plan(shared, replace(source, test=()), replace(drawn, test=(), new_test=()), None, None, further)
    prepared = prepare(sealed, Ui(0, quiet=True))
    folder.mkdir(parents=True, exist_ok=True)
    result = _fitted_and_tested(cell, method, Lesson(prepared, source.hand_written, folder), tests)
    if result.tests:  # all cells of a grid are one test
        pictures = [item.picture for test in tests for item in test.items]
        count(name_of(str(in_grid.folder.resolve())), contents(pictures))
    write_bytes(folder / RESULT, line_of(content_of(result)))
    return result


def _fitted_and_tested(cell: Cell, method: Method, lesson: Lesson, tests: list[TestSet]) -> MethodResult:
    prepared, config = lesson.prepared, lesson.config
    result = MethodResult(
        cell=cell.digest,
        facts=method.facts(config),
        reward=prepared.plan.reward_names,
        clip=ClipUsed.model_validate(prepared.clip),
        seed=cell.seed,
    )
    parts = {"search": prepared.search, "selection": prepared.selection}
    try:
        fitted = method.fit(lesson)  # evaluate only after learning
        found = {name: score_of(fitted, prepared.reward, part) for name, part in parts.items() if part}
        tested, gaps = _tested(fitted, tests, prepared)
    except Absent as reason:
        return result.model_copy(update={"absent": str(reason)})
    about = {
        "templates": fitted.templates,
        "tests": tested,
        "gaps": gaps,
        "shown": {name: round(score.value, 6) for name, score in found.items()},
        "gain_held_back": fitted.gain,
        "budget": Budget(scored_only=fitted.scored_only),
    }
    return result.model_copy(update=about)


def _tested(fitted: Fitted, tests: list[TestSet], prepared: Prepared) -> tuple[dict[str, Tested], dict[str, str]]:
    """Return test set → its record, and test set → why the classifier has no score on it.

    Raises:
        Absent: there is no score on any test set.
    """
    found: dict[str, Tested] = {}
    gaps: dict[str, str] = {}
    config = prepared.config
    for test in tests:
        other = loaded(test.clip, config.device, config.precision) if test.clip else prepared.clip
        same = other.fingerprint == prepared.clip.fingerprint
        try:
            carried = fitted if same else carried_over(fitted, other)
            found[test.name] = tested_on(test, prepared, partial(score_of, carried))
        except Absent as reason:
            gaps[test.name] = str(reason)
        except InputError as error:
            if same:
                raise
            gaps[test.name] = str(error).rstrip(".")  # a text can be too long for another CLIP's context
    if not found:
        raise Absent("; ".join(dict.fromkeys(gaps.values())))
    return found, gaps


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
    own = {"data": cell.data, "classes": classes, "seed": cell.seed, "head": "words"}
    shared = build({"names": "as-is", **cell.settings, **own}, "the settings of the grid")
    if shared.names in ("auto", "search") and METHODS.find(cell.method).run_config(shared, cell.settings) is None:
        raise InputError(
            f"names={shared.names} is settled at the end of a search, and {cell.method} is none; give it to the rows "
            "of searches alone, in their settings, or write names=cleaned."
        )
    return shared


def run_config(cell: Cell) -> RunConfig | None:
    """Return the configuration of the run that the cell's method is; None when the method is no run.

    Raises:
        InputError: see `shared_config`.
    """
    config: RunConfig | None = METHODS.find(cell.method).run_config(shared_config(cell), cell.settings)
    return config
