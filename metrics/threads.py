"""How the threads of numerical libraries share the cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = 3000
"""Rounds that a thread of OpenMP waits busily for more work: some microseconds, as between two layers of a tower. A
thread that sleeps at once makes CLIP's text tower half slower on two cores, and one that goes on waiting takes the core
from whatever else runs, such as a language model in this process."""


def wait_briefly() -> None:
    """Let OpenMP's threads sleep soon where the user set nothing else; for what loads it later, as torch does."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


@contextmanager
def one_for_numpy() -> Iterator[None]:
    """Let numpy multiply in one thread: its others wait busily, for products that are small here."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
