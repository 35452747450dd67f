"""The soak uses what the end-to-end tests use; and nothing in it may hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from end_to_end.conftest import (  # noqa: F401
    cache,
    first_run,
    images,
    light,
    out,
    resume,
    run,
    running_server,
    server,
)

SECONDS = 120
"""Far more than any case takes on a busy machine."""


@pytest.fixture(autouse=True)
def never_hangs() -> Iterator[None]:
    def hangs(*_: object) -> None:
        pytest.fail(f"it still runs after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
