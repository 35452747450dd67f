"""The command that resumes a run, and what it has to hold: an address is never taken from a run directory.

Whoever sends a run would else choose the server that gets the key and the pictures of whoever resumes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.parsing import read_yaml

CONFIG_FILE = "config.yaml"
"""Of a run directory: all settings."""
ADDRESSES = ("lm_api_base", "describer_api_base")
"""The settings that say where a language model is asked."""


def resume_command(folder: Path, settings: Mapping[str, Any] | None = None, *words: str) -> str:
    """Return the command that resumes a run, quoted for a shell.

    Args:
        folder: the run directory.
        settings: of the run; by default those in the folder, without addresses where they cannot be read.
        words: what else to type.
    """
    known = _stored(folder) if settings is None else settings
    typed = [f"{key}={known[key]}" for key in ADDRESSES if isinstance(known.get(key), str)]
    return shlex.join(["ipo", "optimize", "--resume", str(folder), *words, *typed])


def _stored(folder: Path) -> Mapping[str, Any]:
    try:
        content = read_yaml(folder / CONFIG_FILE, "the configuration")
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}
