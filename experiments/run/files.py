"""The files of a run directory: written whole or not at all, read with every failure in one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import write_whole
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.resuming import resume_command

Form = TypeVar("Form", bound=BaseModel)


class Content(BaseModel):
    """A file's content, or a part of it: it cannot change, and has no keys but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


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
        on = f", then `{resume_command(file.parent)}`," if file.with_name(JOURNAL).exists() else ""
        raise InputError(f"cannot write {file}: {error.strerror}; make room{on} or choose another --out.") from error


def digest(file: Path) -> str | None:
    """Return the SHA-256 of a file's content; None where there is no file to read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def read_model(form: type[Form], file: Path, fix: str = "restore it, or start a new run") -> Form:
    """Read a JSON file as a model; in the message, `fix` is what helps against a damaged file.

    Raises:
        InputError: the file cannot be read, is no JSON, is not of this form, or another version of ipo wrote it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; start a new run.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON ({error}); {fix}.") from error
    try:
        return form.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        wrong = "was written by another version of ipo"
        if where != "schema":
            wrong = f"is not of the form that this version reads ({where}: {first['msg'].lower()})"
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
        raise InputError(f"cannot make the run directory {folder}: {why}; choose another --out.") from error
