"""The directory of a run: its name and its files. A file is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.run.config import CHOSEN, RunConfig, nested, overlaid
from ipo_prompts.metrics import files
from ipo_prompts.metrics.errors import InputError, did_you_mean, first_error, input_error, nearest
from ipo_prompts.metrics.files import JSON_BYTES, read_bytes, read_json, write_whole
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.journal import MOST_BYTES, last, read
from ipo_prompts.programs.search_settings import preset
from ipo_prompts.programs.trust import CONFIG_FILE, check_typed, placed, resume_command, to_type

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


def read_model(form: type[Form], file: Path, fix: str = "") -> Form:
    """Read a JSON file as a model.

    Args:
        form: the class of the model.
        file: the file.
        fix: what a person should do if the file is damaged, for the message. "": resume the run, which writes all its
            files again, or restore the file if no run is there; start a new run if another version wrote it.

    Raises:
        InputError: the file cannot be read, is not JSON, does not have this form, or was written by another version.
    """
    again = f"`{resume_command(file.parent)}` writes it again" if holds_run(file.parent) else "restore it"
    content = read_json(file, "the file", fix or again)
    return as_model(form, content, str(file), fix or again, fix or "start a new run")


def as_model(form: type[Form], content: Any, what: str, fix: str, anew: str = "") -> Form:
    """Return foreign content as a model.

    Args:
        form: the class of the model.
        content: values, or a text of JSON.
        what: the name of the content in messages.
        fix: what to do about damaged content, for messages.
        anew: what to do about content of another version, for messages; "": the same.

    Raises:
        InputError: the content is damaged, or was written by another version of ipo.
    """
    try:
        return form.model_validate_json(content) if isinstance(content, str) else form.model_validate(content)
    except ValidationError as error:
        where, said = first_error(error)
        if where == "schema":
            raise InputError(f"{what} was written by another version of ipo; {anew or fix}.") from error
        wrong = f"does not have the form that this version reads ({where[:100]}: {said})"
        raise InputError(f"{what} {wrong}; {fix}.") from error


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


def environment(clip: Clip) -> dict[str, Any]:
    """Return the content of `environment.json`: the machine, the versions of packages, and the CLIP."""
    import torch

    from ipo_prompts.metrics.text_tower import text_path

    versions = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": clip.device,
        "packages": versions,
        "clip": {name: getattr(clip, name) for name in ("name", "fingerprint", "context_length")},
        "text_path": text_path(clip.model),
    }


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


# The configuration of a run. Words `key=value` take precedence over a YAML file, and the file over a preset.


def check_config(config: RunConfig, folder: Path) -> None:
    """Refuse a run directory that holds a run of another configuration.

    Raises:
        InputError: the directory holds a run of another configuration.
    """
    if last(folder, "start") and (key := config.differs_from(config_of(folder))):
        raise InputError(f"{folder} holds a run with another {key}; choose another folder.")


def config_of(folder: Path) -> RunConfig:
    """Return the settings of a run from the latest `start` event of its journal.

    All code that reads the settings of a run calls this function. `config.yaml` is only an output.

    Raises:
        InputError: the folder holds no run, the run has not begun to search, or its record is damaged.
    """
    start = next((event for event in reversed(read(folder)) if event["type"] == "start"), None)
    if start is None:
        raise InputError(f"the run in {folder} was never begun, so there is nothing to resume.")
    if not isinstance(start.get("config"), dict):
        raise InputError(f"the journal in {folder} has no settings: `ipo optimize` did not begin it.")
    return build(start["config"], f"{folder / JOURNAL}", whole=True)


def load_config(file: Path | None, words: Sequence[str] = (), *, to_run: bool = False, **flags: Any) -> RunConfig:
    """Return the configuration from a file, `key=value` words and flags.

    Args:
        file: a YAML file of settings, or None. The `config.yaml` of a run directory is an output: the settings are read
            from the journal instead.
        words: words `key=value`; the value is read as YAML.
        to_run: whether a run is begun with the configuration. If so, a file in a run directory may not name code or
            servers (`check_typed`), and user-written classes that were typed may be imported.
        flags: values of flags of the command line, which take precedence over words; None for a flag that is not given.

    Raises:
        InputError: the file cannot be read, a key is unknown (the message names the nearest known key), or a value is
            of the wrong kind.
    """
    given = nested({**read_words(words, flags), **{key: value for key, value in flags.items() if value is not None}})
    values: dict[str, Any] = {}
    in_run = file is not None and os.path.lexists(file.with_name(JOURNAL))
    of_run = in_run and file is not None and file.name == CONFIG_FILE
    if file:
        values = config_of(file.parent).model_dump(mode="json") if of_run else nested(read_settings(file))
    values = overlaid(values, given)
    if to_run:
        if file and in_run:
            check_typed(values, given, f"the run in {file.parent}")
        allow_typed(values)
    return build(values, str(file or "the command line"), whole=of_run)


def resumed(folder: Path, given: RunConfig, where: str, typed: Sequence[str]) -> RunConfig:
    """Return the configuration with which a run is resumed: settings given now replace the recorded settings.

    Only settings in `FREE_KEYS` may differ, the place of the images (the run knows its images), and `test`, which
    may become yes: a run that was tested stays tested. Code and
    servers must be given again, and must be the same: they are never taken from a run directory, see `check_typed`.

    Args:
        folder: the directory of the run.
        given: the settings given now.
        where: where `given` comes from, for messages.
        typed: the settings given now, as they were typed: words of the command line, or arguments.

    Raises:
        InputError: there is no run, another setting differs, or code or a server is not given.
    """
    if not holds_run(folder):
        raise InputError(f"{folder} holds no run to resume: it has no {JOURNAL}; repeat the command that began it.")
    stored = config_of(folder)
    explicit = given.model_dump(include=set(given.model_fields_set))
    wanted = build(overlaid(stored.model_dump(), explicit), where=where, whole=True)
    check_typed(wanted.model_dump(), explicit, f"the run in {folder}", resume_command(folder, {}, *typed))
    kind, place = placed(wanted.data)
    moved = bool(place) and placed(stored.data)[0] == kind
    allowed = {"data": wanted.data if moved else stored.data, "test": stored.test or wanted.test}
    key = wanted.differs_from(stored.model_copy(update=allowed))
    if key:
        rather = "give that one" if key in to_type(stored.model_dump()) else "leave it out"
        raise InputError(
            f"the run in {folder} has {key}={getattr(stored, key)!r} and {getattr(wanted, key)!r} was asked for; "
            f"{rather}."
        )
    return wanted


def build(values: dict[str, Any], where: str, *, whole: bool = False) -> RunConfig:
    """Return a configuration from settings, completed from their preset.

    Args:
        values: the settings, by key.
        where: where the settings come from, for messages.
        whole: whether `values` are the settings of a run that was begun. They need no preset. A setting that IPO did
            not have then takes its default, which must mean what IPO did before.

    Raises:
        InputError: see `load_config`.
    """
    values = nested(values)
    for key in values:
        if key not in RunConfig.model_fields:
            hint = did_you_mean(key, RunConfig.model_fields)
            raise InputError(f"unknown key {key!r} in {where}{hint}; `ipo optimize --help-all` lists the settings.")
    if not whole:
        if (name := values.get("preset", "default")) in ("paper", "code"):
            values = overlaid({**preset(name), "describer_question": name}, values)
    elif isinstance(values.get("class_names"), str):  # a run holds names: no record makes a file be read
        raise InputError(f"{where} names a file of class names, and a run holds the names; start a new run.")
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise input_error(error, where) from error


def allow_typed(values: dict[str, Any]) -> None:
    """Allow the import of the user-written classes and functions that these settings name; see `Registry.allow`."""
    for key, registry in CHOSEN.items():
        registry.allow(values.get(key))
    sources.allow(values.get("data"))


def read_settings(file: Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Raises:
        InputError: the file cannot be read, or is not a table of keys and values.
    """
    content = files.read_yaml(file, "the configuration")
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{file} holds {type(content).__name__}, not a table of keys and values.")
    return content


def read_words(words: Sequence[str], flags: Container[str] = ()) -> dict[str, Any]:
    """Return the settings in `key=value` words. Values are read as YAML; the value of a text setting stays text.

    Args:
        words: the words.
        flags: the names of the settings that have a flag; a message about a wrong flag proposes them with `--`.

    Raises:
        InputError: a word does not have the form `key=value`.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.removeprefix("--").partition("=")
        if word.startswith("--") and not equals:
            meant = ""
            for near in nearest(key.replace("-", "_"), RunConfig.model_fields):
                meant = f" (did you mean {'--' + near.replace('_', '-') if near in flags else near + '=VALUE'}?)"
            raise InputError(f"there is no flag {word!r}{meant}; see `ipo optimize --help`.")
        if not equals or not key:
            if Path(word).is_dir():
                raise InputError(f"{word!r} is a folder; did you mean folder:{word}?")
            known = key if key.partition(".")[0] in RunConfig.model_fields else "steps"
            raise InputError(
                f"cannot read {word!r}; settings are written key=value, such as {known}=VALUE, without spaces."
            )
        try:
            value = files.parse_yaml(text, key)
        except InputError:
            value = text
        # In a text setting, `a photo: <CLASS>` and `no` are text, not a table and not a truth value.
        field = RunConfig.model_fields.get(key)
        is_text = field is not None and (field.annotation is str or str in get_args(field.annotation))
        # Agents of a W&B sweep write `None` for null, as Python does.
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        holds = {get_origin(kind) for kind in kinds}  # such agents write nested settings as a table
        whole = value is None or (isinstance(value, (dict, list)) and type(value) in holds)
        values[key] = None if text == "None" else text if is_text and not whole else value
    return values
