"""Executors do independent jobs in this process or on Ray, with the same outcomes.

A function that raises gives a `Failure` for its item. A worker that dies (killed, out of memory) costs only its current
item, which is tried again.

Sums of floating-point numbers depend on the number of threads, and so do even the replies of a local language model.
So every executor sets the number of threads before an item begins. Compare outcomes of two executors only at the same
number of threads: set OMP_NUM_THREADS.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ipo_prompts.metrics.errors import InputError, printable, reason, to_install
from ipo_prompts.programs.redaction import redact

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


Outcomes = Generator[tuple[int, R | Failure], None, None]
"""The index of each item and its outcome, in the order in which items finish."""


def attempt(function: Callable[[I], R], item: I) -> R | Failure:
    """Return the function's result for the item, or a `Failure` if the function raises an exception."""
    try:
        return function(item)
    except Exception as error:
        return Failure.of(error)


@contextmanager
def computing_with(count: int | None) -> Iterator[None]:
    """Compute with `count` threads inside the block, in torch and in every library that reads OMP_NUM_THREADS."""
    if count is None:
        yield
        return
    before = {name: value for name, value in os.environ.items() if name == "OMP_NUM_THREADS"}
    loaded = sys.modules.get("torch")
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
class Here:
    """Runs one item after another in this process; `threads` None keeps this process's number of threads."""

    threads: int | None = None

    def places(self) -> str:
        """Return a text that says how many items run at once, and where."""
        return "1 cell at once, in this process"

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """Yield the outcome of `function` for every item."""
        with computing_with(self.threads):
            for index, item in enumerate(items):
                yield index, attempt(function, item)


@dataclass
class Ray:
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
        """Return a text that says how many items run at once, and where. No item is run.

        Raises:
            InputError: see `run`.
        """
        self._connect()
        gpus, room = self._room()
        each = f"{self.threads} cores" + (f" and {gpus:g} GPU" if gpus else ", without GPU")
        return f"{room} cells at once, each with {each}; Ray chooses the machine of each cell"

    def run(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """Yield the outcome of `function` for every item; closing the iterator stops every worker.

        The function can be imported by name; its argument and result can be pickled.

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
            raise InputError(f"cannot reach Ray at {self.address or 'this machine'}: {reason(error)}") from error

    def _room(self) -> tuple[float, int]:
        """Return the share of a GPU for each item, and how many items all nodes hold at once.

        Raises:
            InputError: no node can hold an item: it would wait for ever, without a message.
        """
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        has = [node["Resources"] for node in nodes if node["Alive"]]
        cores, cards = (max((one.get(what, 0) for one in has), default=0) for what in ("CPU", "GPU"))
        gpus = float(cards > 0) if self.gpus is None else self.gpus
        room = [int(one.get("CPU", 0) // self.threads) for one in has]
        if gpus:
            room = [min(many, int(one.get("GPU", 0) / gpus + 1e-6)) for many, one in zip(room, has, strict=True)]
        if not any(room):
            asked = f"{self.threads} cores" + (f" and {gpus:g} GPU" if gpus else "")
            raise InputError(
                f"an item asks for {asked} and no machine of the Ray cluster has that (at most {cores:g} cores and "
                f"{cards:g} GPUs); lower OMP_NUM_THREADS{' or --gpu-share' if gpus else ''}."
            )
        return gpus, sum(room)

    def _outcome(self, task: Any) -> Any:
        import ray

        try:
            return ray.get(task)
        except (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        ) as error:
            said = f"its process died {RETRIES + 1} times ({type(error).__name__}); is there enough memory?"
            return Failure(DIED, said)
        except ray.exceptions.RayError as error:  # for example a node on which this package is not installed
            cause = getattr(error, "cause", None) or error
            return Failure(type(cause).__name__, str(cause))


def _attempt_on_ray(function: Callable[[Any], Any], item: Any, threads: int) -> Any:
    with computing_with(threads):
        return attempt(function, item)


Executor = Here | Ray


def make_executor(spec: str, gpus: float | None = None) -> Executor:
    """Return the executor that a specification names; nothing is started yet.

    Each item computes with OMP_NUM_THREADS threads. If that is not set, `here` uses all cores, and Ray one for an item.

    Args:
        spec: `here`, `ray` (on this machine) or `ray:ADDRESS` (an existing cluster).
        gpus: see `Ray`.

    Raises:
        InputError: there is no such executor, Ray is not installed, or `gpus` is no share or not for Ray.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = max(1, int(asked)) if asked.isdecimal() else None
    kind, colon, rest = spec.partition(":")
    if gpus is not None and (kind != "ray" or not 0 <= gpus <= 1):
        raise InputError("--gpu-share is for the executor ray, and from 0 to 1: a cell uses one GPU at most.")
    if spec == "here":
        return Here(threads)
    if kind == "ray" and rest.isdecimal():
        raise InputError(f"{spec} names no address: Ray itself decides how many cells run at once; write ray.")
    if kind == "ray" and bool(colon) == bool(rest):
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise InputError(f"this executor needs Ray: {to_install('ray')}.") from error
        return Ray(rest or None, threads or 1, gpus)
    raise InputError(f"there is no executor {spec!r}; there are here, ray and ray:ADDRESS.")
