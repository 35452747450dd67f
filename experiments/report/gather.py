"""Read a run directory: every file checked, every failure one sentence."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ipo_prompts.experiments.explain.model import Analysis, load_analysis
from ipo_prompts.experiments.report.search import SearchRecord, follow
from ipo_prompts.experiments.run.comparison import seen_before, verdict
from ipo_prompts.experiments.run.config import CHOSEN, RunConfig, build, load_config
from ipo_prompts.experiments.run.environment import Environment
from ipo_prompts.experiments.run.files import read_model
from ipo_prompts.experiments.run.result import RunResult, load_result
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.journal import FILE_NAME, read
from ipo_prompts.programs.record.resuming import resume_command, to_type


class Program(BaseModel):
    """What report and summary need of `program.json`, which is the classifier's."""

    class_names: list[str]
    synonyms: list[list[str]]
    offsets: dict[str, Any] | None


@dataclass(frozen=True)
class Run:
    """A finished run, as its directory records it.

    Attributes:
        folder: the run directory, as it was given.
        name: its last two parts, which tell runs apart.
        config, result, environment, program: its files.
        search: what the journal records.
        analysis: None where its file is missing.
    """

    folder: Path
    name: str
    config: RunConfig
    result: RunResult
    environment: Environment
    program: Program
    search: SearchRecord
    analysis: Analysis | None

    @property
    def kept_initial(self) -> bool:
        """Whether nothing convincing was found."""
        return [one.template for one in self.result.templates] == [self.result.initial_template]

    @property
    def weak(self) -> str | None:
        """What makes any template a poor answer, such as `near guessing`; None where nothing is known to."""
        if known := self.result.baselines:
            return known.weak
        room = self.result.headroom
        return room.outcome if room and room.outcome == "near guessing" else None

    @property
    def headline(self) -> str | None:
        """The sentence that stands first where the template does not: it is no answer, or not shown to be one."""
        if self.weak == "near guessing":
            known, room = self.result.baselines, self.result.headroom
            return known.warning if known else room.verdict if room else None
        return None if self.result.scores["test"].difference.outcome == "gain" else self.verdict

    @property
    def verdict(self) -> str:
        """The result's verdict without its numbers, which the page shows on cards below, and without `seen_before`."""
        found = self.result
        return verdict(
            found.scores["test"],
            found.reward.unit,
            1,
            new=found.scores.get("new"),
            untried=found.ended if found.templates_scored == 1 else None,
            numbers=False,
        )

    @property
    def seen_before(self) -> str | None:
        """What the verdict says of other runs that opened the sealed test."""
        found = self.result
        chain = found.started.opened if found.started else 1
        return seen_before(found.scores["test"], found.reward.unit, found.sealed.opened, chain)

    @property
    def command(self) -> str:
        """The command that makes this run: what differs from the defaults."""
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
        """The command that makes it again from its recorded replies, in a new directory."""
        again = f"{self.folder}-again"
        chosen = self.config.model_dump(include=set(CHOSEN))
        typed = [f"{key}={name}" for key, name in to_type(chosen).items()]
        config = str(self.folder / "config.yaml")
        return shlex.join(["ipo", "optimize", config, *typed, "--lm", f"replay/{self.folder}", "--out", again])


def _settings(key: str, value: Any) -> list[str]:
    """Write a setting as the command line takes it; of a strategy or a reward its name, then its own settings."""
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
        InputError: not a run directory, a run without a result, or a file that cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib raises where a name is too long
        raise InputError(f"{folder} is not a run directory: there is no such folder.")
    if not (folder / FILE_NAME).exists() and any(folder.glob(f"*/{FILE_NAME}")):
        every = f"{shlex.quote(str(folder))}/*"
        raise InputError(f"{folder} is not a run directory but holds some; name them, as in `ipo report {every}`.")
    events = read(folder)
    if not (folder / "result.json").is_file():
        raise InputError(f"the run in {folder} has no result.json yet; resume it with `{resume_command(folder)}`.")
    config = load_config(folder / "config.yaml")
    result = load_result(folder)
    if "test" not in result.scores:
        raise InputError(f"{folder / 'result.json'} has no scores of the test {result.reward.unit}; start a new run.")
    try:
        search = follow(events, result.template)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{folder / FILE_NAME} is not as this version writes it: {what}; start a new run.") from error
    return Run(
        folder=folder,
        name="/".join(folder.absolute().parts[-2:]),
        config=config,
        result=result,
        environment=read_model(Environment, folder / "environment.json"),
        program=read_model(Program, folder / "program.json"),
        search=search,
        analysis=load_analysis(folder) if (folder / "analysis.json").exists() else None,
    )
