"""Items of work in this process; see `base.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipo.experiments.executors.base import Executor, I, Outcomes, R, attempt, computing_with


class Here(Executor):
    """One item after another in this process."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def _outcomes(self, function: Callable[[I], R], items: Sequence[I]) -> Outcomes[R]:
        with computing_with(self.threads):
            for index, item in enumerate(items):
                yield index, attempt(function, item)
