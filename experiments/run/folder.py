"""Which directory a run is in: a new one of its own name, or the one of a run to resume."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig, build, load_config, overlaid
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import limit_of
from ipo_prompts.programs.record.journal import LOCK
from ipo_prompts.programs.record.resuming import resume_command, to_type, why_typed

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.result import RunResult


def default_folder(config: RunConfig) -> Path:
    """Return `runs/DATE-NAME`, the name being that of the data."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", config.data.split("/")[-1]).strip("-").lower() or "run"
    agent = os.environ.get("WANDB_RUN_ID")  # agents of a sweep start runs within one second of each other
    return Path("runs") / "-".join(part for part in (f"{datetime.now():%Y%m%d-%H%M%S}", name, agent) if part)


def stored_config(folder: Path) -> RunConfig:
    """Return the configuration of a run to resume.

    Raises:
        InputError: there is none.
    """
    if not (folder / CONFIG_FILE).exists():
        if (folder / LOCK).exists():
            raise InputError(
                f"the run in {folder} has not begun to search: another process is about to, or repeat the command that "
                "began it."
            )
        raise InputError(f"{folder} holds no run to resume: it has no {CONFIG_FILE}.")
    return load_config(folder / CONFIG_FILE)


def resumed(
    folder: Path, stored: RunConfig, given: RunConfig, where: str, instead: str, typed: Sequence[str] = ()
) -> RunConfig:
    """Lay what was explicitly given over the configuration of the run to resume; only `FREE_KEYS` may differ.

    The address of a language model and the name of a class of the user's own have to be given again, and be the same:
    they are never taken from a run directory.

    Args:
        folder: of the run.
        stored: its configuration.
        given: what is asked for now.
        where: where that was given, for messages.
        instead: what starts a new run from this one with what is given there.
        typed: what is given now, as words of the command line.

    Raises:
        InputError: another setting differs, or an address or such a name is not given.
    """
    explicit = given.model_dump(include=set(given.model_fields_set))
    needed = to_type(stored.model_dump())
    missing = {key: value for key, value in needed.items() if key not in explicit}
    if missing:
        again = resume_command(folder, missing, *typed)
        raise InputError(f"the run in {folder} {why_typed(missing)}, type it: `{again}`.")
    wanted = build(overlaid(stored.model_dump(), explicit), where=where, whole=True)
    key = "start_from" if wanted.start_from != stored.start_from else wanted.differs_from(stored)
    if key:
        rather = "give that one" if key in needed else "leave it out"
        raise InputError(
            f"the run in {folder} has {key}={getattr(stored, key)!r} and {getattr(wanted, key)!r} was asked for; "
            f"{rather}, or start a new run from its templates: {instead}."
        )
    return wanted


def larger_limit(config: RunConfig, stopped: str, result: RunResult) -> tuple[str, str]:
    """Return the setting of the limit that stopped a run, and a value to resume under: twice what is used up."""
    key = limit_of(stopped)
    limit = getattr(config, key)
    if key == "max_minutes":  # what came after the search counts too
        limit = math.ceil(10 * max(limit, result.seconds["total"] / 60)) / 10
    return key, f"{2 * limit}"
