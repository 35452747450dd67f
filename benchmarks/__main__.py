"""Every benchmark in a size for correctness only, one a core: `python benchmarks`. Nothing here measures anything.

Each imports what takes five seconds, and is done in about as long. So one process imports it, and forks for each.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a benchmark a core; and a process that computes in threads must not be forked

import datasets  # noqa: F401
import open_clip  # noqa: F401

import ipo_prompts.experiments.compare.methods
import ipo_prompts.experiments.run.searching  # noqa: F401

NO_BENCHMARKS = ("__main__.py", "common.py")


def main() -> int:
    """Run all; return 1 if one failed."""
    fork = multiprocessing.get_context("fork")
    files = [file for file in sorted(Path(__file__).parent.glob("*.py")) if file.name not in NO_BENCHMARKS]
    waiting = [fork.Process(target=_run, args=(file,), name=file.name) for file in files]
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


def _run(file: Path) -> None:
    sys.argv = [str(file), "--small"]
    runpy.run_path(str(file), run_name="__main__")


if __name__ == "__main__":
    raise SystemExit(main())
