"""`environment.json`: versions and models, what another machine needs to make the same run."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ipo_prompts.experiments.run.files import Content

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip

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
