"""Runs every benchmark in a small size, which tests that it works and measures nothing. Each core runs one at a time.

The imports of a benchmark take five seconds, and its run takes about as long. So one process does the imports, and
forks a process for each benchmark.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

NO_BENCHMARKS = ("__init__", "__main__", "common")


def run_all() -> int:
    """Run all benchmarks; return 1 if a benchmark failed, else 0."""
    os.environ["OMP_NUM_THREADS"] = "1"  # each core has its benchmark; a process with threads must not fork
    import datasets  # noqa: F401
    import open_clip  # noqa: F401

    import ipo_prompts.experiments.compare.methods
    import ipo_prompts.experiments.run.searching  # noqa: F401

    fork = multiprocessing.get_context("fork")
    names = [file.stem for file in sorted(Path(__file__).parents[1].glob("*.py")) if file.stem not in NO_BENCHMARKS]
    waiting = [fork.Process(target=_run, args=(name,), name=name) for name in names]
    running: list[Any] = []
    failed = []
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(waiting.pop(0))
            running[-1].start()
        wait([one.sentinel for one in running])
        ended = [one for one in running if one.exitcode is not None]
        failed += [one.name for one in ended if one.exitcode]
        running = [one for one in running if one not in ended]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> None:
    sys.argv = [name, "--small"]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
