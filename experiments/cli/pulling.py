"""Fetching weights in front of a person: what, how large, under which licence, how far."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ipo.metrics.errors import InputError


def pull_with_progress(name: str) -> Path:
    """Fetch the weights of a local model; they are checked against a pinned SHA-256.

    Raises:
        InputError: no network, no room, or other bytes than expected.
    """
    from ipo.programs.lm import weights

    model = weights.model(name)
    console = Console(stderr=True, highlight=False)
    console.print(f"fetching {model.title}, {model.size_bytes / 1e6:.0f} MB, licence {model.licence}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("weights", total=model.size_bytes)
        return weights.pull(
            name, lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
        )


def ensure_local_weights(name: str) -> None:
    """Fetch what `--lm local…` needs when it is missing; in a terminal, ask first.

    Raises:
        InputError: the person said no, or the weights cannot be had.
    """
    import sys

    import typer

    from ipo.programs.lm import weights
    from ipo.programs.lm.local import wanted_weights

    wanted = wanted_weights(name)
    if wanted is None or weights.find(wanted):
        return
    model = weights.model(wanted)
    size = f"{model.size_bytes / 1e6:.0f} MB, {model.licence}"
    question = f"The local language model {model.title} ({size}) is not here. Fetch it?"
    if sys.stdin.isatty() and not typer.confirm(question, default=True, err=True):
        raise InputError(f"without weights there is no local model; `ipo models pull {wanted}`, or name another --lm.")
    pull_with_progress(wanted)
