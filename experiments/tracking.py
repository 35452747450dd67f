"""Log runs to Weights & Biases (W&B). The run directory stays the authoritative record.

All settings of W&B are its own, from its environment variables and files. Without a key the run is logged offline;
`wandb sync` uploads it. A failure of W&B or of the network does not end a run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.result import PartName, RunResult
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.journal import read
from ipo_prompts.programs.lm.ledger import Ledger, total_usd
from ipo_prompts.programs.redaction import redacted
from ipo_prompts.programs.trust import GRID_FILE

PROJECT = "ipo"
AS = {"names": "names", "template": "text", "other names": "text", "images": "images"}
"""The name of the score after each step; `text` is the score of template and names together."""


def summary_of(result: RunResult) -> dict[str, Any]:
    """Return the numbers and templates of a result, by name.

    The names are flat, such as `val/gain`, so that a sweep can name a number as its metric. The test has no gain:
    a sweep that chose by the test would spoil it.
    """
    numbers: dict[str, Any] = {}
    for part in get_args(PartName):
        rows = result.rows_on(part)
        for row in rows[:-1]:
            numbers |= {f"{part}/{AS[row.what]}": row.after.value}
        if rows:
            numbers[f"{part}/first"] = rows[0].before.value
        if rows and part in ("train", "val"):
            numbers[f"{part}/gain"] = rows[-1].difference.mean
    used = [usage for usage in (result.lm.optimizer, result.lm.describer) if usage]
    usd = total_usd(usage.usd for usage in used)
    return {
        **numbers,
        **({} if usd is None else {"usd": usd}),
        "tokens": sum(usage.tokens_in + usage.tokens_out for usage in used),
        "seconds": result.seconds["total"],
        "templates_scored": result.templates_scored,
        "template": result.template,
        "initial_template": result.initial_template,
    }


class Tracker:
    """Logs settings, steps, the summary, and the run directory as an artifact to W&B, in a `with` block.

    With `track=none` it logs nothing. A resumed run stays the same W&B run, because its id is computed from the start
    event of the journal. W&B ignores steps that its run has already; an offline log is written again from the first
    step.

    Args:
        config: the settings of the run.
        folder: the run directory, which must exist.
        ui: shows warnings.
        name: the name of the W&B run; that of the run directory if left out.

    Raises:
        InputError: W&B is not installed, or a run directory or a grid's folder holds settings for it.
    """

    def __init__(self, config: RunConfig, folder: Path, ui: Ui, name: str | None = None) -> None:
        self._config, self._folder, self._ui = config, folder, ui
        self._name = name or folder.name
        self._to_begin = config.track != "none"
        self._run: Any = None
        if not self._to_begin:
            return
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise InputError("track=wandb needs Weights & Biases: pip install wandb.") from error
        refuse_settings(folder, Path())  # W&B reads them where a person stands

    def __enter__(self) -> Tracker:
        return self

    def _begun(self) -> Any:
        """Return the W&B run; None if there is none, or W&B cannot begin it.

        It begins at the first step, because from then on the journal gives its id.
        """
        if self._to_begin:
            import wandb

            self._to_begin = False  # W&B is asked once
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=os.environ.get("WANDB_NAME", self._name),
                id=os.environ.get("WANDB_RUN_ID") or _id_of(self._folder),
                resume="allow",
                dir=os.environ.get("WANDB_DIR", self._folder),
                config=redacted(self._config.model_dump()),
                mode=None if has_key() or os.environ.get("WANDB_MODE") else "offline",
            )
        return self._run

    def step(self, step: Step, ledger: Ledger) -> None:
        """Log a finished step. A resumed run calls this for its earlier steps again."""
        with self._surviving():
            if run := self._begun():
                run.log(_numbers_of(step, ledger), step=step.number + 1, commit=True)

    def finish(self, numbers: dict[str, Any]) -> None:
        """Log the numbers and templates of a result, by name, and the files of the run directory."""
        with self._surviving():
            if run := self._begun():
                import wandb

                run.summary.update(redacted(numbers))
                artifact = wandb.Artifact(f"run-{run.id}", type="run")
                for file in sorted(self._folder.glob("[!.]*.*")):
                    if not file.is_symlink():
                        artifact.add_file(str(file))
                run.log_artifact(artifact)

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End the W&B run if it was begun; W&B prints where its log is. An exception of the block is raised further."""
        with self._surviving():
            if self._run:
                self._run.finish(exit_code=1 if kind else 0)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Within the block, turn an error of W&B into a warning. A failing log must not end a run that cost money."""
        try:
            yield
        except Exception as error:
            why = redacted(" ".join(str(error).split())[:200]) or type(error).__name__
            self._ui.warn(f"Weights & Biases: {why}; the run continues, its directory has everything.")


def has_key() -> bool:
    """Return whether the environment or the netrc file has a key for W&B. The network is not used."""
    from requests.utils import get_netrc_auth  # W&B uses it, too

    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    given = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    return bool(given or get_netrc_auth(server))


def refuse_settings(*places: Path) -> None:
    """Refuse settings for W&B inside a run directory or a grid's folder: a stranger's would name who gets the key.

    Raises:
        InputError: a place has such settings; the message names the file.
    """
    for file in (place / name / "settings" for place in places for name in ("wandb", ".wandb")):
        inside = any((above / name).exists() for above in file.absolute().parents for name in (JOURNAL, GRID_FILE))
        if inside and file.exists():
            raise InputError(
                f"{file} would say to which server the W&B key goes, and no run or grid may; delete it, or leave out "
                "track=wandb."
            )


def _id_of(folder: Path) -> str | None:
    """Return the id of the W&B run: a digest of the run directory's name and of the event that began the run.

    None if the run has not begun.
    """
    events = read(folder) if (folder / JOURNAL).is_file() else []
    start = next((event for event in events if event["type"] == "start"), None)
    if start is None:
        return None
    return hashlib.sha256(json.dumps([folder.resolve().name, start], sort_keys=True).encode()).hexdigest()[:16]


def _numbers_of(step: Step, ledger: Ledger) -> dict[str, float]:
    """Return the numbers of a step, by the names that they have in Weights & Biases."""
    numbers = {
        "best/accuracy": step.best.value,
        "best/accuracy_low": step.interval.low,
        "best/accuracy_high": step.interval.high,
        "best/loss": step.best.loss,
        "new": len(step.scored),
        "refused": len(step.rejected),
        "tokens": ledger.tokens,
        "usd": ledger.usd,
    }
    return {name: number for name, number in numbers.items() if number is not None}
