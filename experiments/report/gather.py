"""Read a run directory, and read the search from its journal and its replies.

Every file is checked, and every error message is one sentence.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ipo_prompts.experiments.report.analysis import Analysis, load_analysis
from ipo_prompts.experiments.run.answer import cost, next_commands
from ipo_prompts.experiments.run.config import CHOSEN, RunConfig
from ipo_prompts.experiments.run.files import Environment, build, config_of, read_model
from ipo_prompts.experiments.run.result import RunResult, load_result
from ipo_prompts.metrics.errors import InputError, as_cell
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.journal import Event, read
from ipo_prompts.programs.lm.ledger import Question, read_questions
from ipo_prompts.programs.trust import resume_command, to_type


class Program(BaseModel):
    """The part of `program.json`, a saved classifier, that the report needs."""

    class_names: list[str]


@dataclass(frozen=True)
class Run:
    """A finished run, read from its run directory.

    Attributes:
        folder: the path of the run directory, as the caller gave it.
        config: the settings of the run, as the journal records them.
        result, environment, program: the contents of `result.json`, `environment.json` and `program.json`.
        search: the search, as the journal and the replies record it.
        analysis: the content of `analysis.json`; None if that file is missing.
    """

    folder: Path
    config: RunConfig
    result: RunResult
    environment: Environment
    program: Program
    search: SearchRecord
    analysis: Analysis | None

    @property
    def kept_initial(self) -> bool:
        """Whether the run kept the initial template, because it found nothing convincing."""
        return self.result.template == self.result.initial_template

    @property
    def unchanged(self) -> bool:
        """Whether no step changed anything."""
        return not self.result.rows_on("test")[-1].kept

    @property
    def cost(self) -> str:
        """How many templates were scored, how long the run took, and what was asked."""
        return cost(self.result, self.config)

    @property
    def next(self) -> dict[str, str]:
        """The commands that use the program, by label."""
        return next_commands(self.result, self.folder)

    @property
    def command(self) -> str:
        """The command that starts a run with these settings. It names only settings that differ from the defaults."""
        defaults = build({"preset": self.config.preset}, where="the defaults").model_dump()
        words = ["ipo", "optimize"]
        if self.config.preset != "default":
            words.append(f"preset={self.config.preset}")
        for key, value in self.config.model_dump().items():
            if key != "preset" and value != defaults[key]:
                words += _settings(key, value)
        return shlex.join(words)

    @property
    def command_to_replay(self) -> str:
        """The command that repeats the run in a new directory, with the recorded replies of the language model."""
        again = f"{self.folder}-again"
        typed = to_type({**self.config.model_dump(), "lm": f"replay/{self.folder}"})
        words = [str(self.folder / "config.yaml"), *(f"{key}={value}" for key, value in typed.items())]
        return shlex.join(["ipo", "optimize", *words, "--out", again])


def _settings(key: str, value: Any) -> list[str]:
    """Return a setting as words of the command line.

    A strategy or a reward gives several words: its name, then each of its own settings.
    """
    if key in CHOSEN:
        own = {name: one for name, one in value.items() if name != "name"}
        return [
            f"{key}={value['name']}",
            *(word for name, one in own.items() for word in _settings(f"{key}.{name}", one)),
        ]
    return [f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        InputError: the folder is not a run directory, the run has no result, or a file cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib raises where a name is too long
        raise InputError(f"{folder} is not a run directory: there is no such folder.")
    if not (folder / JOURNAL).exists() and (runs := sorted(file.parent for file in folder.glob(f"*/{JOURNAL}"))):
        one = shlex.join(["ipo", "report", str(runs[0])])
        raise InputError(f"{folder} is not a run directory but holds some; name one, as in `{one}`.")
    events, questions = read(folder), read_questions(folder)
    if not (folder / "result.json").is_file():
        raise InputError(f"the run in {folder} has no result.json yet; resume it with `{resume_command(folder)}`.")
    config = config_of(folder)
    result = load_result(folder)
    if not (result.rows_on("test") and result.rows_on("search")):
        raise InputError(f"{folder / 'result.json'} has no rows of the test {result.reward.unit}; start a new run.")
    try:
        search = follow(events, questions, result.template)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{folder / JOURNAL} is not as this version writes it: {what}; start a new run.") from error
    return Run(
        folder=folder,
        config=config,
        result=result,
        environment=read_model(Environment, folder / "environment.json"),
        program=read_model(Program, folder / "program.json"),
        search=search,
        analysis=load_analysis(folder) if (folder / "analysis.json").exists() else None,
    )


LARGEST = 1e6
"""The largest value of a template that is accepted, as a fraction. No reward comes near it, and it can be drawn."""


@dataclass(frozen=True)
class Candidate:
    """A scored template.

    Attributes:
        template: the template.
        value: its value, a fraction.
        loss: its loss.
        chosen: whether it is the chosen template.
    """

    template: str
    value: float
    loss: float
    chosen: bool


@dataclass
class StepRecord:
    """One step, counted from 1.

    Attributes:
        number: the number of the step.
        scored_only: the templates of the step that were scored only.
        best: the best proposed template up to and including this step.
        questions: the requests to the language model in this step.
        errors: the errors of the language model in this step.
        rejected: the templates that could not be scored.
        candidates: the proposed templates.
    """

    number: int
    scored_only: list[Candidate]
    best: Candidate
    questions: list[Question] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)


@dataclass
class SearchRecord:
    """A whole search.

    Attributes:
        initial: the initial template, scored on the search units.
        n: the number of search units.
        chosen: the chosen template.
        steps: the steps in order.
        finalists: the templates that were scored on the selection units. The initial template is first; the others
            follow, the best on the search units first.
        finalists_n: the number of selection units.
        descriptions: the descriptions of the pictures.
        undescribed: for each picture that could not be described, its name and the reason.
        describing: the requests to the describer, with their replies.
        unfinished: the requests of a stopped step, with their replies. The templates in these replies were not scored.
        tried: how many compositions were tried where only the promising ones are scored; 0 if all were scored.
    """

    initial: Candidate
    n: int
    chosen: str
    steps: list[StepRecord] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    finalists_n: int = 0
    descriptions: list[str] = field(default_factory=list)
    undescribed: list[tuple[str, str]] = field(default_factory=list)
    describing: list[Question] = field(default_factory=list)
    unfinished: list[Question] = field(default_factory=list)
    tried: int = 0

    @property
    def scored(self) -> list[tuple[int, Candidate]]:
        """Every proposed template with the number of its step."""
        return [(each.number, one) for each in self.steps for one in each.candidates]

    def table(self) -> str:
        """Return every scored template as CSV, with its step, how it came to be scored, its value and its loss."""
        written = io.StringIO()
        write = csv.writer(written, lineterminator="\n").writerow
        write(("step", "template", "scored_as", "value", "loss", "chosen"))
        parts = [(0, "initial template", [self.initial])]
        for step in self.steps:
            parts += [(step.number, "proposed", step.candidates), (step.number, "scored only", step.scored_only)]
        for number, kind, found in parts:
            for one in found:
                chosen = "yes" if one.chosen else ""
                write((number, as_cell(one.template), kind, round(one.value, 6), round(one.loss, 6), chosen))
        return written.getvalue()


def follow(events: Sequence[Event], asked: Sequence[Question], chosen: str) -> SearchRecord:
    """Return the record of a search.

    Args:
        events: the events in the journal of a finished run, oldest first.
        asked: the questions of the run, oldest first.
        chosen: the chosen template.

    Raises:
        KeyError: a key is missing from an event. Other damage raises IndexError, TypeError, ValueError or
            AttributeError.
    """
    made = partial(_candidate, chosen=chosen)
    of: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        of[f"scores of {event['kind']}" if event["type"] == "scores" else event["type"]].append(event)
    # The last event of a step counts. A step that a limit stopped has an earlier event, too.
    searched = {event["step"]: event for event in of["scores of search"]}
    scored_only: defaultdict[int, dict[str, Candidate]] = defaultdict(dict)
    for event in of["scored_only"]:
        scored_only[event["step"]] |= {text: _made(text, value, loss) for text, value, loss in event["rows"]}
    first = searched[-1]["scores"][0]
    finals = [score for event in of["scores of selection"][-1:] for score in event["scores"]]
    search = SearchRecord(
        made(first),
        first["n"],
        chosen,
        finalists=[made(score) for score in finals],
        finalists_n=finals[0]["n"] if finals else 0,
        descriptions=[text for event in of["descriptions"][-1:] for text in event["descriptions"]],
        undescribed=[(name, reason) for event in of["descriptions"][-1:] for name, reason in event["failed"]],
        describing=[one for one in asked if one.role == "describer" and one.state == "answered"],
        tried=sum(event.get("tried", 0) for event in of["scored_only"]),
    )
    best = search.initial
    proposed = [one for one in asked if one.role != "describer" and one.state == "answered"]
    for event in events:
        number = event.get("step", -1)
        if number >= 0 and event is searched.get(number):
            seen = list(scored_only[number].values())
            questions = [one for one in proposed if one.step == number]
            errors = [one.error for one in asked if one.step == number and one.error]
            step = StepRecord(number + 1, seen, best, questions, errors, event["rejected"])
            for score in event["scores"]:
                better = (score["accuracy"], -score["loss"]) > (best.value, -best.loss)
                step.candidates.append(made(score))
                best = step.candidates[-1] if better else best
            step.best = best
            search.steps.append(step)
    search.unfinished = [one for one in proposed if one.step not in searched]
    return search


def _candidate(score: dict[str, Any], chosen: str) -> Candidate:
    return _made(score["template"], score["accuracy"], score["loss"], score["template"] == chosen)


def _made(template: str, value: float, loss: float, chosen: bool = False) -> Candidate:
    if not abs(value) <= LARGEST:  # a TypeError where it is no number
        raise ValueError(f"a template has the value {value}")
    return Candidate(template, value, float(loss), chosen)
