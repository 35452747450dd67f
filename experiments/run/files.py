"""The directory of a run: its name and its files. A file is written whole or not at all."""

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
from ipo_prompts.metrics.errors import InputError, first_error
from ipo_prompts.metrics.files import JSON_BYTES, read_bytes, read_json, write_whole
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.journal import MOST_BYTES
from ipo_prompts.programs.trust import resume_command

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip


Form = TypeVar("Form", bound=BaseModel)


class Content(BaseModel):
    """The base class of file contents: frozen models that refuse unknown keys and can be filled from objects."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, from_attributes=True)


def content_of(part: BaseModel) -> dict[str, Any]:
    """Return the JSON values of a model, as they are written to a file."""
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
        on = f", then `{resume_command(file.parent)}`," if file.with_name(JOURNAL).exists() else ""
        raise InputError(f"cannot write {file}: {error.strerror}; make room{on} or choose another --out.") from error


def digest(file: Path) -> str | None:
    """Return the SHA-256 of a file's content; None if the file cannot be read."""
    try:
        return hashlib.sha256(read_bytes(file, JSON_BYTES)).hexdigest()
    except (OSError, ValueError):
        return None


def event_as(form: type[Form], event: Mapping[str, Any] | None) -> Form | None:
    """Return an event of a journal as a model of class `form`; None if there is no event or it does not fit."""
    try:
        return form.model_validate({key: one for key, one in (event or {}).items() if key in form.model_fields})
    except ValidationError:
        return None


def read_model(form: type[Form], file: Path, fix: str = "restore it, or start a new run") -> Form:
    """Read a JSON file as a model.

    Args:
        form: the class of the model.
        file: the file.
        fix: what a person should do if the file is damaged; it stands in the message.

    Raises:
        InputError: the file cannot be read, is not JSON, does not have this form, or was written by another version.
    """
    content = read_json(file, "the file", fix)
    try:
        return form.model_validate(content)
    except ValidationError as error:
        where, said = first_error(error)
        wrong = "was written by another version of ipo"
        if where != "schema":
            wrong = f"does not have the form that this version reads ({where}: {said})"
        raise InputError(f"{file} {wrong}; {fix}.") from error


def check_writable(folder: Path, what: str = "run directory", fix: str = "choose another --out") -> None:
    """Refuse a folder that cannot be made or written, before hours go into encoding.

    The check leaves no file behind.

    Args:
        folder: the folder.
        what: the name of the folder in messages.
        fix: what to do about it, for messages.

    Raises:
        InputError: the directory cannot be made; the message names the folder that prevents it.
    """
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), None)
    try:
        with TemporaryDirectory(dir=there):  # permissions do not tell: root may write everywhere, but not in /proc
            return
    except OSError as error:
        why = f"{there} is a file" if there and there.is_file() else f"{there} cannot be written"
        raise InputError(f"cannot make the {what} {folder}: {why}; {fix}.") from error


PACKAGES = (
    *("ipo-prompts", "dspy", "litellm", "torch", "open_clip_torch", "datasets"),
    *("numpy", "pillow", "scipy", "xllamacpp"),
)


class ClipUsed(Content):
    """The CLIP of a run; `context_length` is in tokens."""

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
    """Return the environment of a run: the machine, the versions of packages, and the CLIP."""
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
"""The most characters that the name of the data may have in the name of a run directory.

File systems allow 255 bytes for the whole name.
"""


def default_folder(config: RunConfig) -> Path:
    """Return `runs/DATE-NAME`, where NAME is made from the name of the data; `reserved` makes the folder."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", config.data.split("/")[-1])[:LONGEST_NAME].strip("-").lower() or "run"
    return Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"


@contextmanager
def reserved(folder: Path) -> Iterator[Path]:
    """Make a default folder, and yield its path; a folder that exists already gives it another name.

    If the block fails while the folder is empty, the folder is removed. Its parent is removed too if it was made with
    the folder.

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
        except OSError:  # `check_writable` will say why
            break
    try:
        yield made
    except BaseException:
        with suppress(OSError):  # a folder that is not empty stays
            made.rmdir()
            if first:
                made.parent.rmdir()
        raise


def holds_run(folder: Path) -> bool:
    """Return whether the folder holds a run that can be resumed.

    A run that was killed before it wrote a whole line to its journal cannot be resumed.
    """
    try:
        file = folder / JOURNAL
        return file.is_symlink() or b"\n" in read_bytes(file, MOST_BYTES)  # a link is refused when it is read
    except (OSError, ValueError):
        return False
