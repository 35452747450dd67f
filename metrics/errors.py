"""The error that is meant for a person.

Everything a user can fix is raised as `InputError`: one sentence that says what was found, where, and how to fix it.
The command line prints it and ends with exit code 2. Any other exception is a bug and keeps its traceback.

A sentence names options as whoever reads it writes them: `flag` knows how.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import ValidationError


Listener = Literal["command line", "ipo.optimize", "compile"]
"""Who reads what is said: what options and commands are called."""
_listener: ContextVar[Listener] = ContextVar("listener", default="command line")


@contextmanager
def speaking_to(listener: Listener) -> Iterator[None]:
    """Word what is said while the block runs for a listener; threads that it starts speak to the command line."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def listener() -> Listener:
    """Return who is spoken to; outside of `speaking_to` it is the command line."""
    return _listener.get()


def flag(name: str, value: object = None) -> str:
    """Name an option, alone or with a value, as the listener writes it.

    >>> with speaking_to("ipo.optimize"):
    ...     flag("budget_usd"), flag("lm", "none")
    ('budget_usd=', "lm='none'")
    >>> flag("budget_usd"), flag("lm", "none")
    ('--budget-usd', '--lm none')
    """
    if listener() == "compile" and name == "out":
        return "log_dir"
    if listener() != "command line":
        return f"{name}={'' if value is None else repr(value)}"
    return f"--{name.replace('_', '-')}{'' if value is None else f' {value}'}"


def setting(name: str, value: Any) -> str:
    """Write a setting as the listener types it: a word of a shell, or an argument."""
    return shlex.quote(f"{name}={value}") if listener() == "command line" else f"{name}={value!r}"


class InputError(ValueError):
    """Bad input or configuration; `str(error)` is one sentence for the user."""


def input_error(error: ValidationError, where: str, prefix: str = "") -> InputError:
    """Format the first error that pydantic found: the key, where it is, and what was given."""
    first = error.errors()[0]
    ours = first.get("ctx", {}).get("error")
    if isinstance(ours, InputError):
        return ours
    key = ".".join(str(part) for part in first["loc"]) or "configuration"
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first["input"])
    shown = given if len(given) <= 200 else f"{given[:200]} …"
    return InputError(f"{prefix}{key} in {where} is wrong: {message[:1].lower()}{message[1:]} (given: {shown}).")
