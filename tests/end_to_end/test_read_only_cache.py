"""A complete cache that only somebody else may write: it is read, and what it lacks is made and not kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage

NOBODY = 65534
*IMAGES, FURTHER = sorted((IMAGES_DIR / "a" / "cat").iterdir())[:5]
CHILD = f"""
import os, sys
from pathlib import Path
from PIL import Image
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage

clip, folder = load_clip("embedded"), Path(sys.argv[1])
images = [LazyImage.from_bytes(name, Path(name).read_bytes()) for name in sys.argv[2:]]
Image.init()  # nobody may not read the decoders
if os.geteuid() == 0:
    os.seteuid({NOBODY})  # root may write everywhere
store = FeatureStore(clip, folder)
print(store.encode(images[:-1]).tobytes().hex(), store.encoded)
print(store.encode(images).shape, store.encoded)
print(store.encode(images).shape, store.encoded)
"""


@pytest.fixture()
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # others may not enter the folders of pytest
        yield Path(name)
        Path(name).chmod(0o700)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs the permissions of POSIX")
def test_a_complete_cache_that_somebody_else_made_is_read(clip: Clip, folder: Path) -> None:
    store = FeatureStore(clip, folder)
    features: Any = store.encode([LazyImage.from_path(file) for file in IMAGES])
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    before = files(folder)
    command = [sys.executable, "-c", CHILD, str(folder), *map(str, [*IMAGES, FURTHER])]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        f"{features.tobytes().hex()} 0",
        f"(5, {clip.width}) 1",
        f"(5, {clip.width}) 2",
    ]
    assert ended.stderr.count("images.sqlite cannot be written: missing entries are made, and not kept") == 1
    assert files(folder) == before
