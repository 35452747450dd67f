"""One cell of a grid: a protocol, a data set, a method, a seed; how it is run, and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.methods.base import Absent, Fitted, Lesson
from ipo_prompts.experiments.compare.protocols import (
    NAMES,
    PROTOCOLS,
    TO_DATA,
    TestSet,
    carried_over,
    laid_out,
    picture_ids,
    score_of,
    tested,
    totals,
)
from ipo_prompts.experiments.data.sources import own
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import check_writable, write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan
from ipo_prompts.experiments.run.prepared import Prepared, prepare
from ipo_prompts.experiments.run.reading import allow, build, dotted, nested
from ipo_prompts.experiments.tasks.base import Encoded, Task
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.registry import is_own
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.programs.templates.settings import LIMITS

SCHEMA = 1
FILE_NAME = "cell.json"
"""Its bytes are the same whenever the cell is done."""

SET_BY_THE_CELL = ("data", "classes", "seed", "also_fit", "preset", "patience", "opened")
OF_NO_CELL = LIMITS | {"start_from"}


@dataclass(frozen=True)
class Cell:
    """One entry of a grid.

    Attributes:
        protocol: one of `NAMES`, or a class of the user's own.
        data: spec of the data set to learn from.
        method: a name in `METHODS`, or a class of the user's own.
        seed: of the pictures drawn, the language model, and whatever else is random in a method.
        targets: specs of the data sets to test on, for cross-dataset and domain-generalization; for cross-clip the
            CLIPs.
        settings: keys and values of `RunConfig` that all methods share.
    """

    protocol: str
    data: str
    method: str
    seed: int
    targets: tuple[str, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the cell as JSON holds it; neither the order nor the spelling of its settings counts."""
        settings = dict(sorted(dotted(nested(dict(self.settings))).items()))
        return {**asdict(self), "targets": list(self.targets), "settings": settings}


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """Do a cell in `folder`, resume it, or read it when it is finished.

    Returns:
        What `cell.json` holds: `schema, cell, measure, unit, absent` (why there is nothing to run, or None),
        `templates` (None for what is no text), `scores` (test set → see `tested`), `gaps` (test set → why it has no
        score), `search` and `selection` (`value, loss, n`), `choice`, `budget`, and `picture_ids` (test set → a digest
        of its pictures, in order, with their labels: equal for two cells that can be compared picture by picture).
        `shortened` only where descriptions did not fit into a question: what was done to them, in words.

    Raises:
        InputError: the cell cannot be done, or the folder holds another one.
        NothingUsable, dspy.LMError: see `search_in`; the cell can be resumed.
    """
    before = read_cell(cell, folder)
    if before:
        return before
    allow(nested(dict(cell.settings)))  # `load_grid` has refused what nobody typed; here is a worker
    METHODS.allow(cell.method)
    PROTOCOLS.allow(cell.protocol)
    own.allow([cell.data, *cell.targets])
    config, method = shared_config(cell), METHODS.find(cell.method)
    check_writable(folder)
    source, drawn, tests = laid_out(cell.protocol, cell.data, cell.targets, config)
    # 1. Learn. The test pictures are out of reach: they are in nothing that the method is given.
    sealed = Plan(config, replace(source, test=()), replace(drawn, test=(), new_test=()), None, None)
    prepared = prepare(sealed, Ui(0, quiet=True), _clip(config.clip, config.device))
    folder.mkdir(parents=True, exist_ok=True)
    content = _content(cell, sealed.task)
    try:
        if config.labels == "none" and method.labelled_per_class(config):
            raise Absent("it learns from labels, and labels=none hides them")
        fitted = method.fit(Lesson(prepared, dict(cell.settings), source.hand_written, folder))
        # 2. Only then evaluate.
        content = _evaluated(_content(cell, sealed.task, fitted), fitted, tests, prepared)
    except Absent as reason:
        content["absent"] = str(reason)
    write_text(folder / FILE_NAME, json.dumps(content, ensure_ascii=False) + "\n")
    return content


def _evaluated(content: dict[str, Any], fitted: Fitted, tests: list[TestSet], prepared: Prepared) -> dict[str, Any]:
    """Fill in the scores.

    Raises:
        Absent: there is no score on any test set.
    """
    for part, encoded in (("search", prepared.search), ("selection", prepared.selection)):
        if encoded:
            content[part] = totals(score_of(fitted, prepared.reward, encoded))
    for _, alike in groupby(tests, key=lambda test: (id(test.items), test.clip)):  # opened once for all parts
        same = list(alike)
        ids, pictures = picture_ids(prepared.store, same[0].items), cache(partial(_opened, same[0], prepared))
        for test in same:
            try:
                content["scores"][test.name] = _tested(fitted, test, prepared, pictures)
                content["picture_ids"][test.name] = ids
            except Absent as reason:
                content["gaps"][test.name] = str(reason)
    if not content["scores"]:
        raise Absent("; ".join(dict.fromkeys(content["gaps"].values())))
    return content


def _opened(test: TestSet, prepared: Prepared) -> tuple[Clip, Reward, Encoded]:
    """Open test pictures: the CLIP of the test set, the reward of their classes, and what that makes of them."""
    clip, store = _clip(test.clip, prepared.config.device) if test.clip else prepared.clip, prepared.store
    if clip.fingerprint != prepared.clip.fingerprint:
        store = FeatureStore(clip)
    reward = prepared.plan.task.reward(clip, test.class_names, store)
    return clip, reward, prepared.plan.task.encode(reward, test.items, seed=SPLIT_SEED)


def _tested(
    fitted: Fitted, test: TestSet, prepared: Prepared, pictures: Callable[[], tuple[Clip, Reward, Encoded]]
) -> dict[str, Any]:
    """Score on test pictures, with the CLIP of the test set, what it tests of all; see `tested` and `carried_over`."""
    if test.part is not None:
        fitted = test.part(fitted)
    clip, reward, encoded = pictures()
    if clip.fingerprint == prepared.clip.fingerprint:
        return tested(fitted, test, reward, encoded)
    try:
        return tested(carried_over(fitted, clip), test, reward, encoded)
    except InputError as error:  # what fits into one CLIP's context may be too long for another's
        raise Absent(str(error).rstrip(".")) from error


def read_cell(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """Read a finished cell, None when there is none.

    Raises:
        InputError: it is damaged, or another cell.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    fix = "delete the file to do the cell again"
    content: dict[str, Any] = read_json(file, "the cell in", fix)
    if not isinstance(content, dict) or content.get("schema", SCHEMA) != SCHEMA:
        raise InputError(f"the cell in {file} was written by another version of ipo; {fix}.")
    if missing := next((key for key in _content(cell) if key not in content), None):
        raise InputError(f"the cell in {file} is damaged ({missing!r} is missing); {fix}.")
    if content["cell"] != json.loads(json.dumps(cell.record())):
        raise InputError(f"{folder} holds another cell; choose another folder.")
    return content


def shared_config(cell: Cell) -> RunConfig:
    """Return the settings that all methods of a cell's row share.

    Raises:
        InputError: an unknown protocol, method or setting, or one that is not the grid's to set.
    """
    if cell.protocol not in NAMES and not is_own(cell.protocol):
        PROTOCOLS.find(cell.protocol)  # which says what there is
    settings = nested(dict(cell.settings))
    for key in ("names", "offsets"):
        if key in settings and not METHODS.find(cell.method).settles:
            raise InputError(
                f"{key} is settled at the end of a search, and {cell.method} is none; give it to the rows of searches "
                "alone, in their settings."
            )
    for key in settings:
        if key in SET_BY_THE_CELL:
            raise InputError(f"{key} is set by the cell and its method; leave it out of the settings.")
        if key in OF_NO_CELL:
            raise InputError(f"{key} would give methods different budgets; set steps and candidates_per_step instead.")
    classes = "base-to-new" if cell.protocol == "base-to-new" else "all"
    to_fit = list(cell.targets) if cell.protocol in TO_DATA else []
    own = {"data": cell.data, "classes": classes, "seed": cell.seed, "also_fit": to_fit}
    return build({**settings, **own}, "the settings of the grid")


def run_config(cell: Cell) -> RunConfig | None:
    """Return the configuration of the search of a cell's method; None when it asks no language model.

    Raises:
        InputError: see `shared_config`.
    """
    config: RunConfig | None = METHODS.find(cell.method).run_config(shared_config(cell), dict(cell.settings))
    return config


@lru_cache(maxsize=4)
def _clip(name: str, device: str) -> Clip:
    """Load the encoder once for all cells of a process; it is frozen."""
    return load_clip(name, device)


def _content(cell: Cell, task: Task | None = None, fitted: Fitted | None = None) -> dict[str, Any]:
    """Return a cell's file before its scores."""
    templates = fitted.templates if fitted else None
    return {
        "schema": SCHEMA,
        "cell": cell.record(),
        "measure": task and task.measure,
        "unit": task and task.unit,
        "absent": None,
        "templates": None if templates is None else [{"template": t, "weight": w} for t, w in templates],
        "scores": {},
        "gaps": {},
        "search": None,
        "selection": None,
        "choice": fitted.choice if fitted else None,
        "budget": asdict(fitted.budget) if fitted else None,
        "picture_ids": {},
        **({"shortened": fitted.shortened} if fitted and fitted.shortened else {}),
    }
