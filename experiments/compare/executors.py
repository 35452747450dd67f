"""Executors do independent jobs in this process, in a pool of processes, or on Ray, with the same outcomes.

A function that raises gives a `Failure` for its item. A worker that dies (killed, out of memory) costs only its current
item, which is tried again.

Sums of floating-point numbers depend on the number of threads, and so do even the replies of a local language model.
So every executor sets the number of threads before an item begins. Compare outcomes of two executors only at the same
number of threads: give `threads`, or set OMP_NUM_THREADS.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from ipo_prompts.metrics.errors import InputError, printable, to_install
from ipo_prompts.programs.record.redaction import redact

RETRIES = 2
"""How often an item is tried again after its worker died."""
DIED = "WorkerDied"
"""The `kind` of a `Failure` whose worker died every time."""

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """Why an item has no result.

    Attributes:
        kind: name of the exception's class, or `DIED`.
        message: the exception's text.
        trace: the exception's traceback; empty where the input was bad or the worker died.
    """

    kind: str
    message: str
    trace: str = field(default="", compare=False, repr=False)

    @property
    def line(self) -> str:
        """Return the failure as one line: kind and message, or the message alone for bad input.

        Secrets are redacted, because a server may have echoed them.
        """
        said = printable(redact(" ".join(self.message.split()))[:300])
        return said if self.kind == "InputError" else f"{self.kind}: {said}".removesuffix(": ")

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return the failure for an exception: the parts of the exception that can be sent to another process."""
        trace = "" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), trace)

    @classmethod
    def died(cls, error: BaseException) -> Failure:
        """Return the failure of an item whose worker died at every attempt."""
        return cls(DIED, f"its process died {RETRIES + 1} times ({type(error).__name__}); is there enough memory?")


Outcomes = Generator[tuple[int, R | Failure], None, None]


class Executor(ABC):
    """Runs a function over items.

    Attributes:
        threads: the number of threads for each item; None keeps this process's number of threads.
    """

    threads: int | None

    @abstractmethod
    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """Run `function` on every item; closing the returned iterator stops every worker.

        Args:
            function: a function that can be imported by name; its argument and result can be pickled.
            items: any number of items.

        Yields:
            The index of an item and its outcome, in the order in which items finish.
        """


def attempt(function: Callable[[I], R], item: I) -> R | Failure:
    """Return the function's result for the item, or a `Failure` if the function raises an exception."""
    try:
        return function(item)
    except Exception as error:
        return Failure.of(error)


@contextmanager
def computing_with(count: int | None, *, torch: bool = True) -> Iterator[None]:
    """Compute with `count` threads inside the block, in torch and in every library that reads OMP_NUM_THREADS."""
    if count is None:
        yield
        return
    before = {name: value for name, value in os.environ.items() if name == "OMP_NUM_THREADS"}
    loaded = sys.modules.get("torch") if torch else None
    torch_before = loaded.get_num_threads() if loaded else None
    os.environ["OMP_NUM_THREADS"] = str(count)
    if loaded:
        loaded.set_num_threads(count)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        os.environ.update(before)
        if loaded:
            loaded.set_num_threads(torch_before)


@dataclass
class Here(Executor):
    """Runs one item after another in this process."""

    threads: int | None = None

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`."""
        with computing_with(self.threads):
            for index, item in enumerate(items):
                yield index, attempt(function, item)


@dataclass
class Pool(Executor):
    """Runs items in separate processes. Each process does one item at a time, so the item of a dead worker is known.

    Processes are spawned, not forked: a fork of a process in which torch has started threads can hang.
    """

    workers: int
    threads: int

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`."""
        waiting = deque((index, 1) for index in range(len(items)))
        idle: list[ProcessPoolExecutor] = []
        busy: dict[Future[R | Failure], tuple[ProcessPoolExecutor, int, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.workers:
                    index, tries = waiting.popleft()
                    worker = idle.pop() if idle else ProcessPoolExecutor(1, get_context("spawn"), _begin)
                    with suppress(BrokenExecutor), computing_with(self.threads, torch=False):  # for the new process
                        busy[worker.submit(attempt, function, items[index])] = (worker, index, tries)
                        continue
                    waiting.appendleft((index, tries))  # this worker died while it was idle
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    worker, index, tries = busy.pop(future)
                    error = future.exception()
                    if not isinstance(error, BrokenExecutor):
                        idle.append(worker)
                        # If a result cannot be pickled, that is the function's fault, not a death.
                        yield index, Failure.of(error) if isinstance(error, Exception) else future.result()
                    elif tries <= RETRIES:
                        waiting.appendleft((index, tries + 1))
                    else:
                        yield index, Failure.died(error)
        finally:
            for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
                for process in [*worker._processes.values()]:
                    process.kill()


def _begin() -> None:
    """Prepare a worker, before its first item."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent stops this worker
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when its parent was killed; else the worker would keep its run directory locked."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass
class Ray(Executor):
    """Runs items as plain tasks on a Ray cluster.

    Ray decides when a task is retried and on which node it runs. Every node needs this package and the data.
    """

    address: str | None
    threads: int

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`.

        Raises:
            InputError: there is no cluster at the address, or no node has as many cores as an item asks for.
        """
        import ray

        self._connect()
        self._check_room()
        remote = ray.remote(num_cpus=self.threads, max_retries=RETRIES)(_attempt_on_ray)
        under_way = {remote.remote(function, item, self.threads): index for index, item in enumerate(items)}
        try:
            while under_way:
                for done in ray.wait(list(under_way))[0]:
                    index = under_way.pop(done)
                    yield index, self._outcome(done)
        finally:
            for task in under_way:
                ray.cancel(task, force=True)

    def _connect(self) -> None:
        """Connect, unless the program is connected already; Ray disconnects at the end of the program."""
        import ray

        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # Ray's own default is to retry for ever
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keep GPUs visible, without a warning
        local: dict[str, Any] = {"address": "local", "include_dashboard": False}
        where = {"address": self.address} if self.address else local
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"cannot reach Ray at {self.address or 'this machine'}: {reason}") from error

    def _check_room(self) -> None:
        """Refuse items that no node can hold: they would wait for ever, without a message."""
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        largest = max((node["Resources"].get("CPU", 0) for node in nodes if node["Alive"]), default=0)
        if largest < self.threads:
            raise InputError(
                f"an item asks for {self.threads} cores and the largest machine of the Ray cluster offers "
                f"{largest:g}; lower OMP_NUM_THREADS."
            )

    def _outcome(self, task: Any) -> Any:
        import ray

        try:
            return ray.get(task)
        except (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        ) as error:
            return Failure.died(error)
        except ray.exceptions.RayError as error:  # for example a node on which this package is not installed
            cause = getattr(error, "cause", None) or error
            return Failure(type(cause).__name__, " ".join(str(cause).split())[:400])


def _attempt_on_ray(function: Callable[[Any], Any], item: Any, threads: int) -> Any:
    with computing_with(threads):
        return attempt(function, item)


def make_executor(spec: str, threads: int | None = None) -> Executor:
    """Return the executor that a specification names; nothing is started yet.

    Args:
        spec: `here`, `pool:N` (N processes), `ray` (on this machine) or `ray:ADDRESS` (an existing cluster).
        threads: the number of threads for each item. None takes OMP_NUM_THREADS. If that is not set, either, `here`
            uses all cores for each item, a pool divides the cores among its processes, and Ray uses one core.

    Raises:
        InputError: there is no such executor, or Ray is not installed.
    """
    if threads is None and os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        threads = max(1, int(os.environ["OMP_NUM_THREADS"]))
    kind, colon, rest = spec.partition(":")
    if spec == "here":
        return Here(threads)
    if kind == "pool" and rest.isdecimal() and int(rest) > 0:
        return Pool(int(rest), threads or max(1, (os.cpu_count() or 1) // int(rest)))
    if kind == "ray" and bool(colon) == bool(rest):
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise InputError(f"this executor needs Ray: {to_install('ray')}.") from error
        return Ray(rest or None, threads or 1)
    raise InputError(f"there is no executor {spec!r}; there are here, pool:N, ray and ray:ADDRESS.")
