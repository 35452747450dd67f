"""A class of the user's own, chosen by the name `module:Class`, and imported from the current folder.

Who imports a module runs its code. So reading a name imports nothing, and whoever calls `load` has made sure that a
person typed it: `Registry.allow`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nearest import did_you_mean

_WORD = r"[^\W\d]\w*"
_NAME = re.compile(rf"(?=.{{1,100}}$){_WORD}(\.{_WORD})*:{_WORD}")
_PLAIN = TypeAdapter(dict[str, JsonValue], config=ConfigDict(strict=True))


def is_own(name: object) -> bool:
    """Whether a name is that of a class of the user's own.

    >>> is_own("mine:Waves"), is_own("my.waves:Waves"), is_own("history"), is_own("C:/waves.py")
    (True, True, False, False)
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def own_name(choice: object) -> str | None:
    """Return the name of a class of the user's own that a choice holds: bare or with settings; None for others."""
    name = choice.get("name") if isinstance(choice, Mapping) else choice
    return str(name) if is_own(name) else None


def as_given(settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return settings that are checked only when the class is imported; a file must be able to hold them.

    Raises:
        InputError: one of them is no text, number, truth value, list or table.
    """
    try:
        return dict(_PLAIN.validate_python(dict(settings)))
    except ValidationError as error:
        key = error.errors()[0]["loc"][0]
        raise InputError(
            f"the setting {key!r} of {what} is no text, number, list or table, and a file has to hold it."
        ) from error


def load(name: str, what: str) -> type:
    """Import the class `module:Class` from the current folder, or from what is installed; `what` asks for it.

    Raises:
        InputError: there is no such module or class, or its file cannot be imported.
    """
    module, _, attribute = name.partition(":")
    found = _imported(module, what)
    if not hasattr(found, attribute):
        known = [key for key, value in vars(found).items() if isinstance(value, type)]
        file = getattr(found, "__file__", None) or module
        raise InputError(f"{file} has no class {attribute!r}{did_you_mean(attribute, known)}; {what} asks for it.")
    if not isinstance(made := getattr(found, attribute), type):
        raise InputError(f"{what} is a {type(made).__name__} and no class; name a class.")
    return made


def _imported(module: str, what: str) -> Any:
    folder = os.getcwd()  # noqa: PTH109 - a text, as in sys.path
    importlib.invalidate_caches()  # the file may have been written a moment ago
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # what the file itself imports
            raise _blamed(error, what) from error
        raise InputError(
            f"there is no module {module!r} for {what}: neither in the current folder, {folder}, nor installed."
        ) from error
    except (Exception, SystemExit) as error:
        raise _blamed(error, what) from error
    finally:
        with suppress(ValueError):  # the file may have changed the path
            sys.path.remove(folder)


def check_members(made: type, members: Sequence[str], what: str, page: str) -> None:
    """Refuse a class that lacks a member; `page` of the documentation says what it needs.

    Raises:
        InputError: names what is missing.
    """
    if missing := [name for name in members if not hasattr(made, name)]:
        raise InputError(f"{what} has no {', '.join(missing)}; see docs/{page}.md.")


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Say of an exception where in the user's file it arose."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _blamed(error, what) from error


def _blamed(error: BaseException, what: str) -> InputError:
    place, said = _place(error), " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:
        place, said = f"{error.filename}, line {error.lineno}: ", error.msg
    return InputError(f"{what} cannot be used: {place}{type(error).__name__}: {said}".rstrip(". :") + ".")


def _place(error: BaseException) -> str:
    """Return the last line of the user's own code that an exception came through; empty where there is none."""
    steps = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals.get("__name__")).startswith(("ipo_prompts.", "importlib."))
    ]
    here = f"{Path.cwd()}{os.sep}"
    own = [step for step in steps if step[0].startswith(here) and "site-packages" not in step[0]] or steps
    return "{}, line {}: ".format(*own[-1]) if own else ""
