"""`ipo.optimize(…)`: the command `ipo optimize` as one call from Python, with a result that a notebook can show."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import FILE_NAME, notebook_part
from ipo_prompts.experiments.run import pipeline
from ipo_prompts.experiments.run.config import CHOSEN, RunConfig, allow, build
from ipo_prompts.experiments.run.folder import default_folder, larger_limit, resumed, stored_config
from ipo_prompts.experiments.run.live_view import Ui, showing_warnings
from ipo_prompts.experiments.run.local_weights import ensure_local_weights
from ipo_prompts.experiments.run.published_settings import about_preset
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.summary import summary
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.device import find_device
from ipo_prompts.metrics.errors import InputError, printable, silent
from ipo_prompts.metrics.verdict import Verdict
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.resuming import resume_command
from ipo_prompts.programs.search import NothingUsable

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ipo_prompts.experiments.run.keywords import RunKeywords

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
_RESUME = re.compile(r"`(ipo optimize --resume [^`]+)`")
_TYPED = re.compile(r"`('?(?:lm_api_base|describer_api_base|reward|strategy)=[^`]+)`")
_FLAG = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


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
        """The gain over the initial template on the sealed test: `mean` and `ci95`, fractions; `numbers`, in words."""
        return self.result.scores["test"].difference

    @cached_property
    def classifier(self) -> TemplateClassifier:
        """The classifier with the template, on the device of the run; loads the CLIP when it is first asked for."""
        return TemplateClassifier.from_file(self.folder, device=stored_config(self.folder).device)

    def report(self) -> Path:
        """Return where the report page lies; it needs no network."""
        return self.folder / FILE_NAME

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
    allow(given)
    with _messages_in_python([place for place in (out, resume, start_from) if place is not None]):
        if resume is None:
            config = build(given, CALL)
            folder = default_folder(config) if out is None else Path(out)
        else:
            folder = Path(resume)
            config = stored_config(folder)
            again = "".join(f", {key}={value!r}" for key, value in given.items() if key != "start_from")
            instead = f"ipo.optimize(start_from={str(folder)!r}{again})"
            typed = [f"{key}={value}" for key, value in given.items() if isinstance(value, (str, int, float))]
            config = resumed(folder, config, build(given, CALL), CALL, instead, typed)
        check_name(config.clip)
        find_device(config.device)  # a wrong one is refused before anything is fetched
        ui = Ui(config.steps, quiet=quiet)
        for line in about_preset(config):
            ui.say(line)
        ensure_local_weights([config], quiet=quiet)
        with silent("dspy", "LiteLLM"), showing_warnings(ui):  # what they log is raised as an exception, too
            result = pipeline.optimize(config, folder, ui, resume=resume is not None, shrink_shots=True)
    if result.stopped:
        key, limit = larger_limit(config, result.stopped, result)
        again = _as_call(resume_command(folder, config.model_dump(), f"{key}={limit}"))
        ui.warn(f"stopped early: {result.stopped}; resume with a larger limit: {again}")
    return Outcome(folder.absolute(), result)


@contextmanager
def _messages_in_python(places: list[str | Path]) -> Iterator[None]:
    """Have messages for the command line say what to write in Python: `resume=…` for `--resume …`."""
    try:
        yield
    except (InputError, NothingUsable) as error:
        said = str(error)
        said = _RESUME.sub(lambda found: f"`{_as_call(found[1])}`", said)
        said = _TYPED.sub(lambda found: f"`{', '.join(map(_in_python, shlex.split(found[1])))}`", said)
        for place in map(str, places):
            for written in {place, shlex.quote(place)}:
                said = said.replace(f"--resume {written}", f"resume={place!r}")
        error.args = (_FLAG.sub(_as_argument, said),)
        raise


def _as_call(command: str) -> str:
    """Return the call that does what a command to resume does.

    >>> _as_call("ipo optimize --resume 'my run' steps=3 lm_api_base=http://localhost:1/v1")
    "ipo.optimize(resume='my run', steps=3, lm_api_base='http://localhost:1/v1')"
    """
    folder, *words = shlex.split(command)[3:]
    return f"ipo.optimize({', '.join([f'resume={folder!r}', *map(_in_python, words)])})"


def _in_python(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}={value}" if re.fullmatch(r"-?[0-9.]+|True|False", value) else f"{key}={value!r}"


def _as_argument(flag: re.Match[str]) -> str:
    name = flag[1].replace("-", "_")
    return f"{name}=" if name in (*RunConfig.model_fields, "out", "resume") else flag[0]
