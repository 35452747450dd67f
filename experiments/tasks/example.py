"""One run of an example: search with a reward, choose on held-back examples, open the sealed ones once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo.metrics.errors import InputError

if TYPE_CHECKING:
    import dspy

    from ipo.metrics.clip import Clip
    from ipo.metrics.reward import Reward, Score

TEMPERATURE = 1.0
MAX_TOKENS = 1024
CANDIDATES_PER_STEP = 5
SHOTS, SELECTION_SHOTS = 4, 2
SPLIT_SEED = 0
"""The sealed pictures are the same ones for every seed of a run, so that seeds can be compared unit by unit."""


@dataclass(frozen=True)
class Settings:
    """What decides an example's result.

    Attributes:
        data: as for `load_data`.
        lm: name of the optimizer LLM.
        steps: how often it is asked, for `CANDIDATES_PER_STEP` templates each time.
        history_size: scored templates that it sees; 0 for none.
        describer: `clip`, or `none` for no description of the pictures.
        seed: of the pictures drawn from the search and selection parts, and of the language model.
    """

    data: str = "embedded"
    lm: str = "local"
    steps: int = 2
    history_size: int = 12
    describer: str = "clip"
    seed: int = 0


@dataclass(frozen=True)
class Task:
    """A task to optimise a template for.

    Attributes:
        name: `retrieval` or `segmentation`.
        words: what the pictures are, for the language model.
        clip: the encoder.
        reward: what the search maximises.
        search, selection, test: examples for the reward, of pictures that never mix.
        measures: what is told of the sealed examples: its name → the reward that measures it. The first is what the
            search maximises.
    """

    name: str
    words: str
    clip: Clip
    reward: Reward
    search: Sequence[dspy.Example]
    selection: Sequence[dspy.Example]
    test: Sequence[dspy.Example]
    measures: Mapping[str, Reward]


def run(task: Task, settings: Settings, folder: Path, label: str = "") -> dict[str, Any]:
    """Optimise a template for a task in `folder`; a run that was killed goes on.

    Args:
        task: the task.
        settings: of the run.
        folder: its run directory.
        label: what its lines of progress begin with.

    Returns:
        The content of `result.json`: the template, the best of the search after each step, and each measure on the
        sealed examples for it and the anchor.

    Raises:
        InputError: an unknown language model, or a folder with another run.
        NothingUsable: the language model gave nothing to score.
        dspy.LMError: the language model cannot be reached.
    """
    from ipo.experiments.run.result import write_json
    from ipo.metrics.template import ANCHOR
    from ipo.programs import IPO, Interrogator, SmallModelProposer, TemplateClassifier, TemplateProposer
    from ipo.programs.lm.connect import find_backend
    from ipo.programs.lm.ledger import Ledger
    from ipo.programs.lm.recording import Recorder
    from ipo.programs.optimizer import Step
    from ipo.programs.record.journal import Journal

    def tell(step: Step) -> None:
        best = f"best {100 * step.best.accuracy:.2f} %  {step.best.template}"
        print(f"{label}step {step.number + 1} of {settings.steps}: {best}", file=sys.stderr, flush=True)

    backend = find_backend(settings.lm, role="optimizer", seed=settings.seed)
    journal = Journal(folder)
    try:
        start = {"task": task.name, "settings": asdict(settings), "clip": task.clip.fingerprint}
        begun = journal.find("start")
        if begun and not journal.find("start", **start):
            raise InputError(f"{folder} holds a run with other settings; choose another folder.")
        journal.append("start", **start)
        recorder = Recorder(journal, Ledger())
        connection = backend.connect(recorder, role="optimizer", temperature=TEMPERATURE, max_tokens=MAX_TOKENS)
        ipo = IPO(
            reward=task.reward,
            proposer=(SmallModelProposer if connection.small else TemplateProposer)(connection.lm),
            describer=Interrogator(task.clip) if settings.describer == "clip" else None,
            task=task.words,
            steps=settings.steps,
            candidates_per_step=CANDIDATES_PER_STEP,
            history_size=settings.history_size,
            patience=None,  # a control must not stop earlier than what it is held against
            seed=settings.seed,
            journal=journal,
            on_step=tell,
        )
        student = TemplateClassifier(task.clip, task.reward.class_names)
        program: Any = ipo.compile(student, trainset=task.search, valset=task.selection)
        result = {
            **start,
            "initial_template": ANCHOR,
            "template": program.template,
            "selection": asdict(program.choice),
            "best_after_step": [step.best.template for step in program.steps],
            "templates_scored": sum(len(step.scored) for step in program.steps),
            "test": _sealed(task, [ANCHOR, program.template], journal.append),
            "seconds": round(journal.seconds, 1),
        }
        write_json(folder / "result.json", result)
        return result
    finally:
        journal.close()


def _sealed(task: Task, templates: Sequence[str], record: Any) -> dict[str, Any]:
    """Open the sealed examples: each measure of both templates, compared."""
    found = {}
    for name, reward in task.measures.items():
        units = reward.examples(task.test)
        initial, optimised = reward.score(templates, units)
        found[name] = compare(initial, optimised, units.groups)
    record("test", template=templates[-1], measures=found)
    return found


def compare(initial: Score, optimised: Score, groups: Sequence[str] | None) -> dict[str, Any]:
    """Compare two templates on the same units.

    Units that are right or wrong are compared as pictures are (`result.comparison`). Where a unit contributes a number,
    intervals are t intervals with the (cluster-robust) standard error of the mean over units, and there is no test.

    Returns:
        `initial`, `optimised` (each `accuracy`, `loss`, `n`, `ci95`), `difference` (`mean`, `ci95`), `units` (what each
        unit adds to the difference, float (n,)) and `groups`.
    """
    from ipo.experiments.run.result import comparison
    from ipo.metrics.statistics import mean_interval

    difference = optimised.hits.astype(float) - initial.hits.astype(float)
    units = {"units": difference.tolist(), "groups": groups and list(groups)}
    if initial.hits.dtype == bool:
        return {**comparison(initial, optimised, groups), **units}

    def one(score: Score) -> dict[str, Any]:
        interval = mean_interval(score.hits, groups)
        return {"accuracy": score.accuracy, "loss": score.loss, "n": score.n, "ci95": list(interval)}

    interval = mean_interval(difference, groups)
    return {
        "initial": one(initial),
        "optimised": one(optimised),
        "difference": {"mean": float(difference.mean()), "ci95": list(interval)},
        **units,
    }
