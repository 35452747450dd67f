"""Items of work in processes of their own; see `base.py`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from ipo_prompts.experiments.executors.base import RETRIES, Executor, Failure, I, Outcomes, R, attempt, computing_with


class Pool(Executor):
    """Processes of their own, each with one item at a time, so that it is known which item a dead worker was at.

    They are spawned, not forked: a fork of a process in which torch has started threads can hang.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads: int = threads

    def _outcomes(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        waiting = deque((index, 1) for index in range(len(items)))
        idle: list[_Worker] = []
        busy: dict[Connection, tuple[_Worker, int, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.workers:
                    index, attempt = waiting.popleft()
                    worker = idle.pop() if idle else _Worker(self.threads)
                    busy[worker.pipe] = (worker, index, attempt)
                    worker.give(function, items[index])
                for pipe in wait(list(busy)):
                    worker, index, attempt = busy.pop(pipe)  # type: ignore[call-overload]
                    outcome, alive = worker.take()
                    if alive:
                        idle.append(worker)
                    elif attempt <= RETRIES:
                        waiting.appendleft((index, attempt + 1))
                        continue
                    yield index, outcome
        finally:
            for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
                worker.kill()


class _Worker:
    """One process of a `Pool` and the pipe to it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads))
        with computing_with(threads, torch=False):  # inherited: OpenMP reads it before our code runs there
            self._process.start()
        theirs.close()

    def give(self, function: Callable[[Any], Any], item: Any) -> None:
        with suppress(BrokenPipeError):  # it died while idle; `take` finds out
            self.pipe.send((function, item))

    def take(self) -> tuple[Any, bool]:
        """Return the outcome and whether the worker lives."""
        try:
            return self.pipe.recv(), True
        except (EOFError, OSError):
            self._process.join()
            self.pipe.close()
            return Failure.died(f"exit code {self._process.exitcode}"), False

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, threads: int) -> None:
    """Do items until the pipe closes; a worker does nothing else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent stops us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with computing_with(threads):
        while True:
            try:
                function, item = pipe.recv()
            except EOFError:
                return
            outcome = attempt(function, item)
            try:
                pipe.send(outcome)
            except Exception as error:  # a result that cannot be pickled is the function's fault, not a death
                pipe.send(Failure.of(error))


def _die_with_parent() -> None:
    """End this worker when its parent was killed: it would keep its run directory locked for the next session."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
