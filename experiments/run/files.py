"""The directory of a run: which one it is; its files, written whole or not at all, every failure in one sentence."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.errors import InputError, first_error, flag
from ipo_prompts.metrics.files import JSON_BYTES, read_bytes, read_json, write_whole
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.journal import MOST_BYTES
from ipo_prompts.programs.record.trust import resumed_by

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


def event_as(form: type[Form], event: Mapping[str, Any] | None) -> Form | None:
    """Read an event of a journal as a model; None where there is none, or one that is not of this form."""
    try:
        return form.model_validate({key: one for key, one in (event or {}).items() if key in form.model_fields})
    except ValidationError:
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


def holds_run(folder: Path) -> bool:
    """Whether there is a run to resume; one that was killed before its first whole line has left nothing."""
    try:
        file = folder / JOURNAL
        return file.is_symlink() or b"\n" in read_bytes(file, MOST_BYTES)  # a link is refused by who reads it
    except (OSError, ValueError):
        return False
