"""The directory of a run: which one it is; its files, written whole or not at all, every failure in one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.reading import build, config_of, overlaid
from ipo_prompts.metrics.clock import Limit
from ipo_prompts.metrics.errors import InputError, first_error, flag
from ipo_prompts.metrics.files import JSON_BYTES, read_bytes, read_json, write_whole
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.journal import LOCK, MOST_BYTES, last
from ipo_prompts.programs.record.trust import (
    refuse_foreign_run,
    relative_places,
    resumed_by,
    to_type,
    why_typed,
)

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip


Form = TypeVar("Form", bound=BaseModel)


class Content(BaseModel):
    """A file's content, or a part of it: it cannot change, and has no keys but its own; objects fill it, too."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, from_attributes=True)


def content_of(part: BaseModel) -> dict[str, Any]:
    """Return what is written of a model, as JSON values."""
    return part.model_dump(mode="json", by_alias=True)


def write_json(file: Path, content: BaseModel | Mapping[str, Any]) -> None:
    """Write a model or a dictionary as JSON; see `write_bytes`."""
    values = content_of(content) if isinstance(content, BaseModel) else content
    write_text(file, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text as UTF-8; see `write_bytes`."""
    write_bytes(file, text.encode("utf-8"))


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    try:
        write_whole(file, content)
    except OSError as error:
        on = f", then {resumed_by(file.parent)}," if file.with_name(JOURNAL).exists() else ""
        raise InputError(
            f"cannot write {file}: {error.strerror}; make room{on} or choose another {flag('out')}."
        ) from error


def digest(file: Path) -> str | None:
    """Return the SHA-256 of a file's content; None where there is no file to read."""
    try:
        return hashlib.sha256(read_bytes(file, JSON_BYTES)).hexdigest()
    except (OSError, ValueError):
        return None


def read_model(form: type[Form], file: Path, fix: str = "restore it, or start a new run") -> Form:
    """Read a JSON file as a model; in the message, `fix` is what helps against a damaged file.

    Raises:
        InputError: the file cannot be read, is no JSON, is not of this form, or another version of ipo wrote it.
    """
    content = read_json(file, "the file", fix)
    try:
        return form.model_validate(content)
    except ValidationError as error:
        where, said = first_error(error)
        wrong = "was written by another version of ipo"
        if where != "schema":
            wrong = f"is not of the form that this version reads ({where}: {said})"
        raise InputError(f"{file} {wrong}; {fix}.") from error


def check_writable(folder: Path) -> None:
    """Refuse a run directory that cannot be made or written, before hours go into encoding; nothing is left there yet.

    Raises:
        InputError: names the folder that is in the way.
    """
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), None)
    try:
        with TemporaryDirectory(dir=there):  # only this tells: root may write everywhere, but not in /proc
            return
    except OSError as error:
        why = f"{there} is a file" if there and there.is_file() else f"{there} cannot be written"
        raise InputError(f"cannot make the run directory {folder}: {why}; choose another {flag('out')}.") from error


PACKAGES = ("dspy", "litellm", "torch", "open_clip_torch", "datasets", "numpy", "pillow", "scipy", "xllamacpp")


class ClipUsed(Content):
    """The encoder; `context_length` in tokens."""

    name: str
    fingerprint: str
    context_length: int


class Environment(Content):
    """The content of `environment.json`."""

    python: str
    platform: str
    machine: str
    threads: int
    device: str
    packages: dict[str, str]
    clip: ClipUsed
    text_path: str


def environment(clip: Clip) -> Environment:
    """Return what this machine runs."""
    import torch

    from ipo_prompts.metrics.text_tower import text_path

    versions = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        machine=platform.machine(),
        threads=torch.get_num_threads(),
        device=clip.device,
        packages=versions,
        clip=ClipUsed(name=clip.name, fingerprint=clip.fingerprint, context_length=clip.context_length),
        text_path=text_path(clip.model),
    )


LONGEST_NAME = 60
"""Of data, in the name of a run directory: no file system has room for twice as much as 255 bytes."""


def default_folder(config: RunConfig) -> Path:
    """Return `runs/DATE-NAME`, the name being that of the data; see `reserved`."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", config.data.split("/")[-1])[:LONGEST_NAME].strip("-").lower() or "run"
    return Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"


@contextmanager
def reserved(folder: Path) -> Iterator[Path]:
    """Make a default folder, under a name of its own where another run began in the same second.

    It is gone again when the block fails before anything is in it, and so is the one above where that was made for it.

    >>> with reserved(Path("runs/20260101-120000-pets")) as one, reserved(Path("runs/20260101-120000-pets")) as other:
    ...     one.name, other.name
    ('20260101-120000-pets', '20260101-120000-pets-2')
    """
    made, first = folder, not folder.parent.exists()
    for number in count(2):
        try:
            made.mkdir(parents=True)
            break
        except FileExistsError:
            made = folder.with_name(f"{folder.name}-{number}")
        except OSError:  # `check_writable` says why
            break
    try:
        yield made
    except BaseException:
        with suppress(OSError):  # it is not empty
            made.rmdir()
            if first:
                made.parent.rmdir()
        raise


def stored_config(folder: Path) -> RunConfig:
    """Return the configuration of a run to resume.

    Raises:
        InputError: there is none.
    """
    if not holds_run(folder):
        if (folder / LOCK).exists():
            raise InputError(
                f"the run in {folder} has not begun to search: another process is about to, or repeat the command that "
                "began it."
            )
        raise InputError(f"{folder} holds no run to resume: it has no {JOURNAL}.")
    return config_of(folder)


def holds_run(folder: Path) -> bool:
    """Whether there is a run to resume; one that was killed before its first whole line has left nothing."""
    try:
        file = folder / JOURNAL
        return file.is_symlink() or b"\n" in read_bytes(file, MOST_BYTES)  # a link is refused by who reads it
    except (OSError, ValueError):
        return False


def resumed(
    folder: Path, stored: RunConfig, given: RunConfig, where: str, instead: str, typed: Sequence[str] = ()
) -> RunConfig:
    """Lay what was explicitly given over the configuration of the run to resume; only `FREE_KEYS` may differ.

    The name of a class of the user's own has to be given again, and be the same. It is never taken from a run
    directory; what else is not taken from one that was begun elsewhere, `refuse_foreign` says.

    Args:
        folder: of the run.
        stored: its configuration.
        given: what is asked for now.
        where: where that was given, for messages.
        instead: what starts a new run from this one with what is given there.
        typed: what is given now, as words of the command line or arguments.

    Raises:
        InputError: another setting differs, such a name is not given, the run is from elsewhere, or its pictures are
            not here.
    """
    explicit = given.model_dump(include=set(given.model_fields_set))
    needed = to_type(stored.model_dump())
    missing = {key: value for key, value in needed.items() if key not in explicit}
    if missing:
        again = resumed_by(folder, missing, *typed)
        raise InputError(f"the run in {folder} {why_typed(missing)}, type it: {again}.")
    wanted = build(overlaid(stored.model_dump(), explicit), where=where, whole=True)
    start = last(folder, "start")
    taken = {key: value for key, value in wanted.model_dump(mode="json").items() if key not in explicit}
    refuse_foreign_run(taken, folder)
    key = "start_from" if wanted.start_from != stored.start_from else wanted.differs_from(stored)
    if key:
        rather = "give that one" if key in needed else "leave it out"
        raise InputError(
            f"the run in {folder} has {key}={getattr(stored, key)!r} and {getattr(wanted, key)!r} was asked for; "
            f"{rather}, or start a new run from its templates: {instead}."
        )
    began = (start or {}).get("began_in")
    gone = next((place for place in relative_places(taken) if not os.path.exists(place)), None)  # noqa: PTH110
    if gone and isinstance(began, str) and Path(began) != Path.cwd():
        raise InputError(
            f"the run in {folder} has data={wanted.data}, which is not here: it was begun in {began}; `cd "
            f"{shlex.quote(began)}`, then resume it."
        )
    return wanted


def larger_limit(config: RunConfig, key: Limit, seconds: float, needed: float) -> float:
    """Return a limit to resume a run under that one stopped after so many seconds.

    It is twice what is used up, and at least what is `needed` to go on, see `BudgetReached`.
    """
    limit: float = getattr(config, key)
    if key == "max_minutes":  # what came after the search counts too
        limit = math.ceil(10 * max(limit, seconds / 60)) / 10
    enough = math.ceil(10_000 * needed) / 10_000 if key == "budget_usd" else math.ceil(needed)
    return max(2 * limit, enough)
