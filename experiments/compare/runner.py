"""Many jobs on an executor: finished ones are read back, others resume; failures and the budget are tracked.

Cells of a grid are such jobs. Each has a folder of its own, so that its result depends
neither on the order of the jobs, nor on the executor, nor on how often they were resumed.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ipo_prompts.experiments.executors.local import Executor, Failure
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import total_usd

FAILURE_FILE_NAME = "failure.txt"
"""The traceback of a job's last failure."""
TIME_FILE_NAME = "seconds.json"
"""How long a job took in its last session. A file of its own, since no result may depend on it."""

C = TypeVar("C")


@dataclass(frozen=True)
class Item(ABC, Generic[C]):
    """One job. Picklable: this is what an executor is handed.

    Attributes:
        label: of its row; the jobs of a row take about equally long.
        folder: where it is done.
    """

    label: str
    folder: Path

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in messages."""

    @property
    @abstractmethod
    def record(self) -> Path:
        """The folder of the journal that holds its replies, which may not be there."""

    @abstractmethod
    def finished(self) -> C | None:
        """Return the result of an earlier session; None when there is something left to do."""

    @abstractmethod
    def run(self) -> C:
        """Do the job, or resume it."""

    @abstractmethod
    def said(self, content: C) -> str:
        """Format the result as a part of a line."""


@dataclass(frozen=True)
class Progress(Generic[C]):
    """The state after a job.

    Attributes:
        done, total: jobs; those of earlier sessions count as done.
        item: the job that was just finished.
        content: its result, or a `Failure`.
        usd: what was paid, in all sessions; None when a price is not known.
        left: seconds that the rest takes on one worker, at the pace of each row so far; None before anything is known.
    """

    done: int
    total: int
    item: Item[C]
    content: C | Failure
    usd: float | None
    left: float | None


class _Spent(Exception):
    """The budget is reached."""


def run_all(
    items: Sequence[Item[C]],
    before: Sequence[C | None],
    executor: Executor,
    on_progress: Callable[[Progress[C]], None],
    budget_usd: float | None = None,
) -> tuple[list[C | Failure | None], str | None]:
    """Do the jobs that are not finished; one that fails does not stop the others.

    Args:
        items: the jobs.
        before: the result of each from an earlier session; see `Item.finished`.
        executor: where they are done.
        on_progress: called after each job that was not finished before.
        budget_usd: the session ends once so much was paid, failed jobs included. A job under way elsewhere is cut off
            and can be resumed.

    Returns:
        The result of each job, a `Failure`, or None where it was not done, in the order of the jobs; and how the budget
        ended the session, or None.

    Raises:
        InputError: there is a budget, and what was paid cannot be read.
    """
    contents: list[C | Failure | None] = list(before)
    waiting = [place for place, content in enumerate(before) if content is None]
    paid = [paid_for(item) for item in items]

    def where(done: bool) -> list[Item[C]]:
        return [item for item, content in zip(items, contents, strict=True) if (content is not None) == done]

    def stop_if_spent() -> None:
        usd, left = total_usd(paid), where(done=False)
        if budget_usd is None:
            return
        if usd is None:
            raise InputError("a journal cannot be read, so --budget-usd cannot be kept; leave it out to see which.")
        if usd >= budget_usd and left:
            raise _Spent(f"${usd:.4f} of ${budget_usd:.4f} spent, {len(left)} of {len(items)} are left")

    def on_done(index: int, content: C | Failure) -> None:
        place = waiting[index]
        contents[place], paid[place] = content, paid_for(items[place])
        _note_failure(items[place], content)
        done, left = where(done=True), where(done=False)
        on_progress(Progress(len(done), len(items), items[place], content, total_usd(paid), _seconds(done, left)))
        stop_if_spent()

    try:
        stop_if_spent()
        executor.run(do, [items[place] for place in waiting], on_done)
    except _Spent as spent:
        return contents, str(spent)
    return contents, None


def do(item: Item[C]) -> C:
    """Do one job; importable by name, so that any process can."""
    for library in ("dspy", "LiteLLM"):  # what they log of a failure is in its message
        logging.getLogger(library).setLevel(logging.CRITICAL)
    started = time.monotonic()
    content = item.run()
    seconds = {"schema": 1, "seconds": round(time.monotonic() - started, 1)}
    write_text(item.folder / TIME_FILE_NAME, json.dumps(seconds) + "\n")
    return content


def paid_for(item: Item[Any]) -> float | None:
    """Return the US dollars that a job's replies have cost so far, in all sessions; None when that is not known.

    Replies from the cache cost nothing here.
    """
    from ipo_prompts.programs.record.journal import FILE_NAME, read

    try:
        events = read(item.record) if (item.record / FILE_NAME).is_file() else []
    except InputError:  # the job itself reports it, and no other stops
        return None
    return total_usd(event["usd"] for event in events if event["type"] == "lm")


def print_progress(progress: Progress[C]) -> None:
    """Print on stderr that a job has ended, what all jobs have cost, and how long the rest takes."""
    from ipo_prompts.experiments.run.live_view import money

    content = progress.content
    said = f"failed: {reason(content)}" if isinstance(content, Failure) else progress.item.said(content)
    left = f", about {_clock(progress.left)} left" if progress.left else ""
    line = f"{progress.done}/{progress.total}  {progress.item.name}: {said}  ({money(progress.usd)}{left})"
    print(line, file=sys.stderr, flush=True)


def reason(failure: Failure) -> str:
    """Format a failure in one line; any but bad input begins with its kind."""
    return failure.line if failure.kind == "InputError" else f"{failure.kind}: {failure.line}".removesuffix(": ")


def _note_failure(item: Item[Any], content: object) -> None:
    """Keep a failure's traceback with its job, until the job is done."""
    from ipo_prompts.programs.record.redaction import redact

    file = item.folder / FAILURE_FILE_NAME
    if isinstance(content, Failure) and content.trace:
        item.folder.mkdir(parents=True, exist_ok=True)
        write_text(file, redact(content.trace))
    else:
        file.unlink(missing_ok=True)


def _seconds(done: Iterable[Item[Any]], left: Sequence[Item[Any]]) -> float | None:
    """Forecast the waiting jobs: each takes as long as those of its row so far, or of all rows where it has none."""
    took: dict[str, list[float]] = {}
    for item in done:
        with suppress(OSError, ValueError, KeyError, TypeError):  # no job fails for a forecast
            content = json.loads((item.folder / TIME_FILE_NAME).read_text(encoding="utf-8"))
            took.setdefault(item.label, []).append(float(content["seconds"]))
    if not took:
        return None
    means = {label: statistics.fmean(values) for label, values in took.items()}
    usual = statistics.fmean(means.values())
    return sum(means.get(item.label, usual) for item in left)


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
