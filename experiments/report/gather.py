"""Read a run directory: every file checked, every failure one sentence."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ipo.experiments.report.schema import Analysis, Environment, Program, Result
from ipo.experiments.report.search import Search, follow
from ipo.experiments.run.config import RunConfig, build, load_config
from ipo.metrics.errors import InputError
from ipo.programs.record.journal import FILE_NAME, read

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True)
class Run:
    """A finished run, as its directory tells it.

    Attributes:
        folder: the run directory, as it was given.
        name: its last two parts, which tell runs of a sweep apart.
        config, result, environment, program: its files.
        raw_result: `result.json` as it was read.
        search: what the journal says.
        analysis: None for runs made before there was one.
    """

    folder: Path
    name: str
    config: RunConfig
    result: Result
    raw_result: dict[str, Any]
    environment: Environment
    program: Program
    search: Search
    analysis: Analysis | None

    @property
    def kept_initial(self) -> bool:
        """Whether nothing convincing was found."""
        return self.result.template == self.result.initial_template

    @property
    def command(self) -> str:
        """The command that makes this run: what differs from the defaults."""
        defaults = build({"preset": self.config.preset}, where="the defaults").model_dump()
        words = ["ipo", "optimize"]
        if self.config.preset != "default":
            words.append(f"preset={self.config.preset}")
        for key, value in self.config.model_dump().items():
            if key != "preset" and value != defaults[key]:
                words.append(f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        return shlex.join(words)

    @property
    def command_to_replay(self) -> str:
        """The command that makes it again from its recorded replies, in a new directory."""
        again = f"{self.folder}-again"
        return shlex.join(
            ["ipo", "optimize", str(self.folder / "config.yaml"), "--lm", f"replay/{self.folder}", "--out", again]
        )


def gather(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        InputError: not a run directory, a run without a result, or a file that cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib raises where a name is too long
        raise InputError(f"{folder} is not a run directory: there is no such folder.")
    events = read(folder)
    if not (folder / "result.json").is_file():
        raise InputError(f"the run in {folder} has no result.json yet; go on with `ipo optimize --resume {folder}`.")
    raw = _json(folder / "result.json")
    config = load_config(folder / "config.yaml")
    result = _checked(Result, raw, folder / "result.json")
    if "test" not in result.scores:
        raise InputError(f"{folder / 'result.json'} has no scores of the test pictures; start a new run.")
    try:
        search = follow(events, config, result.template)
    except KeyError as error:
        raise InputError(
            f"{folder / FILE_NAME} is not as this version writes it: {error.args[0]!r} is missing; start a new run."
        ) from error
    analysis = folder / "analysis.json"
    return Run(
        folder=folder,
        name="/".join(folder.absolute().parts[-2:]),
        config=config,
        result=result,
        raw_result=raw,
        environment=_checked(Environment, _json(folder / "environment.json"), folder / "environment.json"),
        program=_checked(Program, _json(folder / "program.json"), folder / "program.json"),
        search=search,
        analysis=_checked(Analysis, _json(analysis), analysis) if analysis.exists() else None,
    )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; start a new run.") from error
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON ({error}); {_mend(file)}.") from error


def _checked(form: type[Form], content: Any, file: Path) -> Form:
    try:
        return form.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise InputError(
            f"{file} is not of the form that this version reads ({where}: {first['msg'].lower()}); {_mend(file)}."
        ) from error


def _mend(file: Path) -> str:
    """Say what helps: an analysis may be left out, everything else is the run."""
    return "remove it, the report does without" if file.name == "analysis.json" else "restore it, or start a new run"
