"""What the tests of executors run: module-level functions, since workers import them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.errors import InputError


def cell(item: dict[str, Any]) -> Any:
    """Do what the item says; `log` is a file in which each attempt leaves a line."""
    if "log" in item:
        with Path(item["log"]).open("a") as file:
            file.write(f"{item['value']}\n")
    time.sleep(item.get("sleep", 0))
    what = item.get("do")
    if what == "raise":
        raise ValueError(f"no {item['value']}")
    if what == "bad input":
        raise InputError("fix it.")
    if what == "die":
        os._exit(7)
    if what == "die once" and not Path(item["mark"]).exists():
        Path(item["mark"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item["value"] ** 2


def threads(item: int) -> tuple[str | None, int]:
    """Return how many threads an item may use."""
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


def visible(item: dict[str, Any]) -> str | None:
    """Do what the item says, and return the GPUs that torch would see here."""
    cell(item)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def sums(seed: int) -> str:
    """Return every bit of a long sum, which depends on the number of threads."""
    import torch

    values = torch.randn(3_000_017, generator=torch.Generator().manual_seed(seed))
    return f"{values.sum().item().hex()} {values.softmax(0).log().mean().item().hex()}"
