"""Commands of `ipo` on what may be a stranger's, each in a process of its own, and what came of it.

`Attacked` starts one process that has imported everything and forks for each command: the fork is trapped as
`support.trap` does, and its memory and its time are watched.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST = 1_000
"""MB of memory that a command may take."""


@dataclass(frozen=True)
class Came:
    """What came of a command: `code` is None where it was ended for its time or memory; memory in MB."""

    code: int | None
    caught: list[str]
    out: str
    err: str
    seconds: float
    memory: float


class Attacked:
    """The process that forks. Its commands may write below `folders` alone."""

    def __init__(self, *folders: str, env: dict[str, str]) -> None:
        path = f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.attacked", *folders],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: list[str], folder: Path, seconds: float = 100, **how: Any) -> Came:
        """Run a command in a folder; `env` adds to the environment, `closed` names streams that are not there."""
        assert self._process.stdin and self._process.stdout
        asked = {"words": words, "folder": str(folder), "seconds": seconds, **how}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Came(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _forked(asked: dict[str, Any], folders: list[str], place: Path) -> None:
    """Run the command in this process, which ends with it."""
    from ipo_prompts.experiments.cli.app import main
    from support.trap import trapped

    code, caught = 1, []
    try:
        os.chdir(asked["folder"])
        os.environ |= asked.get("env", {})
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in asked.get("closed", ()):
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        with trapped(*folders, logging=bool(asked.get("logging"))) as caught:
            code = main(asked["words"])
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        (place / "caught").write_text(json.dumps(caught))
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)


def _main() -> None:
    import ipo_prompts.experiments.estimator
    import ipo_prompts.experiments.pipeline  # noqa: F401 - what every command would import
    from ipo_prompts.metrics.clip import load_clip

    load_clip("embedded")  # so that what this imports is there, too
    platform.processor()  # asks `uname`, once a process

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory() as made:
            place, started = Path(made), time.monotonic()
            child = os.fork()
            if child == 0:
                os.setsid()  # what it starts ends with it
                _forked(asked, sys.argv[1:], place)
            code, most = None, 0.0
            while True:
                ended, status, used = os.wait4(child, os.WNOHANG)
                if ended:
                    code, most = os.waitstatus_to_exitcode(status), max(most, used.ru_maxrss / 1000)
                    break
                pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
                most = max(most, pages * resource.getpagesize() / 1e6)
                if most > MOST or time.monotonic() - started > asked["seconds"]:
                    os.killpg(child, signal.SIGKILL)
                    os.wait4(child, 0)
                    break
                time.sleep(0.02)
            texts = {
                name: (place / name).read_text(errors="replace") for name in ("out", "err") if (place / name).exists()
            }
            caught = json.loads((place / "caught").read_text()) if (place / "caught").exists() else []
            came = Came(code, caught, texts.get("out", ""), texts.get("err", ""), time.monotonic() - started, most)
        print(json.dumps(vars(came)), file=answers, flush=True)


if __name__ == "__main__":
    _main()
