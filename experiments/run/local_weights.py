"""The weights of a local language model, fetched before a run that needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm import weights

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig


def pull_with_progress(name: str, *, quiet: bool = False) -> Path:
    """Fetch the weights of a local model; they are checked against a pinned SHA-256. Quiet shows no progress.

    Raises:
        InputError: no network, no room, or other bytes than expected.
    """
    model = weights.model(name)
    console = Console(stderr=True, highlight=False, quiet=quiet)
    if path := weights.find(name):
        return path
    console.print(f"fetching {model.title}, {model.size_bytes / 1e6:.0f} MB, licence {model.licence}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("weights", total=model.size_bytes)
        said = ""

        def report(what: str, done: int, total: int) -> None:
            nonlocal said
            progress.update(task, description=what, completed=done, total=total)
            if progress.disable and what != said:
                console.print(Text(f"fetching {what}"))
                said = what

        path = weights.pull(name, report)
    console.print(f"fetched {model.size_bytes / 1e6:.0f} MB from {weights.source(name)}")
    return path


def ensure_local_weights(configs: Iterable[RunConfig], *, quiet: bool = False) -> None:
    """Fetch what searches with `--lm local…` need when it is missing; in a terminal, ask first.

    Raises:
        InputError: the person said no, or the weights cannot be fetched.
    """
    from ipo_prompts.programs.lm.connect import is_local
    from ipo_prompts.programs.lm.local import wanted_weights

    for name in sorted({config.lm for config in configs if config.asks_lm and is_local(config.lm)}):
        wanted = wanted_weights(name)
        if wanted is None or weights.find(wanted):
            continue
        model = weights.model(wanted)
        size = f"{model.size_bytes / 1e6:.0f} MB, {model.licence}"
        question = f"The local language model {model.title} ({size}) is not here. Fetch it?"
        if sys.stdin.isatty() and not typer.confirm(question, default=True, err=True):
            raise InputError(
                f"without weights there is no local model; `ipo models pull {wanted}`, or name another --lm."
            )
        pull_with_progress(wanted, quiet=quiet)
