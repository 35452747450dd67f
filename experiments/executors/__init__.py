"""Where independent jobs are done: in this process, in a pool of processes, or on Ray."""

from __future__ import annotations

import os

from ipo_prompts.experiments.executors.local import Executor, Here, Pool
from ipo_prompts.metrics.errors import InputError


def make_executor(spec: str, threads: int | None = None) -> Executor:
    """Return what a specification names; nothing is started yet.

    Args:
        spec: `here`, `pool:N` (N processes), `ray` (on this machine) or `ray:ADDRESS` (an existing cluster).
        threads: for each item. None takes OMP_NUM_THREADS; without that, `here` leaves all cores to each item, a pool
            shares them out, and Ray gives one.

    Raises:
        InputError: no such executor, or Ray is not installed.
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
            raise InputError("this executor needs Ray: pip install 'ipo-prompts[ray]'.") from error
        from ipo_prompts.experiments.executors.ray import Ray

        return Ray(rest or None, threads or 1)
    raise InputError(f"there is no executor {spec!r}; there are here, pool:N, ray and ray:ADDRESS.")
