"""Log runs to Weights & Biases (W&B). The run directory stays the authoritative record.

The environment variables of W&B are honoured: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR, WANDB_RUN_GROUP,
WANDB_TAGS, WANDB_JOB_TYPE.
Without a key the run is logged offline; `wandb sync` uploads it. A failure of W&B or of the network does not end a run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from ipo_prompts.experiments.report.explain import load_analysis
from ipo_prompts.experiments.report.page import PAGE
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.result import PROGRAM, RunResult
from ipo_prompts.experiments.run.scores import PartName
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.lm.ledger import Ledger, total_usd
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.journal import read
from ipo_prompts.programs.record.redaction import redacted

PROJECT = "ipo"
LOGS = "wandb"
STAGING = "WANDB_DATA_DIR"
"""The environment variable with the folder in which W&B keeps copies of artifacts until they are uploaded."""
INIT_SECONDS = 30.0
"""How many seconds to wait for W&B at the start. After that time the run is logged offline."""
FINISH_SECONDS = 120.0
"""How many seconds to wait for the upload at the end. `wandb sync` uploads the rest."""
PARTS: tuple[PartName, ...] = get_args(PartName)
AS = {"names": "names", "template": "words", "other names": "words", "pictures": "pictures"}
"""The name of the score after each step; `words` is the score of template and names together."""
MOST_IN_TAG = 64
"""The most characters of a tag that the server of W&B takes."""
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")


class Tracker:
    """Logs a run in a `with` block. This base class logs nothing."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End the log. An exception that ended the `with` block is raised further."""

    def step(self, step: Step, ledger: Ledger) -> None:
        """Log a finished step. A resumed run calls this for its earlier steps again."""

    def finish(self, result: RunResult, folder: Path) -> None:
        """Log the result of a run; `folder` holds the program, the page and perhaps `analysis.json`."""


def tracking(config: RunConfig, folder: Path, ui: Ui) -> Tracker:
    """Return the tracker that `config.track` names. The run directory must exist. For errors see `WandbTracker`."""
    return Tracker() if config.track == "none" else WandbTracker(config, folder, ui)


def summary_of(result: RunResult) -> dict[str, Any]:
    """Return the numbers and templates of a result, by name.

    The names are flat, such as `selection/gain`, so that a sweep can name a number as its metric. The test has no gain:
    a sweep that chose by the test would spoil it.
    """
    numbers: dict[str, Any] = {}
    for part in PARTS:
        rows = result.rows_on(part)
        for row in rows[:-1]:
            numbers |= {f"{part}/{AS[row.what]}": row.after.value}
        if rows:
            numbers[f"{part}/first"] = rows[0].before.value
        if rows and part in ("search", "selection"):
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


class WandbTracker(Tracker):
    """Logs settings, steps, templates, pictures whose label changed, the page and the program to W&B.

    The folder of an offline log is whole: it holds all of these, and can be copied to another machine.

    A resumed run stays the same W&B run, because its id is computed from the start event of the journal. The W&B server
    knows how many steps it has, so no step is logged twice. An offline log is written again from the first step,
    because the log of a killed session is incomplete. A run that was begun elsewhere becomes a new W&B run.

    Raises:
        InputError: W&B is not installed, or the place of the log in the run directory is a symbolic link.
    """

    def __init__(self, config: RunConfig, folder: Path, ui: Ui) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError("track=wandb needs Weights & Biases: pip install wandb.") from error
        self._wandb, self._config, self._folder, self._ui = wandb, config, folder, ui
        self._rows: list[list[Any]] = []
        self._logged = -1
        own = folder / LOGS
        if not os.environ.get("WANDB_DIR") and own.is_symlink():
            raise InputError(f"{own} is a symbolic link, which no run makes; remove it, or name another run directory.")

    @cached_property
    def _run(self) -> Any:
        """The W&B run; None if W&B logs nothing.

        The W&B run begins at the first step, because from then on the journal gives its id.
        """
        place, known = Path(os.environ.get("WANDB_DIR") or self._folder), _id_of(self._folder)
        run = self._open(place, known)
        if run is None:
            return None
        self._logged = (run.step - 1) // 2  # the last step that the server has
        if known and not run.disabled:
            for earlier in (place / LOGS).glob(f"offline-run-*-{known}"):
                if earlier.name != Path(run.settings.sync_dir).name:
                    shutil.rmtree(earlier, ignore_errors=True)  # a link is not followed
        with self._surviving():
            run.define_metric("step")
            run.define_metric("*", step_metric="step")
        return run

    def _open(self, place: Path, known: str | None) -> Any:
        mode = os.environ.get("WANDB_MODE")
        if mode in (None, "online"):
            mode = "online" if has_key() else "offline"
        settings: dict[str, Any] = {
            "mode": mode,
            "project": os.environ.get("WANDB_PROJECT") or PROJECT,
            "name": os.environ.get("WANDB_NAME") or self._folder.name,
            "id": os.environ.get("WANDB_RUN_ID") or known,
            "resume": "allow",
            "dir": str(place),
            "job_type": os.environ.get("WANDB_JOB_TYPE") or "optimize",
            "tags": _tags(self._config),
            "config": _clean(self._config.model_dump()),
            # Only what is logged here leaves the machine: no command line, no source, no list of packages.
            "settings": self._wandb.Settings(
                silent=True,
                # From the environment only: a file in the working folder could name a server that gets the user's key.
                base_url=_server(),
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS if mode == "online" else 0,
                use_dot_wandb=False,
            ),
        }
        return self._init(settings)

    def _init(self, settings: dict[str, Any]) -> Any:
        try:
            self._wandb.termsetup(self._wandb.Settings(silent=True), None)  # else W&B prints which settings it loads
            self._wandb.setup(self._wandb.Settings(silent=True, base_url=_server()))  # else W&B advertises on stderr
            return self._wandb.init(**settings)
        except Exception as error:
            self._ui.warn(f"Weights & Biases cannot be reached ({_short(error)}); the run is logged offline.")
        try:
            return self._wandb.init(**settings | {"mode": "offline"})
        except Exception as error:
            self._ui.warn(f"Weights & Biases logs nothing of this run: {_short(error)}")
            return None

    def step(self, step: Step, ledger: Ledger) -> None:
        """See `Tracker.step`."""
        number = step.number + 1
        self._rows += [
            [number, entry.template, entry.value, entry.loss, entry.n, entry.source, ""] for entry in step.scored
        ]
        self._rows += [[number, entry.template, None, None, None, "", entry.reason] for entry in step.rejected]
        if self._run is None or number <= self._logged:
            return
        with self._surviving():
            # W&B's own counter can only grow. Steps get even numbers. Odd numbers are for the tables, because a resumed
            # run logs the tables again.
            self._run.log(_numbers_of(step, ledger), step=2 * number, commit=True)
            self._logged = number

    def finish(self, result: RunResult, folder: Path) -> None:
        """See `Tracker.finish`."""
        if self._run is None:
            return
        with self._surviving(), self._staging():
            logged = {
                "templates": self._wandb.Table(
                    columns=["step", "template", "accuracy", "loss", "n", "source", "refused because"],
                    data=redacted(self._rows),
                )
            }
            if flips := _flips(folder / "analysis.json"):
                pictures = [
                    self._wandb.Image(picture, caption="{}: {} → {}".format(*texts)) for picture, texts in flips
                ]
                logged["flips"] = self._wandb.Table(
                    columns=["picture", "class", "before", "after", "name"],
                    data=[[picture, *texts] for picture, (_, texts) in zip(pictures, flips, strict=True)],
                )
                logged["pictures"] = pictures  # as files of the run, too; those of a table are in an artifact
            # Without `inject`, which makes a page load a style sheet of W&B.
            logged["page"] = self._wandb.Html((folder / PAGE).read_text(encoding="utf-8"), inject=False)
            self._run.log(logged, step=2 * self._logged + 1, commit=True)
            self._run.summary.update(_clean(summary_of(result)))
            # The program is a file of the run, too: an artifact is uploaded only from the place where it was made.
            program = Path(shutil.copy(folder / PROGRAM, self._run.dir))
            self._run.save(program, base_path=program.parent, policy="now")
            artifact = self._wandb.Artifact(
                f"program-{self._run.id}", type="program", metadata={"template": redacted(result.template)}
            )
            artifact.add_file(str(program))
            self._run.log_artifact(artifact)

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End the W&B run if it was begun, and print where the log is."""
        if (run := vars(self).get("_run")) is None:
            return
        with self._surviving():
            run.finish(exit_code=1 if kind else 0)
        if run.settings.mode == "offline":
            self._ui.say(f"logged offline; upload it with: wandb sync {Path(run.settings.sync_dir)}")
        elif run.url:
            self._ui.say(f"logged at {run.url}")

    @contextmanager
    def _staging(self) -> Iterator[None]:
        """Within the block, W&B keeps copies of artifacts in the folder of the log, and not in the user's home."""
        given = os.environ.get(STAGING)
        os.environ[STAGING] = given or str(self._run.settings.sync_dir)
        try:
            yield
        finally:
            if given is None:
                del os.environ[STAGING]

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Within the block, turn an error of W&B into a warning. A failing log must not end a run that cost money."""
        try:
            yield
        except Exception as error:
            self._ui.warn(f"Weights & Biases: {_short(error)}; the run continues, its directory has everything.")


def has_key() -> bool:
    """Return whether the environment or the netrc file has a key for W&B. The network is not used."""
    from requests.utils import get_netrc_auth  # W&B uses it, too

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return get_netrc_auth(_server()) is not None


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def _tags(config: RunConfig) -> list[str]:
    """Return the tags of a run, by which W&B groups runs: those of the user, or else the strategy, reward and CLIP."""
    if given := os.environ.get("WANDB_TAGS"):
        return given.split(",")
    names = (config.strategy["name"], config.reward["name"], Path(config.clip).name)
    return [_clean({"": name})[""][:MOST_IN_TAG] for name in names]


def _id_of(folder: Path) -> str | None:
    """Return the id of the W&B run; None if the run has not begun.

    The id is a digest of the name of the run directory and of the event that began the run.

    Raises:
        InputError: the journal is damaged.
    """
    events = read(folder) if (folder / JOURNAL).is_file() else []
    start = next((event for event in events if event["type"] == "start"), None)
    if start is None:
        return None
    return hashlib.sha256(json.dumps([folder.resolve().name, start], sort_keys=True).encode()).hexdigest()[:16]


def _flips(file: Path) -> list[tuple[Any, list[str]]]:
    """Return the pictures whose label changed with the chosen template.

    Each picture is its thumbnail and a list of texts: class, label before, label after, file name.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        flips = load_analysis(file.parent).flips
    except InputError:
        return []
    found = []
    for flip in (*flips.gained, *flips.lost) if flips else ():
        with suppress(binascii.Error, UnidentifiedImageError, OSError):
            picture = Image.open(io.BytesIO(base64.b64decode(flip.thumbnail.partition(",")[2], validate=True)))
            picture.load()
            found.append((picture.convert("RGB"), redacted([flip.class_name, flip.before, flip.after, flip.picture])))
    return found


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values, but remove secrets of the environment, and user names in web addresses."""
    return {
        name: _USER_IN_ADDRESS.sub("", value) if isinstance(value, str) else value
        for name, value in redacted(values).items()
    }


def _short(error: Exception) -> str:
    return str(_clean({"": " ".join(str(error).split())[:200]})[""]) or type(error).__name__


def _numbers_of(step: Step, ledger: Ledger) -> dict[str, float]:
    """Return the numbers of a step, by the names that they have in Weights & Biases."""
    numbers = {
        "step": step.number + 1,
        "best/accuracy": step.best.value,
        "best/accuracy_low": step.interval.low,
        "best/accuracy_high": step.interval.high,
        "best/loss": step.best.loss,
        "new": len(step.scored),
        "refused": len(step.rejected),
        "tokens": ledger.tokens,
        "usd": ledger.usd,
    }
    if step.scored:
        values = [entry.value for entry in step.scored]
        numbers["step/accuracy"] = max(values)
        numbers["step/accuracy_mean"] = sum(values) / len(values)
        numbers["step/loss"] = min(entry.loss for entry in step.scored)
    return {name: number for name, number in numbers.items() if number is not None}
