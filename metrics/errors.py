"""The error that is meant for a person.

Everything a user can fix is raised as `InputError`: one sentence that says what was found, where, and how to fix it.
The command line prints it and ends with exit code 2. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


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
