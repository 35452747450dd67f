"""Shared by the benchmarks: alternating timings, the environment, one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_clock = ["wall"]


def arguments(description: str | None, **extra: dict[str, Any]) -> argparse.Namespace:
    """Parse the flags that every benchmark has, and `extra` ones (name → arguments of `add_argument`)."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a size for correctness only; its times mean nothing")
    parser.add_argument("--repeats", type=int, default=5, help="times each thing is measured")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a shared machine, one thread")
    for name, more in extra.items():
        parser.add_argument(f"--{name}", **more)
    options = parser.parse_args()
    _clock.append(options.clock)
    return options


def alternate(repeats: int, **things: Callable[[], Any]) -> dict[str, float]:
    """Time things in turn, so that a change of the machine's load affects all alike: median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    clock = CLOCKS[_clock[-1]]
    for _ in range(repeats):
        for name, thing in things.items():
            started = clock()
            thing()
            seconds[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(benchmark: str, **found: Any) -> None:
    """Print one JSON line: the results, and what they were measured on."""
    print(json.dumps({"benchmark": benchmark, **found, **environment()}))


def environment() -> dict[str, Any]:
    """Say what the numbers were measured on."""
    result: dict[str, Any] = {
        "clock": _clock[-1],
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }
    if "torch" in sys.modules:
        import torch

        result |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    return result


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
