"""Running `ipo` on a few tiny images, and reading what it left behind."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import app, main
from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.metrics.template import key, problem
from ipo_prompts.programs.journal import line_of
from ipo_prompts.programs.lm.ledger import Question, read_questions
from ipo_prompts.programs.trust import resume_command
from support.openai_server import OpenAIServer

CLASSES = ("cat", "car", "bus", "key", "book", "fish")
SMALL = (
    "lm=none",
    "describer=none",
    "steps=2",
    "candidates_per_step=3",
    "shots=1",
    "val_shots=1",
    "scored_templates=60",
)
"""The settings of a search without a language model that takes a second."""
KEY = "sk-test-0123456789abcdef"
"""The key that the tests give in the environment."""
EVENTS = (
    "start",
    "scores",
    "descriptions",
    "domain",
    "test",
    "new",
    "names",
    "drawn",
    "end",
)


def copy_images(folder: Path) -> Path:
    """Make a data set of six classes with six images each."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for image in sorted((IMAGES_DIR / "a" / name).iterdir())[:6]:
            shutil.copy(image, folder / name)
    return folder


def arguments(
    images: Path,
    server: OpenAIServer,
    *more: str,
    lm: str = "openai/test-model",
    steps: int = 2,
    strategy: str = "history",
) -> list[str]:
    """Return the words of a small run over the server, without the run directory."""
    return [
        "optimize",
        *(f"--data=folder:{images}", f"--lm={lm}", f"lm_api_base={server.base}"),
        *(
            f"strategy={strategy}",
            "describer=none",
            "shots=1",
            "val_shots=1",
            "candidates_per_step=3",
            f"steps={steps}",
            "names=as-is",
        ),
        *more,
    ]


def resuming(folder: Path) -> list[str]:
    """Return the words that resume a run."""
    return shlex.split(resume_command(folder))[1:]


def is_begun(folder: Path) -> bool:
    """Whether there is a run to resume."""
    return bool(events(folder, "start"))


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that says what went wrong."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("ipo: ")]
        return line


def ipo(capfd: pytest.CaptureFixture[str], *words: str, of: Any = app) -> Ended:
    """Run the command, or that of another app, in this process, which is much faster than a new one."""
    capfd.readouterr()
    code = main(list(words), of)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err, captured.err
    return Ended(code, captured.out, captured.err)


def events(folder: Path, *types: str) -> list[dict[str, Any]]:
    """Return the whole lines of a journal, those of some types only when they are given."""
    file = folder / "journal.jsonl"
    if not file.exists():
        return []
    lines = file.read_bytes().splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert all(event["type"] in (*EVENTS, "scored_only") for event in found)  # older runs noted these
    return [event for event in found if not types or event["type"] in types]


def answered(folder: Path) -> list[Question]:
    """Return the questions of a run that have an answer."""
    return [question for question in read_questions(folder) if question.state == "answered"]


def unanswered(folder: Path) -> list[Question]:
    """Return the questions of a run that have no answer."""
    return [question for question in read_questions(folder) if question.state != "answered"]


def lines_of(*events: dict[str, Any]) -> str:
    """Return the lines of a journal with these events."""
    return b"".join(map(line_of, events)).decode()


def change_settings(folder: Path, **values: Any) -> None:
    """Change the settings of a run where they count: in its journal."""
    told = events(folder)
    changed = [one | {"config": one["config"] | values} if one["type"] == "start" else one for one in told]
    (folder / "journal.jsonl").write_text(lines_of(*changed))


def result(folder: Path) -> Any:
    """Return `result.json` without the times, and without what other tests of the same test images change."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    del content["seconds"], content["held_out"]["tested_before"], content["advice"]
    for row in content["rows"]:
        for name in ("outcome", "p", "p_corrected", "comparisons", "family"):
            del row["difference"][name]
    return content


def program(folder: Path) -> Any:
    """Return `program.json`."""
    return json.loads((folder / "program.json").read_text())


def scored(folder: Path) -> list[str]:
    """Return the templates scored on the train images, after checking that each is valid and scored once."""
    steps = [event for event in events(folder, "scores") if event["kind"] == "train"]
    numbers = [event["step"] for event in steps]
    assert numbers == sorted(set(numbers)), "a step is in the journal twice, or out of order"
    found = [score["template"] for event in steps for score in event["scores"]]
    assert [problem(template) for template in found] == [None] * len(found)
    assert len({key(template) for template in found}) == len(found), "a template was scored twice"
    return found


def rejected(folder: Path) -> list[dict[str, str]]:
    """Return the refused templates with their reasons."""
    return [entry for event in events(folder, "scores") for entry in event["rejected"]]


def check_whole(folder: Path) -> dict[str, Any]:
    """Check that result and journal agree, and return the result."""
    found = result(folder)
    templates = scored(folder)
    assert found["templates_scored"] == len(templates)
    assert found["template"] in templates
    assert found["lm"]["optimizer"]["calls"] == sum(one.role == "optimizer" for one in answered(folder))
    return found


def comparable(folder: Path) -> Any:
    """Return what a repeated run has again. A run in a grid has no `templates.csv`, and another method no analysis."""
    found = json.loads((folder / "result.json").read_text())
    if (analysis := folder / "analysis.json").exists():
        found["search"] = json.loads(analysis.read_text())["search"]
    if (table := folder / "templates.csv").exists():
        found["table"] = table.read_text()
    return {key: value for key, value in found.items() if key not in ("seconds", "held_out")}


def check_it_can_be_done_again(capfd: pytest.CaptureFixture[str], folder: Path, again: Path) -> None:
    """Check that a run that was killed, or is made anew from its configuration, ends with the same result."""
    first = comparable(folder)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for left in (3, len(lines) - 2):  # killed in the search, and before the result
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:left]))
        (folder / "result.json").unlink()
        resumed = ipo(capfd, *resuming(folder))
        assert resumed.code == 0, resumed.err
        assert comparable(folder) == first
    anew = ipo(capfd, "optimize", str(folder / "config.yaml"), "--out", str(again))
    assert anew.code == 0, anew.err
    assert comparable(again) == first
    assert (again / "program.json").read_text() == (folder / "program.json").read_text()
