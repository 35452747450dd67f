"""A run's log in Weights & Biases, beside the run directory, which stays the record that counts.

W&B's own variables are honoured: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR, WANDB_RUN_GROUP. Without a key the
run is logged offline, to be uploaded with `wandb sync`. Nothing that W&B or the network does ends a run.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.report.analysis import load_analysis
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import read_bytes
from ipo_prompts.programs.lm.ledger import Ledger, total_usd
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.journal import read
from ipo_prompts.programs.record.redaction import redacted
from ipo_prompts.programs.record.trust import SEAL, own_settings, seal
from ipo_prompts.programs.search import Step

PROJECT = "ipo"
FILE_NAME, LOGS = "wandb.json", "wandb"
INIT_SECONDS = 30.0
"""After that the run is logged offline."""
FINISH_SECONDS = 120.0
"""What is not uploaded by then can be with `wandb sync`."""
SCORES = ("accuracy_initial", "accuracy", "gain", "gain_low", "gain_high")
"""What a run's summary has of each part of the pictures, as in `selection/gain`."""
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")


class Tracker:
    """Logs a run in a `with` block; this one logs nothing."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End the log; what the block raised, if anything, goes on."""

    def step(self, step: Step, ledger: Ledger) -> None:
        """Log a finished step; when a run resumes, its earlier steps come again."""

    def finish(self, result: RunResult, folder: Path) -> None:
        """Log what a run found; `folder` holds its `program.json` and, where there is one, `analysis.json`."""


def tracking(config: RunConfig, folder: Path, ui: Ui) -> Tracker:
    """Return what logs a run while a block runs, where `track` says. The run directory exists; see `WandbTracker`."""
    return Tracker() if config.track == "none" else WandbTracker(config, folder, ui)


def summary_of(result: RunResult) -> dict[str, Any]:
    """Return the numbers of a result under flat names, which the metric of a sweep can be, and its template."""
    numbers: dict[str, Any] = {}
    for part, score in result.scores.items():
        gain = score.difference
        values = (score.initial.value, score.optimised.value, gain.mean, *gain.ci95)
        numbers |= {f"{part}/{name}": value for name, value in zip(SCORES, values, strict=True)}
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


@contextmanager
def _no_workspace(wandb: Any) -> Iterator[None]:
    """Have W&B read nothing of the working folder while the block runs: it would say where the user's key is sent.

    W&B reads `wandb/settings` or `.wandb/settings` there, before all that it is given, and `config-defaults.yaml`. The
    user's own settings count, in `~/.config/wandb` or where WANDB_CONFIG_DIR says.
    """
    from wandb.sdk.wandb_config import Config

    instead = [
        (wandb.Settings, "settings_workspace", property(lambda self: os.devnull)),
        (Config, "_load_defaults", lambda self: None),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in instead]
    try:
        for owner, name, value in instead:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


class WandbTracker(Tracker):
    """Logs to Weights & Biases: settings, steps, templates, pictures that flipped, and the program as an artifact.

    A resumed run stays the same W&B run, and no step is logged twice: `wandb.json` keeps the id and, offline, how
    far the sessions logged that ended in order. A killed one leaves an incomplete record, which is made again. Both
    are believed only where that file was written here, and of this run; else a new W&B run is begun.

    Raises:
        InputError: W&B is not installed, or the log would stand elsewhere, through a link in the run directory.
    """

    def __init__(self, config: RunConfig, folder: Path, ui: Ui) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError("track=wandb needs Weights & Biases: pip install wandb.") from error
        self._wandb = wandb
        self._ui = ui
        self._file = folder / FILE_NAME
        self._known = _read(self._file)
        self._bound = False
        self._rows: list[list[Any]] = []
        own = folder / LOGS
        if not os.environ.get("WANDB_DIR") and own.is_symlink():
            raise InputError(f"{own} is a symbolic link, which no run makes; remove it, or name another run directory.")
        self._discard_torn(Path(os.environ.get("WANDB_DIR") or folder) / LOGS)
        self._run = self._open(config, folder)
        self._logged = -1
        if self._run is not None:
            self._known["id"] = self._run.id
            if self._offline:
                self._logged = self._known.get("logged", -1)
                self._known["open"] = Path(self._run.settings.sync_dir).name
            else:
                self._logged = (self._run.step - 1) // 2  # the server knows what came
            self._keep()
            with self._surviving():
                self._run.define_metric("step")
                self._run.define_metric("*", step_metric="step")

    @property
    def _offline(self) -> bool:
        return bool(self._run.settings.mode == "offline")

    def _discard_torn(self, place: Path) -> None:
        """Remove the offline record of a session that was killed: W&B holds rows back, so some are missing there.

        Args:
            place: the folder of W&B's logs; nothing but a folder that lies in it is removed.
        """
        torn = self._known.pop("open", None) or ""
        if re.fullmatch(rf"offline-run-\d+_\d+-{re.escape(self._known.get('id', ''))}", torn):
            shutil.rmtree(place / torn, ignore_errors=True)  # of a link nothing is

    def _keep(self) -> None:
        """Write what the next session has to know, sealed together with the run that it is of."""
        kept = {**self._known, "run": _begun(self._file.parent)}
        write_json(self._file, kept | {SEAL: seal({"config": kept})})

    def _open(self, config: RunConfig, folder: Path) -> Any:
        mode = os.environ.get("WANDB_MODE")
        if mode in (None, "online"):
            mode = "online" if has_key() else "offline"
        settings: dict[str, Any] = {
            "mode": mode,
            "project": os.environ.get("WANDB_PROJECT") or PROJECT,
            "name": os.environ.get("WANDB_NAME") or folder.name,
            "id": self._known.get("id") or os.environ.get("WANDB_RUN_ID"),
            "resume": "allow",
            "dir": os.environ.get("WANDB_DIR") or str(folder),
            "config": _clean(config.model_dump()),
            # Nothing but what is logged here leaves the machine: no command line, no source, no list of packages.
            "settings": self._wandb.Settings(
                silent=True,
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
        with _no_workspace(self._wandb):
            return self._init(settings)

    def _init(self, settings: dict[str, Any]) -> Any:
        try:
            self._wandb.termsetup(self._wandb.Settings(silent=True), None)  # else it says which settings it loads
            self._wandb.setup(self._wandb.Settings(silent=True))  # it advertises on stderr otherwise
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
        if not self._bound and self._run is not None:  # the run has begun by now
            with self._surviving():
                self._keep()
                self._bound = True
        self._rows += [
            [number, entry.template, entry.value, entry.loss, entry.n, entry.source, ""] for entry in step.scored
        ]
        self._rows += [[number, entry.template, None, None, None, "", entry.reason] for entry in step.rejected]
        if self._run is None or number <= self._logged:
            return
        row: dict[str, Any] = {
            "step": number,
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
            row["step/accuracy"] = max(entry.value for entry in step.scored)
            row["step/accuracy_mean"] = sum(entry.value for entry in step.scored) / len(step.scored)
            row["step/loss"] = min(entry.loss for entry in step.scored)
        with self._surviving():
            # W&B's own counter only grows; odd numbers are for the tables, which a resumed run logs again.
            self._run.log({k: v for k, v in row.items() if v is not None}, step=2 * number, commit=True)
            self._logged = number

    def finish(self, result: RunResult, folder: Path) -> None:
        """See `Tracker.finish`."""
        if self._run is None:
            return
        with self._surviving():
            tables = {
                "templates": self._wandb.Table(
                    columns=["step", "template", "accuracy", "loss", "n", "source", "refused because"],
                    data=redacted(self._rows),
                )
            }
            if flips := _flips(folder / "analysis.json"):
                tables["flips"] = self._wandb.Table(
                    columns=["picture", "class", "before", "after", "name"],
                    data=[[self._wandb.Image(picture), *texts] for picture, texts in flips],
                )
            self._run.log(tables, step=2 * self._logged + 1, commit=True)
            self._run.summary.update(_clean(summary_of(result)))
            artifact = self._wandb.Artifact(
                f"program-{self._run.id}", type="program", metadata={"template": redacted(result.template)}
            )
            artifact.add_file(str(folder / "program.json"))
            self._run.log_artifact(artifact)

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End the W&B run, and say where its log is."""
        if self._run is None:
            return
        offline = self._offline
        with self._surviving():
            self._run.finish(exit_code=1 if kind else 0)
            self._known = {"id": self._known["id"], "logged": self._logged}
            self._keep()
        if offline:
            self._ui.say(f"logged offline; upload it with: wandb sync {Path(self._run.settings.sync_dir)}")
        elif self._run.url:
            self._ui.say(f"logged at {self._run.url}")

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """A log that fails is not worth a run that was paid for."""
        try:
            yield
        except Exception as error:
            self._ui.warn(f"Weights & Biases: {_short(error)}; the run continues, its directory has everything.")


def has_key() -> bool:
    """Whether this machine has a key for W&B, in the environment or in the netrc file; the network is not asked."""
    from requests.utils import get_netrc_auth  # as W&B looks for it

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return get_netrc_auth(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai") is not None


def _begun(folder: Path) -> str | None:
    """Return the seal of a run's first session, which no other run has; None where the run was not begun here, or yet.

    Raises:
        InputError: the record is damaged.
    """
    events = read(folder) if (folder / JOURNAL).is_file() else []
    start = next((event for event in events if event["type"] == "start"), None)
    return start[SEAL] if start and own_settings(start) is not None else None


def _read(file: Path) -> dict[str, Any]:
    """Return what was kept here of the W&B run; what cannot be read, or was not kept of this run, starts a new one."""
    with suppress(OSError, ValueError, InputError, RecursionError):
        content = json.loads(read_bytes(file, 10_000))
        given = content.pop(SEAL) if isinstance(content, dict) and SEAL in content else None
        known = own_settings({"config": content, SEAL: given})
        if known and known["run"] is not None and known["run"] == _begun(file.parent):
            return {name: known[name] for name in ("id", "logged", "open") if name in known}
    return {}


def _flips(file: Path) -> list[tuple[Any, list[str]]]:
    """Read the pictures whose label the template changed: picture, and class, label before, label after, name."""
    from PIL import Image, UnidentifiedImageError

    try:
        flips = load_analysis(file).flips
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
    """Take out what the environment holds as secret, and who is named in addresses."""
    return {
        name: _USER_IN_ADDRESS.sub("", value) if isinstance(value, str) else value
        for name, value in redacted(values).items()
    }


def _short(error: Exception) -> str:
    return str(_clean({"": " ".join(str(error).split())[:200]})[""]) or type(error).__name__
