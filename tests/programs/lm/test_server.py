"""Processes that open the real small model (98 MB, pulled once into the user's cache) and leave at once: each ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipo_prompts.programs.lm import weights

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def path() -> Path:
    return weights.pull("small")


CHILD = """
import gc, os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
if hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
from dspy.lm15 import Config, Message, Request
from ipo_prompts.programs.lm.local import LocalEngine
from pathlib import Path

engine = LocalEngine(Path(sys.argv[1]))

def ask():
    message = Message.user("Tell a long story.")
    engine.complete(Request(model="local/x", messages=(message,), config=Config(max_tokens=20)))
"""
"""What child processes begin with; each then opens the model in its own way and leaves at once.

On one core, the server's loop often begins later than its start returns.
"""


class Crowd:
    """Processes that run at the same time and slow each other down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[subprocess.Popen[str]] = []

    def add(self, *lines: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-X", "faulthandler", "-c", CHILD + "\n".join(lines), str(self.path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def ends(self) -> list[tuple[int, str]]:
        """Return each exit status and last line of errors. Seconds are normal; machines under load need minutes."""
        return [self._end(process) for process in self.processes]

    def _end(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        try:
            errors = process.communicate(timeout=240)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler says where it hung
            pytest.fail(f"a process hung: {process.communicate()[1]}")
        return process.returncode, "".join(errors.splitlines()[-1:])


@pytest.fixture()
def crowd(path: Path) -> Iterator[Crowd]:
    together = Crowd(path)
    yield together
    for process in together.processes:
        process.kill()
        process.communicate()


def test_processes_that_open_the_model_and_leave_at_once(crowd: Crowd) -> None:
    crowd.add("engine.load()")
    crowd.add("engine.load()", "raise ValueError('mine')")
    crowd.add("engine.load()", "sys.exit(3)")
    crowd.add("for _ in range(5):", "    engine.load()", "    engine = LocalEngine(engine.path)")
    crowd.add("engine.load()", "engine.me = engine", "del engine", "gc.collect()")
    crowd.add("threading.Thread(target=engine.load, daemon=True).start()")
    crowd.add("engine.load()", "threading.Thread(target=ask, daemon=True).start()")
    crowd.add("threading.Thread(target=ask).start()", "raise ValueError('mine')")
    mine = (1, "ValueError: mine")
    assert crowd.ends() == [(0, ""), mine, (3, ""), *[(0, "")] * 4, mine]


def test_ctrl_c_ends_a_process_that_is_loading(crowd: Crowd) -> None:
    for _ in range(2):
        crowd.add(
            "engine.load()", "print('loading', flush=True)", "for _ in range(50): LocalEngine(engine.path).load()"
        )
    for process in crowd.processes:
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
    assert crowd.ends() == [(-signal.SIGINT, "KeyboardInterrupt")] * 2
