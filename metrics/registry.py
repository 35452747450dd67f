"""Choose classes by name: strategies and rewards, which have settings of their own, and methods.

A choice is written `{"name": "history", "size": 8}`, on the command line `strategy=history strategy.size=8`. A class of
the user's own is chosen by the name `module:Class`, and imported from the current folder or from what is installed.
Importing a module runs its code. So nothing is imported when a name is read, and a caller of `load` must have made sure
that a person typed the name: see `Registry.allow`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel, ValidationError

from ipo_prompts.metrics.errors import InputError, did_you_mean, input_error, reason

_WORD = r"[^\W\d]\w*"
_NAME = re.compile(rf"(?=.{{1,100}}$){_WORD}(\.{_WORD})*:{_WORD}")


def is_own(name: object) -> bool:
    """Whether a name has the form of a class of the user's own, `module:Class`.

    >>> is_own("mine:Waves"), is_own("my.waves:Waves"), is_own("history"), is_own("C:/waves.py")
    (True, True, False, False)
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def own_name(choice: object) -> str | None:
    """Return the name `module:Class` of a choice, which is a name or a name with settings.

    Return None if the choice is not a class of the user's own.
    """
    name = choice.get("name") if isinstance(choice, Mapping) else choice
    return str(name) if is_own(name) else None


def load(name: str, what: str) -> Any:
    """Import `module:Class` or `module:function` from the current folder, or from what is installed.

    Args:
        name: `module:Class` or `module:function`.
        what: the setting that names the class or function, for messages.

    Raises:
        InputError: there is no such module, class or function, or its file cannot be imported.
    """
    module, _, attribute = name.partition(":")
    folder = os.getcwd()  # noqa: PTH109 - a text, as in sys.path
    importlib.invalidate_caches()  # the file may have been written a moment ago
    sys.path.insert(0, folder)
    try:
        with blaming(what):
            found = importlib.import_module(module)
    finally:
        with suppress(ValueError):  # the file may have changed the path
            sys.path.remove(folder)
    made = getattr(found, attribute, None)
    if not callable(made):
        known = [key for key, value in vars(found).items() if callable(value)]
        raise InputError(f"{what} asks for {attribute!r}, and {module} has none{did_you_mean(attribute, known)}.")
    return made


def check_members(made: type, members: Sequence[str], what: str, page: str) -> None:
    """Refuse a class that lacks a member.

    Args:
        made: the class.
        members: the names of the members that the class must have.
        what: the name of the class in the message.
        page: the page of the documentation that lists the members, as `ipo docs PAGE` names it.

    Raises:
        InputError: a member is missing; the message names all missing members.
    """
    if missing := [name for name in members if not hasattr(made, name)]:
        raise InputError(f"{what} has no {', '.join(missing)}; see ipo docs {page}.")


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn an exception of the user's code into an `InputError` with the last line of the current folder's files.

    `what` names the class or function in the message.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        steps = traceback.extract_tb(error.__traceback__)
        own = [step for step in steps if step.filename.startswith(os.getcwd())]  # noqa: PTH109
        place = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
        raise InputError(f"{what} cannot be used: {place}{type(error).__name__}: {reason(error)}.") from error


NamedChoice = dict[str, Any]
"""A choice: the `name` of a class, and its settings."""


@dataclass(eq=False)
class Registry:
    """Names and their classes.

    A class is imported when it is first used. It may have `Settings`, a pydantic model of its settings.

    Args:
        key: the name of the choice in a configuration, such as `strategy`.
        package: the package that holds the files of `homes` and `own`.
        homes: name → `file:Class`.
        default: the name that is used if a choice has no name.
        own: `file:function`. The function checks a class of the user's own, and returns what `find` returns.
        word: the setting that a person types before the name; None if it is `key`.
    """

    key: str
    package: str
    homes: Mapping[str, str]
    default: str
    own: str
    word: str | None = None
    _allowed: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names that ship with IPO."""
        return iter(self.homes)

    def allow(self, choice: object) -> None:
        """Let `find` import the class of the user's own that a choice names.

        Call this only for a name that a person typed, never for a name that a file of a run holds.
        """
        if name := own_name(choice):
            self._allowed.add(name)

    def find(self, name: object) -> Any:
        """Return the class of a name.

        Raises:
            InputError: there is no such name; the message suggests the nearest name. Or a class of the user's own
                cannot be used, or was not allowed.
        """
        what = f"{self.key}={name}"
        if is_own(name):
            self.check_allowed(name)
            return resolve_name(f"{self.package}.{self.own}")(load(str(name), what), what)
        if isinstance(name, str) and name in self.homes:
            return resolve_name(f"{self.package}.{self.homes[name]}")
        near = [self.default] if self.default.startswith(str(name)) else self
        hint, names = did_you_mean(str(name), near), ", ".join(self)
        raise InputError(f"there is no {self.key} {name!r}{hint}; there are: {names}, or MODULE:CLASS of your own.")

    def check_allowed(self, choice: object) -> None:
        """Refuse a class of the user's own that was not allowed by `allow`.

        Raises:
            InputError: the choice names such a class.
        """
        if (name := own_name(choice)) and name not in self._allowed:
            raise InputError(
                f"{self.key}={name} is code, and code is only run where a person types its name; if you trust it, add "
                f"`{self.word or self.key}={name}` to `ipo optimize` or `ipo benchmark`."
            )

    def settings(self, choice: NamedChoice) -> Any:
        """Check the settings of a choice. Return them as the pydantic model of the class, with defaults filled in.

        Raises:
            InputError: there is no such name or setting (the message suggests the nearest), a value is of the wrong
                kind, or a setting without a default is missing.
        """
        values = dict(choice)
        name = values.pop("name", self.default)
        form = getattr(self.find(name), "Settings", NoSettings)
        if not (isinstance(form, type) and issubclass(form, BaseModel)):
            raise InputError(f"Settings of {self.key}={name} is no pydantic model; derive it from pydantic.BaseModel.")
        for key in values:
            if key not in form.model_fields:
                raise InputError(
                    f"the {self.key} {name!r} has no setting {key!r}{did_you_mean(str(key), form.model_fields)}; it "
                    f"has {', '.join(form.model_fields) or 'none'}."
                )
        try:
            return form.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "missing":
                raise InputError(f"the {self.key} {name!r} needs {self.key}.{first['loc'][0]}=VALUE.") from error
            raise input_error(error, f"the {self.key} {name!r}", f"{self.key}.") from error

    def complete(self, choice: object) -> NamedChoice:
        """Return a choice with all its settings, defaults included, as plain values.

        `choice` may also be a name alone. A class of the user's own is not imported. Its settings are returned as
        given, and `settings` checks them later.

        Raises:
            InputError: see `settings`.
        """
        if not isinstance(choice, dict):
            choice = {"name": choice}
        if name := own_name(choice):
            return {**choice, "name": name}
        return {"name": choice.get("name", self.default), **self.settings(choice).model_dump(mode="json")}

    def build(self, choice: NamedChoice, *context: Any) -> Any:
        """Build an object of the class that a choice names.

        `context` are the arguments that the class's `build` takes after the settings. A class without `build` is called
        with its settings as keywords.

        Raises:
            InputError: see `settings`. Or the user's code fails; the message says at which place of its file.
        """
        name, settings = choice.get("name", self.default), self.settings(choice)
        made = self.find(name)
        with blaming(f"{self.key}={name}"):
            return made.build(settings, *context) if hasattr(made, "build") else made(**dict(settings))


class NoSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of a class without settings."""
