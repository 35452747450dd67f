"""What the examples share: search with a reward, choose on held-back examples, open the sealed ones once, say all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True)
class Settings:
    """What decides an example's result.

    Attributes:
        data: as for `load_data`.
        lm: name of the optimizer LLM.
        steps: how often it is asked, for five templates each time.
        seed: of the pictures drawn and of the language model.
    """

    data: str = "embedded"
    lm: str = "local"
    steps: int = 4
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
        measures: what is told of the sealed examples: its name → the reward that measures it.
    """

    name: str
    words: str
    clip: Clip
    reward: Reward
    search: Sequence[dspy.Example]
    selection: Sequence[dspy.Example]
    test: Sequence[dspy.Example]
    measures: Mapping[str, Reward]


def run(task: Task, settings: Settings, folder: Path) -> dict[str, Any]:
    """Optimise a template for a task in `folder`; a run that was killed goes on.

    Returns:
        The content of `result.json`: the template, and each measure on the sealed examples for it and the anchor.

    Raises:
        InputError: an unknown language model, or a folder with another run.
        NothingUsable: the language model gave nothing to score.
    """
    from ipo.experiments.result import write_json
    from ipo.metrics.template import ANCHOR
    from ipo.programs import IPO, Interrogator, SmallModelProposer, TemplateClassifier, TemplateProposer
    from ipo.programs.journal import Journal
    from ipo.programs.lm.connect import find_backend
    from ipo.programs.lm.ledger import Ledger
    from ipo.programs.lm.recording import Recorder

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
            describer=Interrogator(task.clip),
            task=task.words,
            steps=settings.steps,
            seed=settings.seed,
            journal=journal,
            on_step=lambda step: print(
                f"step {step.number + 1}: best {100 * step.best.accuracy:.2f} %  {step.best.template}", file=sys.stderr
            ),
        )
        student = TemplateClassifier(task.clip, task.reward.class_names)
        program: Any = ipo.compile(student, trainset=task.search, valset=task.selection)
        result = {
            **start,
            "initial_template": ANCHOR,
            "template": program.template,
            "selection": asdict(program.choice),
            "templates_scored": sum(len(step.scored) for step in program.steps),
            "test": _sealed(task, [ANCHOR, program.template], journal.append),
            "seconds": round(journal.seconds, 1),
        }
        write_json(folder / "result.json", result)
        return result
    finally:
        journal.close()


def _sealed(task: Task, templates: Sequence[str], record: Callable[..., Any]) -> dict[str, Any]:
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
    """
    from ipo.experiments.result import comparison
    from ipo.metrics.statistics import mean_interval

    if initial.hits.dtype == bool:
        return comparison(initial, optimised, groups)

    def one(score: Score) -> dict[str, Any]:
        interval = mean_interval(score.hits, groups)
        return {"accuracy": score.accuracy, "loss": score.loss, "n": score.n, "ci95": list(interval)}

    difference = optimised.hits - initial.hits
    interval = mean_interval(difference, groups)
    return {
        "initial": one(initial),
        "optimised": one(optimised),
        "difference": {"mean": float(difference.mean()), "ci95": list(interval)},
    }


def words(result: dict[str, Any], unit: str) -> str:
    """Word a result for the terminal; `unit` is what n counts."""
    kept = result["template"] == result["initial_template"]
    lines = [f"anchor:    {result['initial_template']}", f"optimised: {result['template']}{' (kept)' if kept else ''}"]
    for name, measured in result["test"].items():
        before, after, difference = measured["initial"], measured["optimised"], measured["difference"]
        low, high = difference["ci95"]
        lines.append(
            f"{name}, sealed: anchor {_percent(before)}, optimised {_percent(after)}; difference "
            f"{100 * difference['mean']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] (n = {before['n']} {unit}, 95 %)"
        )
    return "\n".join(lines)


def _percent(measured: dict[str, Any]) -> str:
    low, high = measured["ci95"]
    return f"{100 * measured['accuracy']:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def main(name: str, about: str, unit: str, prepare: Callable[[Settings], Task], arguments: Sequence[str] | None) -> int:
    """Run an example from the command line; return the exit code."""
    from ipo.programs.optimizer import NothingUsable

    default = Settings()
    parser = argparse.ArgumentParser(prog=f"python -m ipo.experiments.tasks.{name}", description=about)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs") / name, help="run directory")
    parser.add_argument("--data", default=default.data, help="pictures, as for ipo optimize")
    parser.add_argument("--lm", default=default.lm, help="optimizer LLM, as for ipo optimize")
    parser.add_argument("--steps", type=int, default=default.steps, help="how often it is asked")
    parser.add_argument("--seed", type=int, default=default.seed, help="of pictures and language model")
    given = parser.parse_args(arguments)
    settings = Settings(given.data, given.lm, given.steps, given.seed)
    try:
        print(words(run(prepare(settings), settings, given.out), unit))
    except InputError as error:
        print(f"ipo: {error}", file=sys.stderr)
        return 2
    except NothingUsable as error:
        print(f"ipo: {error}", file=sys.stderr)
        return 1
    return 0
