"""The protocols of the field, and one cell of their grid: a protocol, a data set, a method, a seed.

A protocol says which classes a method learns from and on which sealed test pictures it is then examined. The order is
the same for all: draw, learn, and only then open the test pictures.

- base-to-new: learn the first half of the classes; test each half against its own classes (Zhou et al., 2022).
- few-shot: learn and test all classes.
- cross-dataset: learn all classes of one data set; test others with their own classes, nothing adapted.
- domain-generalization: the same, where the others hold classes of the source in another guise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ipo.experiments.compare.exams import Exam, examine, picture_ids, score, summary
from ipo.experiments.compare.methods import METHODS, Absent, Fitted, Job, LanguageModelSearch
from ipo.experiments.data import DataSet, Draw, load_data
from ipo.experiments.run.config import RunConfig, build
from ipo.experiments.run.pipeline import SPLIT_SEED, check_writable, draw_for
from ipo.experiments.run.result import write_text
from ipo.metrics.clip import Clip, load_clip
from ipo.metrics.errors import InputError
from ipo.metrics.features import FeatureStore
from ipo.metrics.nearest import did_you_mean
from ipo.metrics.reward import ClipReward

SCHEMA = 1
FILE_NAME = "cell.json"
TIME_FILE_NAME = "seconds.json"
"""How long the cell took in its last sitting. Not in `cell.json`, which is the same to the byte whenever it is made."""

SET_BY_THE_CELL = ("data", "classes", "seed", "also_fit", "preset", "patience", "history_scores")
LIMITS = ("budget_usd", "budget_tokens", "max_minutes")


@dataclass(frozen=True)
class Cell:
    """One entry of a grid.

    Attributes:
        protocol: a key of `PROTOCOLS`.
        data: spec of the data set to learn from.
        method: a key of `METHODS`.
        seed: of the pictures drawn, the language model, and whatever else is random in a method.
        targets: specs of the data sets to test on, for cross-dataset and domain-generalization.
        settings: keys and values of `RunConfig` that all methods share.
    """

    protocol: str
    data: str
    method: str
    seed: int
    targets: tuple[str, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the cell as JSON holds it; the order of the settings does not count."""
        return {**asdict(self), "targets": list(self.targets), "settings": dict(sorted(self.settings))}


Protocol = Callable[[DataSet, Sequence[DataSet], RunConfig], tuple[Draw, list[Exam]]]
"""From the data sets and the settings to the pictures drawn and the exams. No picture is opened."""


def base_to_new(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[Exam]]:
    """Learn the base classes; exams `base` and `new`, each against its own classes.

    Raises:
        InputError: too few classes or pictures, or targets were given.
    """
    _no_targets(targets, "base-to-new")
    drawn = draw_for(source, config)
    return drawn, [
        Exam("base", drawn.test, drawn.class_names, source),
        Exam("new", drawn.new_test, drawn.new_class_names, source),
    ]


def few_shot(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[Exam]]:
    """Learn all classes; exam `test`.

    Raises:
        InputError: too few pictures, or targets were given.
    """
    _no_targets(targets, "few-shot")
    drawn = draw_for(source, config)
    return drawn, [Exam("test", drawn.test, drawn.class_names, source)]


def cross_dataset(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[Exam]]:
    """Learn all classes of the source; exam `source`, and one of each target's name with the target's own classes.

    Raises:
        InputError: too few pictures, no targets, or two data sets of one name.
    """
    if not targets:
        raise InputError("cross-dataset and domain-generalization test on other data sets; name them as targets.")
    drawn = draw_for(source, config)
    names = ["source", *(target.name for target in targets)]
    twice = next((name for name in [source.name, *names] if [source.name, *names].count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two data sets are called {twice!r}; source and targets must be different data sets.")
    exams = [Exam(target.name, target.test, target.class_names, target) for target in targets]
    return drawn, [Exam("source", drawn.test, drawn.class_names, source), *exams]


def domain_generalization(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[Exam]]:
    """As `cross_dataset`, where the targets' classes are the source's or some of them (ImageNet-A and -R have 200).

    Raises:
        InputError: as `cross_dataset`, or a target has a class that the source has not.
    """
    known = {name.replace("_", " ").casefold() for name in source.class_names}
    for target in targets:
        strange = next((name for name in target.class_names if name.replace("_", " ").casefold() not in known), None)
        if strange is not None:
            raise InputError(
                f"domain-generalization needs classes of {source.name}, and {target.name} has the class {strange!r}; "
                "use cross-dataset for other classes."
            )
    return cross_dataset(source, targets, config)


PROTOCOLS: dict[str, Protocol] = {
    "base-to-new": base_to_new,
    "cross-dataset": cross_dataset,
    "domain-generalization": domain_generalization,
    "few-shot": few_shot,
}


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """Do a cell in `folder`, or read the one that is finished there, or go on with the one that was begun.

    Returns:
        What `cell.json` holds: `schema, cell, absent` (why there is nothing to run, or None), `templates` (None for
        what is no text), `scores` (exam → `accuracy, loss, n, classes, hits, groups, split`), `search` and `selection`
        (`accuracy, loss, n`), `choice`, `budget`, and `picture_ids` (exam → a digest of its pictures, in order, with
        their labels: equal for two cells that can be compared picture by picture).

    Raises:
        InputError: the cell cannot be done, or the folder holds another one.
        NothingUsable, dspy.LMError: see `optimize`; the cell can be gone on with.
    """
    finished = _finished(cell, folder)
    if finished:
        return finished
    config, method = shared_config(cell), METHODS[cell.method]
    check_writable(folder)
    started = time.monotonic()
    source = load_data(cell.data, seed=SPLIT_SEED, task=config.task)
    targets = [load_data(spec, seed=SPLIT_SEED) for spec in cell.targets]
    drawn, exams = PROTOCOLS[cell.protocol](source, targets, config)
    clip = _clip(config.clip)
    met_later = (*drawn.new_class_names, *(name for target in targets for name in target.class_names))
    reward = ClipReward(clip, drawn.class_names, FeatureStore(clip), also_fit=met_later)
    folder.mkdir(parents=True, exist_ok=True)

    # 1. Learn. The test pictures are out of reach: they are not in the job.
    sealed = replace(drawn, test=(), new_test=())
    try:
        fitted = method.fit(Job(config, reward, sealed, source.hand_written, folder))
    except Absent as reason:
        return _write(folder, started, _content(cell, absent=str(reason)))
    # 2. Only then examine.
    content = _content(cell, fitted)
    for part, items in (("search", sealed.search), ("selection", sealed.selection)):
        if items:
            content[part] = summary(score(fitted, reward, items))
    for exam in exams:
        content["scores"][exam.name] = examine(fitted, exam, reward.store)
        content["picture_ids"][exam.name] = picture_ids(reward.store, exam.items)
    return _write(folder, started, content)


def shared_config(cell: Cell) -> RunConfig:
    """Return the settings that all methods of a cell's row share.

    Raises:
        InputError: an unknown protocol, method or setting, or one that is not the grid's to set.
    """
    for what, name, known in (("protocol", cell.protocol, PROTOCOLS), ("method", cell.method, METHODS)):
        if name not in known:
            raise InputError(f"there is no {what} {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}.")
    settings = dict(cell.settings)
    for key in settings:
        if key in SET_BY_THE_CELL:
            raise InputError(f"{key} is set by the cell and its method; leave it out of the settings.")
        if key in LIMITS:
            raise InputError(f"{key} would give methods different budgets; set steps and candidates_per_step instead.")
    classes = "base-to-new" if cell.protocol == "base-to-new" else "all"
    own = {"data": cell.data, "classes": classes, "seed": cell.seed, "also_fit": list(cell.targets)}
    return build({**settings, **own}, "the settings of the grid")


def run_config(cell: Cell) -> RunConfig | None:
    """Return the configuration of the run that a cell's method makes; None when it asks no language model.

    Raises:
        InputError: see `shared_config`.
    """
    shared, method = shared_config(cell), METHODS[cell.method]
    return method.config(shared) if isinstance(method, LanguageModelSearch) else None


def _no_targets(targets: Sequence[DataSet], protocol: str) -> None:
    if targets:
        raise InputError(f"{protocol} tests on the data set that it learns from; leave the targets out.")


@lru_cache(maxsize=1)
def _clip(name: str) -> Clip:
    """Load the encoder once for all cells of a process; it is frozen."""
    return load_clip(name)


def _content(cell: Cell, fitted: Fitted | None = None, absent: str | None = None) -> dict[str, Any]:
    templates = fitted.templates if fitted else None
    return {
        "schema": SCHEMA,
        "cell": cell.record(),
        "absent": absent,
        "templates": None if templates is None else [{"template": t, "weight": w} for t, w in templates],
        "scores": {},
        "search": None,
        "selection": None,
        "choice": fitted.choice if fitted else None,
        "budget": asdict(fitted.budget) if fitted else None,
        "picture_ids": {},
    }


def _write(folder: Path, started: float, content: dict[str, Any]) -> dict[str, Any]:
    seconds = {"schema": SCHEMA, "seconds": round(time.monotonic() - started, 1)}
    write_text(folder / TIME_FILE_NAME, json.dumps(seconds) + "\n")
    write_text(folder / FILE_NAME, json.dumps(content, ensure_ascii=False) + "\n")
    return content


def _finished(cell: Cell, folder: Path) -> dict[str, Any] | None:
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        schema, found = content["schema"], content["cell"]
        for key in _content(cell):
            content[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the cell in {file}: {error}; delete the file to do the cell again.") from error
    if schema != SCHEMA or found != json.loads(json.dumps(cell.record())):
        raise InputError(f"{folder} holds another cell; choose another folder.")
    return content
