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
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from ipo_prompts.experiments.report.explain import ANALYSIS, Analysis, load_analysis
from ipo_prompts.experiments.run.config import RunConfig, dotted
from ipo_prompts.experiments.run.files import build, config_of
from ipo_prompts.experiments.run.result import RESULT, RunResult, load_result
from ipo_prompts.metrics.errors import InputError, as_cell, reason
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.journal import Event, read
from ipo_prompts.programs.lm.ledger import Question, read_questions
from ipo_prompts.programs.trust import resume_command, to_type


@dataclass(frozen=True)
class Run:
    """A finished run, read from its run directory.

    Attributes:
        folder: the path of the run directory, as the caller gave it.
        config: the settings of the run, as the journal records them.
        result: the content of `result.json`.
        search: the search, as the journal and the replies record it.
        analysis: the content of `analysis.json`; None if that file is missing.
    """

    folder: Path
    config: RunConfig
    result: RunResult
    search: SearchRecord
    analysis: Analysis | None

    @property
    def unchanged(self) -> bool:
        """Whether no step changed anything."""
        return not self.result.rows_on(self.result.judged_on)[-1].kept

    @property
    def command(self) -> str:
        """The command that starts a run with these settings. It names only settings that differ from the defaults."""
        defaults = build({"preset": self.config.preset}, where="the defaults").model_dump()
        changed = {key: value for key, value in self.config.model_dump().items() if value != defaults[key]}
        words = ["ipo", "optimize"]
        if self.config.preset != "default":
            words.append(f"preset={self.config.preset}")
        for key, value in dotted(changed).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            words.append(f"{key.removesuffix('.name')}={text}")
        return shlex.join(words)

    @property
    def command_to_replay(self) -> str:
        """The command that repeats the run in a new directory, with the recorded replies of the language model."""
        typed = to_type({**self.config.model_dump(), "lm": f"replay/{self.folder}"})
        words = [str(self.folder / "config.yaml"), *(f"{key}={value}" for key, value in typed.items())]
        return shlex.join(["ipo", "optimize", *words, "--out", f"{self.folder}-again"])


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
    if not (folder / RESULT).is_file():
        raise InputError(f"the run in {folder} has no {RESULT} yet; resume it with `{resume_command(folder)}`.")
    config = config_of(folder)
    result = load_result(folder)
    if not (result.rows_on("search") and (result.rows_on("test") or not config.test)):
        raise InputError(f"{folder / RESULT} has no rows of the test {result.reward.unit}; start a new run.")
    try:
        search = follow(events, questions, result.template)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else reason(error)
        raise InputError(f"{folder / JOURNAL} is not as this version writes it: {what}; start a new run.") from error
    analysis = load_analysis(folder) if (folder / ANALYSIS).exists() else None
    return Run(folder, config, result, search, analysis)


LARGEST = 1e6
"""The largest value of a template that is accepted, as a fraction. No reward comes near it, and it can be drawn."""


class Candidate(BaseModel):
    """A scored template, its value as a fraction, and its loss."""

    template: str
    value: float = Field(alias="accuracy", ge=-LARGEST, le=LARGEST)
    loss: float


@dataclass(frozen=True)
class StepRecord:
    """One step, counted from 1.

    Attributes:
        number: the number of the step.
        candidates: the proposed templates.
        scored_only: the templates of the step that were scored only.
        best: the best proposed template up to and including this step.
    """

    number: int
    candidates: list[Candidate]
    scored_only: list[Candidate]
    best: Candidate


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
        question: the last question to the language model that was answered; None if none was.
    """

    initial: Candidate
    n: int
    chosen: str
    steps: list[StepRecord] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    finalists_n: int = 0
    descriptions: list[str] = field(default_factory=list)
    question: Question | None = None

    @property
    def best(self) -> Candidate:
        """The best proposed template on the search units."""
        return self.steps[-1].best if self.steps else self.initial

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
                chosen = "yes" if kind != "scored only" and one.template == self.chosen else ""
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
    # The last event of a step counts. A step that a limit stopped has an earlier event, too.
    searched: dict[int, Event] = {}
    scored_only: defaultdict[int, dict[str, Candidate]] = defaultdict(dict)
    finals: list[dict[str, Any]] = []
    descriptions: list[str] = []
    for event in events:
        if event["type"] == "scores" and event["kind"] == "search":
            searched[event["step"]] = event
        elif event["type"] == "scores" and event["kind"] == "selection":
            finals = event["scores"]
        elif event["type"] == "scored_only":
            for template, value, loss in event["rows"]:
                one = Candidate(template=template, accuracy=value, loss=loss)
                scored_only[event["step"]][template] = one
        elif event["type"] == "descriptions":
            descriptions = event["descriptions"]
    first = searched[-1]["scores"][0]
    search = SearchRecord(
        Candidate(**first),
        first["n"],
        chosen,
        finalists=[Candidate(**score) for score in finals],
        finalists_n=finals[0]["n"] if finals else 0,
        descriptions=descriptions,
    )
    for number in sorted(set(searched) - {-1}):
        found = [Candidate(**score) for score in searched[number]["scores"]]
        best = max([search.best, *found], key=lambda one: (one.value, -one.loss))
        search.steps.append(StepRecord(number + 1, found, list(scored_only[number].values()), best))
    for question in asked:
        if question.role != "describer" and question.state == "answered":
            search.question = question
    return search
