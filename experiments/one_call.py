"""`ipo.optimize(…)`: the command `ipo optimize` as one call from Python; its result, in words and in a notebook."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.pipeline import run_job, stopped_early
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import PAGE, notebook_part
from ipo_prompts.experiments.run.config import CHOSEN
from ipo_prompts.experiments.run.files import default_folder, holds_run, reserved
from ipo_prompts.experiments.run.live_view import view
from ipo_prompts.experiments.run.reading import allow_typed, build, config_of, resumed
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.told import Line, told_at
from ipo_prompts.metrics.errors import InputError, printable, setting, speaking_to
from ipo_prompts.metrics.verdict import Verdict
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.trust import trusting

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ipo_prompts.programs.keywords import RunKeywords

CALL = "the call of ipo.optimize"
INSTEAD = {
    "data": "a text, such as data='folder:pets' or 'csv:pets.csv'",
    "clip": "a name, such as clip='ViT-B-16/openai'; a loaded CLIP goes to TemplateClassifier (docs/dspy.md)",
    "lm": "a name, such as lm='openai/gpt-4o-mini'; a dspy.LM goes to IPO(lm=…) (docs/dspy.md)",
    "describer": "a name, such as describer='clip'; one of your own goes to IPO(describer=…) (docs/dspy.md)",
    "reward": "a name, such as reward='retrieval' or, of your own, reward='module:Class'; an object goes to "
    "IPO(reward=…) (docs/your-own-reward.md)",
    "strategy": "a name, or one with its settings, such as strategy={'name': 'list', 'file': 'templates.txt'}, or, "
    "of your own, strategy='module:Class'; a list of templates or an object goes to IPO(strategy=…) "
    "(docs/strategies.md)",
}
"""What to give where people give the object itself: a run is its configuration, which a file holds."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a run found. It shows itself: `print` says what the command line prints, a notebook shows the pictures too.

    Attributes:
        folder: the run directory, absolute, which everything can be read from again.
        result: all numbers, the content of `result.json`.
    """

    folder: Path
    result: RunResult

    @property
    def template(self) -> str:
        """The chosen template; the initial one where nothing convincing was found."""
        return self.result.template

    @property
    def gain(self) -> Verdict:
        """The gain over the initial template on the sealed test: `mean` and `ci95`, fractions; `numbers`, in words.

        Raises:
            InputError: the run had no labels.
        """
        if self.result.untested:
            raise InputError(
                f"the run in {self.folder} has no gain, for it is not tested: no labels; `ipo label` and `ipo verify` "
                "test it."
            )
        return self.result.scores["test"].difference

    @cached_property
    def classifier(self) -> TemplateClassifier:
        """The classifier with the template, on the device of the run; loads the CLIP when it is first asked for."""
        return TemplateClassifier.from_file(self.folder, device=config_of(self.folder).device)

    def report(self) -> Path:
        """Return where the report page lies; it needs no network."""
        return self.folder / PAGE

    def __repr__(self) -> str:
        return printable(f"<Outcome {self.template!r}: {self.result.verdict} {self.folder}>")

    def __str__(self) -> str:
        return "\n".join(map(printable, summary(self.result, self.folder).splitlines()))

    def _repr_html_(self) -> str:
        return notebook_part(read_run(self.folder))


def optimize(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    start_from: str | Path | None = None,
    quiet: bool = False,
    trust: bool = False,
    **settings: Unpack[RunKeywords],
) -> Outcome:
    """Search a better template, choose the winner with held-back pictures, test it once on sealed ones.

    What `ipo optimize` does, with its defaults: a local language model is fetched when it is asked and not here.

    Args:
        data: the pictures: `folder:PATH`, `csv:PATH`, `hf:NAME`, a name of `ipo data list`; `embedded` if left out.
        out: the run directory; `runs/DATE-NAME` if left out.
        resume: the directory of a run to resume; what is given besides has to be its own, but for the limits.
        start_from: the directory of a run whose templates a new one starts from; settings that are not given are that
            run's.
        quiet: show no progress, which else goes to stderr.
        trust: use the CLIP, data, models and addresses that a run from elsewhere names; see `SECURITY.md`.
        **settings: by the names of the configuration: `clip`, `lm`, `steps`, `budget_usd`, …; those of a strategy or a
            reward as `strategy={"name": "history", "size": 8}`. `docs/command-line.md` lists them.

    Raises:
        InputError: bad input, or a run directory that does not fit.
        NothingUsable: the strategy gave nothing to score.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    for name, place in (("out", out), ("resume", resume), ("start_from", start_from)):
        if not isinstance(place, (str, os.PathLike, type(None))):
            raise InputError(f"{name}= is a folder, a text or a path, not {place!r}.")
    if resume is not None and out is not None:
        raise InputError("resume= works in its own directory; leave out= away.")
    given: dict[str, Any] = {**settings} if data is None else {"data": data, **settings}
    for name, instead in INSTEAD.items():
        if not isinstance(given.get(name, ""), (str, dict, type(None)) if name in CHOSEN else (str, type(None))):
            raise InputError(f"{name}= of ipo.optimize takes no {type(given[name]).__name__} but {instead}.")
    given = given if start_from is None else {**given, "start_from": str(start_from)}
    allow_typed(given)
    with speaking_to("ipo.optimize"), trusting(trust):
        if resume is None:
            config = build(given, CALL)
            folder = default_folder(config) if out is None else Path(out)
        else:
            folder = Path(resume)
            again = "".join(f", {key}={value!r}" for key, value in given.items() if key != "start_from")
            instead = f"ipo.optimize(start_from={str(folder)!r}{again})"
            typed = [setting(key, value) for key, value in given.items() if isinstance(value, (str, int, float))]
            config = resumed(folder, build(given, CALL), CALL, instead, typed)
        ui = view(config, quiet=quiet)
        with reserved(folder) if resume is None and out is None else nullcontext(folder) as folder:
            result = run_job(config, folder, ui, resume=resume is not None)
        if result.stopped:
            ui.warn(stopped_early(config, folder, result))
    return Outcome(folder.absolute(), result)


def answer(result: RunResult) -> str:
    """Return the template in a line of its own, then what it is worth: all that a quiet run prints."""
    return "\n".join([result.template, *(line.text for line in told_at("quiet", result, None, Path()))])


def summary(result: RunResult, folder: Path, width: int | None = None) -> str:
    """Format a result for a person: the template, what it gains where, how sure that is, what to do next.

    Args:
        result: of a finished run.
        folder: its directory.
        width: of the terminal; longer sentences are wrapped at words, and nothing is where there is none.
    """
    config = config_of(folder) if holds_run(folder) else None  # a result may stand alone
    lines = [line for one in told_at("terminal", result, config, folder) for line in _lines(one, width)]
    return "\n".join(["", f"  {result.template}", "", *lines])


def _lines(one: Line, width: int | None) -> list[str]:
    """Format one line of the end; what is typed stands behind its label, or below its sentence."""
    label = f"{one.label}: " if one.label else ""
    if not one.text:
        return [_command(f"{label:>8}", one.command, width)]
    return [_prose(f"{label}{one.text}", width), *([_command(" " * 8, one.command, width)] if one.command else [])]


def _prose(text: str, width: int | None) -> str:
    """Indent a sentence, and wrap it between words where it is longer than a line."""
    return textwrap.fill(
        text,
        width or sys.maxsize,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _command(label: str, parts: Sequence[str], width: int | None) -> str:
    """Return a command to copy, in one line or in several that a shell takes as one."""
    first, *others = parts
    lines = [f"{label}{first}"]
    for part in others:
        if width is None or len(f"{lines[-1]} {part}") <= width - 2:
            lines[-1] += f" {part}"
        else:
            lines[-1] += " \\"
            lines.append(f"{' ' * len(label)}  {part}")
    return "\n".join(lines)
