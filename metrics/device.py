"""Where a CLIP runs, and how the threads of numerical libraries share the cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipo_prompts.metrics.errors import InputError

AUTO = "auto"


def find_device(wanted: str) -> str:
    """Return the torch device that a name means: itself, or for `auto` CUDA or MPS where there is one, else the CPU.

    Raises:
        InputError: it is not here; those that are get named.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if wanted == AUTO:
        return here[0]
    if wanted not in here:
        raise InputError(f"there is no device {wanted!r} here; device can be {', '.join([AUTO, *here])}.")
    return wanted


# How the threads of numerical libraries share the cores.


SPINS = 1000
"""Rounds that a thread of GNU's OpenMP waits busily for more work: some microseconds, as between two layers of a model.

On two free cores a search takes 45 s so, 60 s where threads sleep at once, and 17 s or 21 s without a language model.
Beside another process on these cores it is the other way round, 85 s and 69 s, so it is not longer.
"""


def wait_briefly() -> None:
    """Let OpenMP's threads sleep soon where the user set nothing else; for what loads it later, as torch does."""
    if "OMP_WAIT_POLICY" in os.environ:
        return
    if sys.platform == "linux":
        # "passive" would let threads sleep at once wherever two libraries use them, as torch and llama.cpp do here.
        os.environ["OMP_WAIT_POLICY"] = "active"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    else:
        os.environ["OMP_WAIT_POLICY"] = "passive"


@contextmanager
def one_for_numpy() -> Iterator[None]:
    """Let numpy multiply in one thread: OpenBLAS's others wait busily, for products that are small here."""
    from threadpoolctl import ThreadpoolController

    loaded = ThreadpoolController()
    files = [library["filepath"] for library in loaded.info() if library["internal_api"] == "openblas"]
    torchs = {"torch", "torch.libs"}  # it brings one of its own on some processors, for its own large products
    with loaded.select(filepath=[file for file in files if not torchs & {*Path(file).parts}]).limit(limits=1):
        yield
