"""`ipo.optimize(…)`: the command `ipo optimize` as one call from Python.

The call returns an `Outcome`, which prints itself. In a notebook it also shows images. The call itself prints
nothing, unless `quiet=False` asks for it. It logs what it does, see `optimize`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from ipo_prompts.experiments.data.tables import write_frame
from ipo_prompts.experiments.pipeline import run_job
from ipo_prompts.experiments.report.page import notebook_part, read_run
from ipo_prompts.experiments.run.answer import PAGE, summary
from ipo_prompts.experiments.run.files import (
    allow_typed,
    build,
    check_writable,
    config_of,
    default_folder,
    holds_run,
    reserved,
    resumed,
)
from ipo_prompts.experiments.run.live_view import Logged, Ui, view
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.verdict import Verdict
from ipo_prompts.programs.classifier import TemplateClassifier

if TYPE_CHECKING:
    import pandas

CALL = "the call of ipo.optimize"
TABLE = "table.csv"
"""The file of a run directory that holds the DataFrame with which the run began."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """The outcome of a run. `print` shows the text that the command line prints; a notebook shows images, too.

    Attributes:
        folder: the absolute path of the run directory, which holds all files of the run.
        result: all numbers of the run: the content of `result.json`.
    """

    folder: Path
    result: RunResult

    @property
    def template(self) -> str:
        """The chosen template. It is the initial template where the search found no convincing gain."""
        return self.result.template

    @property
    def gain(self) -> Verdict:
        """The gain of all steps together on the held-out test, over the initial template with the class names as typed.

        Its `mean` and `ci95` are fractions; its `numbers` are a text.
        """
        return self.result.gain

    @cached_property
    def classifier(self) -> TemplateClassifier:
        """The chosen classifier, on the device of the run. The first use loads the CLIP.

        It decides with the chosen template, and with labelled images where the run took them.
        """
        return TemplateClassifier.from_file(self.folder, device=config_of(self.folder).device)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the classifier, whose CLIP cannot be pickled. It is loaded again when it is used."""
        return Outcome, (self.folder, self.result)

    @property
    def text_only(self) -> TemplateClassifier:
        """The classifier with the chosen template alone, without labelled images."""
        return self.classifier.text_only()

    def report(self) -> Path:
        """Return the path of the report page. The page can be read without a network."""
        return self.folder / PAGE

    def __repr__(self) -> str:
        return printable(f"<Outcome {self.template!r}: {self.gain.numbers} {self.folder}>")

    def __str__(self) -> str:
        return "\n".join(map(printable, summary(self.result, config_of(self.folder), self.folder).splitlines()))

    def _repr_html_(self) -> str:
        return notebook_part(read_run(self.folder))


def optimize(
    data: str | Path | pandas.DataFrame | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = True,
    **settings: Any,
) -> Outcome:
    """Search for a better template, choose the winner with held-back images, test it once on test images.

    This is `ipo optimize`, with the same defaults. A local language model that is not on this machine is fetched when
    the run first asks it.

    Args:
        data: the images: `folder:PATH`, `table:PATH`, `hf:NAME`, a name of `ipo data list`, or the `Path` of a folder
            or a table; `embedded` if left out. Or a DataFrame with the columns of a table, which is kept in the run
            directory as `table.csv`, with absolute paths of its images.
        out: the run directory; `runs/DATE-NAME` if left out.
        resume: the directory of a run to resume. The other arguments must equal the settings of that run; only limits
            may differ.
        quiet: whether to print nothing. Then progress is logged by `logging.getLogger("ipo_prompts")` at the level
            INFO, and warnings at WARNING; Python itself prints warnings that no handler takes. With `quiet=False`,
            progress and warnings are printed on stderr instead, as `ipo optimize` does.
        **settings: settings by name: `clip`, `lm`, `steps`, `budget_usd`, …. The settings of a strategy or a reward
            stand beside its name: `strategy={"name": "history", "size": 8}`. All settings: `ipo docs command-line`.
            `clip` may be the `Path` of a folder. `lm` may be a `dspy.LM`, which is asked with its own address, key and
            options. The run records only its name: to go on with all of it, resume with `lm=` and the same object, not
            on the command line.

    Raises:
        InputError: an argument is bad, or the run directory does not fit the arguments.
        NothingUsable: the strategy proposed nothing that can be scored.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    if resume is not None and out is not None:
        raise InputError("resume= works in its own directory; leave out= away.")
    frame = None
    if data is not None and not isinstance(data, (str, Path)):
        frame = data
        data = f"table:{TABLE}"
        if resume is not None:
            raise InputError("resume= reads the table in the run directory; leave the DataFrame away.")
    named = settings if data is None else {"data": data, **settings}
    given = {key: _typed(key, value) for key, value in named.items()}
    allow_typed(given)
    if resume is None:
        config = build(given, CALL)
        folder = default_folder(config) if out is None else Path(out)
    else:
        folder = Path(resume)
        typed = [f"{key}={value}" for key, value in given.items() if isinstance(value, (str, int, float))]
        config = resumed(folder, build(given, CALL), CALL, typed)
    ui = view(config, (Logged if quiet else Ui)(config.steps, quiet=quiet))
    with reserved(folder) if resume is None and out is None else nullcontext(folder) as folder:
        if frame is not None and not holds_run(folder):
            check_writable(folder)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder.absolute() / TABLE
            write_frame(frame, file, config.image)
            config = config.model_copy(update={"data": f"table:{file}"})
        result = run_job(config, folder, ui, resume=resume is not None, lm=settings.get("lm"))
    return Outcome(folder.absolute(), result)


def _typed(key: str, value: Any) -> Any:
    """Return an argument as it is typed on the command line: a path with its kind, a language model by its name."""
    if isinstance(value, Path):
        kinds = {"data": "table:" if value.is_file() else "folder:", "clip": "local-dir:"}
        return f"{kinds.get(key, '')}{value}"
    return value.model if key == "lm" and isinstance(value, dspy.BaseLM) else value
