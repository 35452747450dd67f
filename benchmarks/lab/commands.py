"""Commands of the product, each in a process of its own that does not import the libraries again.

The imports of a command take eight seconds of a core. A server, which has done them and has no threads, forks a process
for each command.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED = (
    "open_clip",
    "datasets",
    "dspy",
    "litellm",
    "ipo_prompts.experiments.cli.app",
    "ipo_prompts.experiments.compare.methods",
    "ipo_prompts.experiments.compare.documents",
    "ipo_prompts.experiments.compare.forecasting",
    "ipo_prompts.experiments.run.searching",
)


def start(words: Sequence[str], around: Mapping[str, str], said: Path) -> BaseProcess:
    """Start `ipo WORDS`.

    Args:
        words: the words after the name of the command.
        around: the variables of its environment that differ from those of this process when the first command began.
        said: the beginning of the names of two files, which get its answer (`.out`) and its messages (`.err`).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    process = context.Process(target=_run, args=(list(words), dict(around), said))
    process.start()
    return process


def _run(words: list[str], around: dict[str, str], said: Path) -> None:
    os.environ.update(around)
    for number, ending in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(said.with_suffix(ending), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    from ipo_prompts.experiments.cli.app import main

    sys.exit(main(words))
