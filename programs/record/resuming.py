"""The command that resumes a run, and what it has to hold.

No code is ever taken from a run directory, so the name of a class of the user's own is typed again. What else is taken
from one that may be a stranger's: `trust.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.errors import InputError, listener, setting, speaking_to  # noqa: F401 - the last is for the example
from ipo_prompts.metrics.files import read_yaml
from ipo_prompts.metrics.registry import own_name
from ipo_prompts.programs.record.trust import must_be_said

CONFIG_FILE = "config.yaml"
"""Of a run directory: all settings."""
CHOICES = ("reward", "strategy")
"""The settings that may name a class of the user's own."""


def resume_command(folder: Path, settings: Mapping[str, Any] | None = None, *words: str) -> str:
    """Return the command that resumes a run, quoted for a shell; for who called `ipo.optimize`, the call.

    Args:
        folder: the run directory.
        settings: of the run; by default those in the folder, without what has to be typed where they cannot be read.
        words: what else to type, such as `steps=3`.

    >>> with speaking_to("ipo.optimize"):
    ...     resume_command(Path("my run"), {"reward": {"name": "mine:Harsh"}}, "steps=3")
    "ipo.optimize(resume='my run', steps=3, reward='mine:Harsh')"
    """
    stored = _stored(folder) if settings is None else settings
    known, trusted = to_type(stored), must_be_said(stored)
    if listener() == "ipo.optimize":
        given = [setting("resume", str(folder)), *words, *(setting(key, value) for key, value in known.items())]
        return f"ipo.optimize({', '.join(given + ['trust=True'] * trusted)})"
    typed = [f"{key}={value}" for key, value in known.items()] + ["--trust"] * trusted
    return shlex.join(["ipo", "optimize", "--resume", str(folder), *words, *typed])


def resumed_by(folder: Path, settings: Mapping[str, Any] | None = None, *words: str) -> str:
    """Return what resumes a run, as part of a sentence; see `resume_command`."""
    return "the same compile" if listener() == "compile" else f"`{resume_command(folder, settings, *words)}`"


def to_type(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that a person has to type: the names of classes of their own."""
    return {key: name for key in CHOICES if (name := own_name(settings.get(key)))}


def why_typed(missing: Mapping[str, str]) -> str:
    """Say what a run does that has to be typed, and when to do so, in part of a sentence that begins with the run."""
    code = " and ".join(missing.values())
    return f"runs the code of {code}, and code is never run because a run directory names it; if you trust that code"


def _stored(folder: Path) -> Mapping[str, Any]:
    try:
        content = read_yaml(folder / CONFIG_FILE, "the configuration")
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}
