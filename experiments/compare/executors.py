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
    def places(self) -> str:
        """Return a text that says how many items run at once, and where. No item is run.

        Raises:
            InputError: see `run`.
        """

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

    def places(self) -> str:
        """See `Executor`."""
        return "1 cell at once, in this process"

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`."""
        with computing_with(self.threads):
            for index, item in enumerate(items):
                yield index, attempt(function, item)


@dataclass
class Pool(Executor):
    """Runs items in separate processes. Each process does one item at a time, so the item of a dead worker is known.

    Processes are spawned, not forked: a fork of a process in which torch has started threads can hang. Where there are
    n GPUs, process k sees GPU k mod n alone.
    """

    workers: int
    threads: int

    def places(self) -> str:
        """See `Executor`."""
        gpus = _gpus()
        seen = f"; process k of 0 to {self.workers - 1} sees GPU k mod {len(gpus)} of {', '.join(gpus)}"
        return (
            f"{self.workers} cells at once, in {self.workers} processes on this machine with {self.threads} threads "
            f"each{seen if gpus else ', without GPU'}; a process that is free takes the next cell"
        )

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`."""
        gpus = _gpus()
        waiting = deque((index, 1) for index in range(len(items)))
        unused = list(range(self.workers))  # the numbers of processes that are not started
        idle: list[tuple[ProcessPoolExecutor, int]] = []
        busy: dict[Future[R | Failure], tuple[ProcessPoolExecutor, int, int, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.workers:
                    index, tries = waiting.popleft()
                    worker, number = idle.pop() if idle else _worker(unused.pop(0), gpus)
                    with suppress(BrokenExecutor), computing_with(self.threads, torch=False):  # for the new process
                        busy[worker.submit(attempt, function, items[index])] = (worker, number, index, tries)
                        continue
                    unused.append(number)  # this worker died while it was idle
                    waiting.appendleft((index, tries))
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    worker, number, index, tries = busy.pop(future)
                    error = future.exception()
                    if not isinstance(error, BrokenExecutor):
                        idle.append((worker, number))
                        # If a result cannot be pickled, that is the function's fault, not a death.
                        yield index, Failure.of(error) if isinstance(error, Exception) else future.result()
                        continue
                    unused.append(number)
                    if tries <= RETRIES:
                        waiting.appendleft((index, tries + 1))
                    else:
                        yield index, Failure.died(error)
        finally:
            for worker in [*(worker for worker, _ in idle), *(worker for worker, *_ in busy.values())]:
                for process in [*worker._processes.values()]:
                    process.kill()


def _gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(gpu) for gpu in range(count)])[:count]


def _worker(number: int, gpus: Sequence[str]) -> tuple[ProcessPoolExecutor, int]:
    """Return a new worker and its number, which says which GPU the worker sees."""
    gpu = gpus[number % len(gpus)] if gpus else None
    return ProcessPoolExecutor(1, get_context("spawn"), _begin, (gpu,)), number


def _begin(gpu: str | None) -> None:
    """Prepare a worker, before its first item imports torch."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
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

    Attributes:
        address: the address of the cluster; None starts Ray on this machine.
        gpus: the share of a GPU for each item, 0 to 1. None is 1 where a node has a GPU, else 0.
    """

    address: str | None
    threads: int
    gpus: float | None = None

    def places(self) -> str:
        """See `Executor`."""
        self._connect()
        gpus, room = self._room()
        each = f"{self.threads} cores" + (f" and {gpus:g} GPU" if gpus else ", without GPU")
        on = ", ".join(f"{count} on {node}" for node, count in room.items())
        return f"{sum(room.values())} cells at once, each with {each}: {on}; Ray chooses the machine of each cell"

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor`.

        Raises:
            InputError: there is no cluster at the address, or no node has the cores and the GPU that an item asks for.
        """
        import ray

        self._connect()
        gpus, _ = self._room()
        remote = ray.remote(num_cpus=self.threads, num_gpus=gpus, max_retries=RETRIES)(_attempt_on_ray)
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

    def _room(self) -> tuple[float, dict[str, int]]:
        """Return the share of a GPU for each item, and for each node with room: how many items it holds at once.

        Raises:
            InputError: no node can hold an item: it would wait for ever, without a message.
        """
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        has = {
            f"{node['NodeManagerHostname']} {node['NodeID'][:6]}": node["Resources"] for node in nodes if node["Alive"]
        }
        cores, cards = (max((one.get(what, 0) for one in has.values()), default=0) for what in ("CPU", "GPU"))
        gpus = float(cards > 0) if self.gpus is None else self.gpus
        room = {node: int(one.get("CPU", 0) // self.threads) for node, one in has.items()}
        if gpus:
            room = {node: min(count, int(has[node].get("GPU", 0) / gpus + 1e-6)) for node, count in room.items()}
        if not any(room.values()):
            asked = f"{self.threads} cores" + (f" and {gpus:g} GPU" if gpus else "")
            raise InputError(
                f"an item asks for {asked} and no machine of the Ray cluster has that (at most {cores:g} cores and "
                f"{cards:g} GPUs); lower OMP_NUM_THREADS{' or --gpu-share' if gpus else ''}."
            )
        return gpus, {node: count for node, count in room.items() if count}

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


def make_executor(spec: str, threads: int | None = None, gpus: float | None = None) -> Executor:
    """Return the executor that a specification names; nothing is started yet.

    Args:
        spec: `here`, `pool:N` (N processes), `ray` (on this machine) or `ray:ADDRESS` (an existing cluster).
        threads: the number of threads for each item. None takes OMP_NUM_THREADS. If that is not set, either, `here`
            uses all cores for each item, a pool divides the cores among its processes, and Ray uses one core.
        gpus: see `Ray`.

    Raises:
        InputError: there is no such executor, Ray is not installed, or `gpus` is no share or not for Ray.
    """
    if threads is None and os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        threads = max(1, int(os.environ["OMP_NUM_THREADS"]))
    kind, colon, rest = spec.partition(":")
    if gpus is not None and (kind != "ray" or not 0 <= gpus <= 1):
        raise InputError("--gpu-share is for the executor ray, and from 0 to 1: a cell uses one GPU at most.")
    if spec == "here":
        return Here(threads)
    if kind == "pool" and rest.isdecimal() and int(rest) > 0:
        return Pool(int(rest), threads or max(1, (os.cpu_count() or 1) // int(rest)))
    if kind == "ray" and rest.isdecimal():
        raise InputError(f"{spec} names no address: Ray itself decides how many cells run at once; write ray.")
    if kind == "ray" and bool(colon) == bool(rest):
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise InputError(f"this executor needs Ray: {to_install('ray')}.") from error
        return Ray(rest or None, threads or 1, gpus)
    raise InputError(f"there is no executor {spec!r}; there are here, pool:N, ray and ray:ADDRESS.")
