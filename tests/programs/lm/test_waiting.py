"""Waiting in a thread: what comes back, when it is given up, and what is said meanwhile."""

from __future__ import annotations

import contextvars
import threading

import pytest

from ipo_prompts.metrics.clock import NoAnswer, Wait, answer_within


def quiet(seconds: float) -> None:
    pass


def test_the_answer_or_the_error_comes_back() -> None:
    assert answer_within(lambda: 7, None, quiet) == 7

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        answer_within(fail, 5, quiet)


def test_the_thread_sees_the_context_and_the_wait_ends() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(3)
    seen: list[object] = []
    ended = threading.Event()

    def ask() -> None:
        seen.append(variable.get())
        ended.wait(5)

    told: list[float] = []
    with pytest.raises(NoAnswer, match="no answer within"):
        answer_within(ask, 0.2, told.append)
    ended.set()
    assert seen == [3]
    assert told


def test_a_wait_says_what_for_how_long_and_until_when() -> None:
    assert str(Wait("m", 34, 50, limited=True)) == "waiting for m: 34 s (the limit ends the wait in 50 s)"
    assert str(Wait("local/x", 3.2)) == "waiting for local/x: 3 s"
    assert str(Wait("m", 3, 117)) == "waiting for m: 3 s (given up in 117 s)"
