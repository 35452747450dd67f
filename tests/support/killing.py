"""Runs in processes of their own that can be killed at any moment, without paying for the imports each time.

Starting `ipo` costs seconds of imports on a busy machine. The standard library's fork server pays them once: one clean
process imports everything and forks a child per run. A child runs the same `main` as the command, has its own process
id and dies of SIGKILL like any other; nothing is shared with the tests' process but the images and the port.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

PRELOAD = (
    "support.killing",
    "httpcore",
    "dspy._vendor.lm15.cloud",
    "litellm._service_logger",
    "litellm.integrations.generic_api.generic_api_callback",
    "litellm.llms.openai.chat.gpt_audio_transformation",
    "litellm.proxy._types",
    "support.preloaded",
)
"""With what a request to a language model imports, which no run in the server makes."""


def fork_server(*preload: str) -> Any:
    """Start the fork server, once, and return its context.

    It looks for what it imports beforehand where Python itself does, not where pytest does, and passes over in silence
    what it does not find.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, *preload])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    return context


class ForkServer:
    """Starts runs. `environment` is laid over the tests' own."""

    def __init__(self) -> None:
        self._context = fork_server()

    def start(self, words: list[str], log: Path, **environment: str) -> BaseProcess:
        """Start `ipo WORDS`; what it prints goes to `log`, which it also reads from if that is a terminal."""
        process = self._context.Process(target=_child, args=(words, str(log), {**os.environ, **environment}))
        process.start()
        return process

    def run(self, words: list[str], log: Path, **environment: str) -> int:
        """Run `ipo WORDS` to its end; return the exit code."""
        process = self.start(words, log, **environment)
        process.join(120)
        assert process.exitcode is not None, f"{words} still runs after two minutes"
        return process.exitcode


def _child(words: list[str], log: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if os.isatty(file):
        os.dup2(file, 0)
        sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has closed the one that was there
    # Tests that are started in the background inherit an ignored SIGINT; a person's shell does not hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from ipo_prompts.experiments.cli.app import main

    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
