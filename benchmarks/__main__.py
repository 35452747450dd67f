"""Every benchmark in a size for correctness only, one a core: `python benchmarks`. Nothing here measures anything.

Each imports what takes five seconds, and is done in about as long. So one process imports it, and forks for each.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a benchmark a core; and a process that computes in threads must not be forked

import datasets  # noqa: F401
import open_clip  # noqa: F401

import ipo_prompts.experiments.compare.methods
import ipo_prompts.experiments.run.searching  # noqa: F401

NO_BENCHMARKS = ("__main__.py", "common.py")


def main() -> int:
    """Run all; return 1 if one failed."""
    files = [file for file in sorted(Path(__file__).parent.glob("*.py")) if file.name not in NO_BENCHMARKS]
    running: dict[int, Path] = {}
    failed = []
    while files or running:
        while files and len(running) < (os.cpu_count() or 1):
            file = files.pop(0)
            pid = os.fork()
            if not pid:
                _run(file)
            running[pid] = file
        pid, status = os.wait()
        if status:
            failed.append(running[pid].name)
        del running[pid]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(file: Path) -> None:
    """Run one in this process, which ends with it."""
    sys.argv = [str(file), "--small"]
    code: object = 0
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code) if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    raise SystemExit(main())
