"""Decide what a file that IPO wrote may name, since a stranger may have changed it. Say how to resume a run.

A person may name code and servers: in a command, in Python, in a file of settings, in a grid. A run directory, the
folder of a grid, a program or a file of cells may not. From such a file IPO takes all settings but these, which a
person types again (`to_type`):

- code of the user's own: `strategy`, `reward` or `data`,
- what is asked, or what is sent or gets something: `lm`, `describer`, their addresses, and `track`.

`SECURITY.md` says what is left that a stranger can do.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import own_name
from ipo_prompts.programs.lm import REPLAY

CONFIG_FILE = "config.yaml"
"""The file of a run directory that shows all settings."""
GRID_FILE = "grid.yaml"
"""The file of a grid's folder that has the complete grid."""
CHOICES = ("reward", "strategy")
"""The settings that may name a class of the user's own."""
OWN_DATA = "python:"
"""The beginning of the setting `data` if it names a function of the user's own."""
OWN_DESCRIPTIONS = "file:"
"""The beginning of the setting `describer` if it names a file of descriptions, which a language model will be sent."""
_HERE = (None, "none", "local", "local/small", "local/base", "local/large")
"""The values of `lm` and `describer` that ask no server and read no file; the weights of `local…` are pinned."""


def to_type(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that a person must type, since no file that IPO wrote may set them.

    >>> to_type({"strategy": {"name": "mine:Waves"}, "lm": "openai/gpt", "lm_api_base": "http://host/v1", "steps": 3})
    {'strategy': 'mine:Waves', 'lm': 'openai/gpt', 'lm_api_base': 'http://host/v1'}
    """
    found = {key: name for key in CHOICES if (name := own_name(settings.get(key)))}
    if str(settings.get("data")).strip().startswith(OWN_DATA):
        found["data"] = str(settings["data"]).strip()
    described = str(settings.get("describer")).startswith(OWN_DESCRIPTIONS)
    replayed = str(settings.get("lm")).startswith(REPLAY)  # then no model is asked, whatever the role
    for role in ("lm", "describer"):
        model, address = settings.get(role), settings.get(f"{role}_api_base")
        if model in _HERE or (role == "describer" and replayed and not described):
            continue
        found[role] = str(model)
        if address and not str(model).startswith(("local/", REPLAY)):
            found[f"{role}_api_base"] = str(address)
    if settings.get("track") not in (None, "none"):
        found["track"] = str(settings["track"])
    return found


def check_typed(settings: Mapping[str, Any], typed: Mapping[str, Any], what: str, resumes: str | None = None) -> None:
    """Raise an error if settings from a file that IPO wrote name code or a server that no person typed.

    Args:
        settings: the settings to use, those that were typed included.
        typed: the settings that a person typed.
        what: the name of the file or folder, as the beginning of a sentence.
        resumes: the command that resumes the run in this folder; None if no run is resumed.

    Raises:
        InputError: a setting has to be typed; the message has the words.
    """
    said = to_type(typed)
    missing = {key: value for key, value in to_type(settings).items() if said.get(key) != value}
    if not missing:
        return
    words = shlex.join(f"{key}={value}" for key, value in missing.items())
    rest = f"type it: `{resumes} {words}`" if resumes else f"add `{words}`, or other values"
    raise InputError(
        f"{what} names {' and '.join(missing.values())}, and no code or server is used because a run or a "
        f"grid names it; if you trust it, {rest}."
    )


def resume_command(folder: Path, settings: Mapping[str, Any] | None = None, *words: str) -> str:
    """Return the command that resumes a run, quoted for a shell.

    Args:
        folder: the run directory.
        settings: the settings of the run; None takes the settings in its journal.
        words: further words of the command, such as `steps=3`.

    >>> resume_command(Path("my run"), {"reward": {"name": "mine:Harsh"}}, "steps=3")
    "ipo optimize --resume 'my run' steps=3 reward=mine:Harsh"
    """
    if settings is None:
        from ipo_prompts.programs.journal import last  # imports filelock, which `--help` does without

        settings = (last(folder, "start") or {}).get("config")
    typed = to_type(settings) if isinstance(settings, Mapping) else {}
    return shlex.join(["ipo", "optimize", "--resume", str(folder), *words, *(f"{k}={v}" for k, v in typed.items())])


def placed(data: str) -> tuple[str, str]:
    """Return the kind of a data set and its path on this machine; the path is "" if `data` names none.

    >>> placed("csv:pets/labels.csv"), placed("hf:tanganke/dtd")
    (('csv', 'pets/labels.csv'), ('hf', ''))
    """
    kind, _, place = data.strip().partition(":")
    return kind, place if kind in ("folder", "table", "csv", "parquet") else ""
