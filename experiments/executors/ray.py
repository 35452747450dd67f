"""Items of work on a Ray cluster; see `local.py`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from ipo_prompts.experiments.executors.local import RETRIES, Executor, Failure, I, Outcomes, R, attempt, computing_with
from ipo_prompts.metrics.errors import InputError


@dataclass
class Ray(Executor):
    """Plain tasks on a Ray cluster; retries and places are Ray's. Every node needs this package and the data."""

    address: str | None
    threads: int

    def _outcomes(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        """See `Executor.run`.

        Raises:
            InputError: no cluster at the address, or no node of it has as many cores as an item asks for.
        """
        connected = self._connect()
        try:
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
        finally:
            if connected:
                ray.shutdown()

    def _connect(self) -> bool:
        """Connect, unless the program is connected already; return whether this call connected."""
        if ray.is_initialized():
            return False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # Ray's own default is for ever
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leaves GPUs visible, without a warning
        local: dict[str, Any] = {"address": "local", "include_dashboard": False}
        where = {"address": self.address} if self.address else local
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"cannot reach Ray at {self.address or 'this machine'}: {reason}") from error
        return True

    def _check_room(self) -> None:
        """Refuse items that no node can hold: they would wait for ever, without a message."""
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        largest = max((node["Resources"].get("CPU", 0) for node in nodes if node["Alive"]), default=0)
        if largest < self.threads:
            raise InputError(
                f"an item asks for {self.threads} cores and the largest machine of the Ray cluster offers "
                f"{largest:g}; lower OMP_NUM_THREADS."
            )

    def _outcome(self, task: Any) -> Any:
        try:
            return ray.get(task)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError) as e:
            return Failure.died(type(e).__name__)
        except ray.exceptions.RayError as error:  # for example a node on which this package is not installed
            cause = getattr(error, "cause", None) or error
            return Failure(type(cause).__name__, " ".join(str(cause).split())[:400])


def _attempt_on_ray(function: Callable[[Any], Any], item: Any, threads: int) -> Any:
    with computing_with(threads):
        return attempt(function, item)
