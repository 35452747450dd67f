"""Decide which settings may be taken from a run, a program or cells that a stranger may have made. Say how to resume.

We trust the settings that a person types, and those in files of settings or grids that the person names. We do not
trust a saved program or a file in a run directory. From such a file we use only these settings:

- settings that name things which ship with IPO, are installed, or are in open_clip's list,
- the settings that the run was begun with, if it was begun on this machine,
- all other settings, if the person adds `--trust`.

`SECURITY.md` has the reasons.

A seal shows that a run was begun here. The seal is an HMAC of the run's `start` event; its key is a secret in the
user's state folder. Addresses of servers and a user's own class (`module:Class`, which is code) are never taken from a
run: `run/config.py` refuses them when it merges settings, see `Registry.allow`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shlex
import stat
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.clip_config import named_inside
from ipo_prompts.metrics.errors import InputError, in_force
from ipo_prompts.metrics.registry import own_name
from ipo_prompts.programs.record.lines import last

SEAL = "seal"
"""The field of a `start` event that holds the seal. The seal shows that the event was written here."""
_NOT_SEALED = (SEAL, "type", "seconds", "crc")
_trusted: ContextVar[bool] = ContextVar("trusted", default=False)

ADDRESSES = ("lm_api_base", "describer_api_base")
"""The settings that hold the address of a language model."""
_HERE = {
    "lm": ("local", "local/small", "local/base", "local/large", "none"),
    "describer": ("clip", "none"),
    "track": ("none",),
    **dict.fromkeys(ADDRESSES, (None,)),
}
"""For each setting: the safe values. Any other value may reach a host or a file. The weights of `local…` are pinned."""


def trusting(said: bool) -> AbstractContextManager[None]:
    """Inside the block, trust runs from elsewhere if `said` is true, or if a block around this block trusts them."""
    return in_force(_trusted, said or _trusted.get())


def refuse_foreign(settings: Mapping[str, Any], own: Mapping[str, Any] | None, what: str) -> None:
    """Raise an error if settings of a file from elsewhere would make IPO load, read or ask something.

    Args:
        settings: the settings that would be taken from the file, without those that a person typed.
        own: the settings that the run was begun with here; None if it was not begun here.
        what: the name of the file or folder, as the beginning of a sentence.

    Raises:
        InputError: a setting is refused; the message shows each setting that was refused.
    """
    found = {key: value for key, value in outside(settings).items() if own is None or own.get(key) != settings[key]}
    if not found or _trusted.get():
        return
    shown = ", ".join(shlex.quote(f"{key}={value}") + _with(value) for key, value in found.items())
    raise InputError(
        f"{what} was not begun here, and would use {shown}; nothing of this was loaded or asked; if you trust it, add "
        f"`--trust`, else name another {' and '.join(found)}."
    )


def refuse_foreign_run(settings: Mapping[str, Any], run: Path, what: str = "") -> None:
    """Raise an error if a run that was begun elsewhere has settings that `refuse_foreign` refuses.

    Args:
        settings: the settings that would be taken from the run.
        run: the run directory.
        what: the name of the file or folder, as the beginning of a sentence; "" means the run.
    """
    refuse_foreign(settings, own_settings(last(run, "start")), what or f"the run in {run}")


def outside(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that name a host, a file, or a model that is not in open_clip's list: {setting: text}."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if key in CHOICES:
            choice = dict(value) if isinstance(value, Mapping) else {"name": value}
            if choice.get("file") is not None:
                found[key] = f"{choice.get('name')} with {choice['file']}"
        elif key == "clip":
            found |= {} if is_listed(str(value)) else {key: str(value)}
        elif key == "data":
            # A registered name has no ":". Its data are read from where the user keeps them, or from a pinned place.
            strange = [str(one) for one in values if ":" in str(one) and not str(one).strip().startswith("embedded:")]
            found |= {key: ",".join(strange)} if strange else {}
        elif key in _HERE and value not in _HERE[key]:
            found[key] = str(value)
    return found


def must_be_said(settings: Mapping[str, Any]) -> bool:
    """Return whether a run with these settings can only be resumed with `--trust`.

    This is so if a setting reaches outside, and no secret can be stored to seal runs with.
    """
    return bool(outside(settings)) and (_secret() or _new_secret()) is None


def is_listed(clip: str) -> bool:
    """Return whether a CLIP ships with IPO or is in open_clip's list of models and weights."""
    if clip == "embedded":
        return True
    if clip.startswith(("hf-hub:", "local-dir:")):
        return False
    import open_clip

    return tuple(clip.split("/", 1)) in open_clip.list_pretrained()


def _with(value: str) -> str:
    """Return, in brackets, the other models that the configuration in a CLIP's folder names; "" if there are none."""
    inside = named_inside(Path(value.removeprefix("local-dir:"))) if value.startswith("local-dir:") else []
    return f" (with {', '.join(inside)})" if inside else ""


# The seal.


def seal(event: Mapping[str, Any]) -> str | None:
    """Return the seal of a new `start` event; None if no secret can be stored."""
    secret = _secret() or _new_secret()
    return _signed(event, secret) if secret else None


def own_settings(start: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the settings in a `start` event if its seal shows that it was written here; else None."""
    given, secret = (start or {}).get(SEAL), _secret()
    if start is None or secret is None or not isinstance(given, str) or not given.isascii():
        return None
    config = start.get("config")
    return config if hmac.compare_digest(given, _signed(start, secret)) and isinstance(config, dict) else None


def _signed(event: Mapping[str, Any], secret: bytes) -> str:
    content = json.loads(json.dumps({key: value for key, value in event.items() if key not in _NOT_SEALED}))
    return hmac.new(secret, json.dumps(content, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def secret_file() -> Path:
    """Return the path of the file of the secret, in `IPO_STATE_DIR` or else in the user's state folder.

    The file may not exist yet.
    """
    import platformdirs

    chosen = os.environ.get("IPO_STATE_DIR")
    return Path(chosen).expanduser() / "secret" if chosen else Path(platformdirs.user_state_dir("ipo", False), "secret")


def _secret() -> bytes | None:
    """Return the secret; None if there is none, or if other users may have read or written its file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = open(secret_file(), "rb", opener=lambda path, _: os.open(path, flags))  # noqa: SIM115 - closed below
    except OSError:  # also if it is a folder
        return None
    with file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return None
        if os.name == "posix" and (stat.S_IMODE(about.st_mode) != 0o600 or about.st_uid != os.getuid()):
            return None
        found = file.read(65)
    return found if len(found) == 64 else None


def _new_secret() -> bytes | None:
    """Make a secret, store it and return it; None if it cannot be stored.

    If two processes make a secret at the same time, both return the secret that was stored first.
    """
    file = secret_file()
    mine = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(secrets.token_hex(32).encode())
        try:
            if file.is_symlink() or (file.exists() and _secret() is None):
                mine.replace(file)  # the old secret is replaced, since others could read it
            else:
                with suppress(FileExistsError):
                    os.link(mine, file)
        finally:
            mine.unlink(missing_ok=True)
    except OSError:
        return None
    return _secret()


def relative_places(settings: Mapping[str, Any]) -> Sequence[str]:
    """Return [path in the setting `data`] if that path is relative to the folder in which the run began; else []."""
    kind, _, rest = str(settings.get("data")).partition(":")
    return [rest] if kind in ("folder", "table", "csv", "parquet") and not Path(rest).expanduser().is_absolute() else []


# The command that resumes a run, and the settings that it must contain.
#
# No code is ever taken from a run directory, so users type the name of a class of their own again. The docstring at the
# top of this file says which other settings are taken from a run directory.

CONFIG_FILE = "config.yaml"
"""The file of a run directory that holds all settings."""
CHOICES = ("reward", "strategy")
"""The settings that may name a class of the user's own."""
OWN_DATA = "python:"
"""The beginning of the setting `data` if it names a function of the user's own."""


def resume_command(folder: Path, settings: Mapping[str, Any] | None = None, *words: str) -> str:
    """Return the command that resumes a run, quoted for a shell.

    Args:
        folder: the run directory.
        settings: the settings of the run; None takes the settings in its journal. From a stranger's journal no settings
            are taken, so that the command contains no class of a stranger.
        words: further words of the command, such as `steps=3`.

    >>> resume_command(Path("my run"), {"reward": {"name": "mine:Harsh"}}, "steps=3")
    "ipo optimize --resume 'my run' steps=3 reward=mine:Harsh"
    """
    stored = _stored(folder) if settings is None else settings
    known, trusted = to_type(stored), must_be_said(stored)
    typed = [f"{key}={value}" for key, value in known.items()] + ["--trust"] * trusted
    return shlex.join(["ipo", "optimize", "--resume", str(folder), *words, *typed])


def to_type(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that a person must type when a run is resumed: those that name the person's own code."""
    data = {"data": spec} if (spec := str(settings.get("data")).strip()).startswith(OWN_DATA) else {}
    return data | {key: name for key in CHOICES if (name := own_name(settings.get(key)))}


def why_typed(missing: Mapping[str, str]) -> str:
    """Return a clause that says why settings must be typed, and when to type them; its subject is the run."""
    code = " and ".join(missing.values())
    return f"runs the code of {code}, and code is never run because a run directory names it; if you trust that code"


def _stored(folder: Path) -> Mapping[str, Any]:
    start = last(folder, "start") or {}
    found = own_settings(start) if _secret() else start.get("config")  # without a secret, no seal can be checked
    return found if isinstance(found, dict) else {}
