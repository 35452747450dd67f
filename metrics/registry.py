"""Choose classes by name: strategies and rewards, which have settings of their own, and methods.

A choice is written `{"name": "history", "size": 8}`, on the command line `strategy=history strategy.size=8`. A class of
the user's own is chosen by the name `module:Class`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from ipo_prompts.metrics.errors import InputError, did_you_mean, input_error, nearest

# A class of the user's own is imported from the current folder.
#
# Importing a module runs its code. So nothing is imported when a name is read. A caller of `load` must have made sure
# that a person typed the name: see `Registry.allow`.


_WORD = r"[^\W\d]\w*"
_NAME = re.compile(rf"(?=.{{1,100}}$){_WORD}(\.{_WORD})*:{_WORD}")
_PLAIN = TypeAdapter(dict[str, JsonValue], config=ConfigDict(strict=True))


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


def as_given(settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the settings of a class that is not imported yet. Check only that a file can hold the values.

    Raises:
        InputError: a setting is not a text, number, truth value, list or table.
    """
    try:
        return dict(_PLAIN.validate_python(dict(settings)))
    except ValidationError as error:
        key = error.errors()[0]["loc"][0]
        raise InputError(
            f"the setting {key!r} of {what} is no text, number, list or table, and a file has to hold it."
        ) from error


def load(name: str, what: str, kind: Literal["class", "function"] = "class") -> Any:
    """Import `module:Class` or `module:function` from the current folder, or from what is installed.

    Args:
        name: `module:Class` or `module:function`.
        what: the setting that names the class or function, for messages.
        kind: whether `name` must be a class or a function.

    Raises:
        InputError: there is no such module, class or function, or its file cannot be imported.
    """
    fits = inspect.isclass if kind == "class" else callable
    module, _, attribute = name.partition(":")
    found = _imported(module, what)
    if not hasattr(found, attribute):
        known = [key for key, value in vars(found).items() if fits(value)]
        file = getattr(found, "__file__", None) or module
        raise InputError(f"{file} has no {kind} {attribute!r}{did_you_mean(attribute, known)}; {what} asks for it.")
    if not fits(made := getattr(found, attribute)):
        raise InputError(f"{what} is a {type(made).__name__} and no {kind}; name a {kind}.")
    return made


def _imported(module: str, what: str) -> Any:
    """Import a module from the current folder, or from what is installed; `what` is as in `load`."""
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
    """Refuse a class that lacks a member.

    Args:
        made: the class.
        members: the names of the members that the class must have.
        what: the name of the class in the message.
        page: the page of the documentation that lists the members, as `ipo docs PAGE` names it.

    Raises:
        InputError: a member is missing; the message names all missing members.
    """
    abstract = getattr(made, "__abstractmethods__", ())
    if missing := [name for name in members if not hasattr(made, name) or name in abstract]:
        raise InputError(f"{what} has no {', '.join(missing)}; see ipo docs {page}.")


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn an exception of the user's code into an `InputError` with the file and line where the exception arose.

    `what` names the class or function in the message.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _blamed(error, what) from error


def _blamed(error: BaseException, what: str) -> InputError:
    """Return an exception of the user's code as an `InputError` with the file and line where the exception arose."""
    place, said = _place(error), " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:
        place, said = f"{error.filename}, line {error.lineno}: ", error.msg
    return InputError(f"{what} cannot be used: {place}{type(error).__name__}: {said}".rstrip(". :") + ".")


def _place(error: BaseException) -> str:
    """Return the file and number of the last line of the user's code that an exception passed through.

    If no line is in the current folder, return the last line outside of IPO. If there is none, return "".
    """
    steps = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals.get("__name__")).startswith(("ipo_prompts.", "importlib", "pkgutil"))
    ]
    here = f"{Path.cwd()}{os.sep}"
    own = [step for step in steps if step[0].startswith(here) and "site-packages" not in step[0]] or steps
    return "{}, line {}: ".format(*own[-1]) if own else ""


NamedChoice = dict[str, Any]
"""A choice: the `name` of a class, and its settings."""


class Registry:
    """Names and their classes.

    A class is imported when it is first used. It has `Settings`, a pydantic model of its settings, and
    `build(settings, …)`. The function `own` wraps a class that has not both.

    Args:
        key: the name of the choice in a configuration, such as `strategy`.
        package: the package that holds the files of `homes` and `own`.
        homes: name → `file:Class`.
        default: the name that is used if a choice has no name.
        own: `file:function`. The function wraps a class of the user's own, or a class of `homes` without `Settings` or
            `build`; `find` returns the result.
        word: the setting that a person types before the name; None if it is `key`.
    """

    def __init__(
        self, key: str, package: str, homes: Mapping[str, str], default: str, own: str, word: str | None = None
    ) -> None:
        self.key = key
        self._word = word or key
        self.default = default
        self._package = package
        self._homes = dict(homes)
        self._own = own
        self._allowed: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names that ship with IPO."""
        return iter(self._homes)

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
            made = load(str(name), what)
        elif isinstance(name, str) and name in self._homes:
            made = resolve_name(f"{self._package}.{self._homes[name]}")
            if hasattr(made, "Settings") and hasattr(made, "build"):
                return made
        else:
            hint, names = did_you_mean(str(name), self), ", ".join(self)
            raise InputError(f"there is no {self.key} {name!r}{hint}; there are: {names}, or MODULE:CLASS of your own.")
        return resolve_name(f"{self._package}.{self._own}")(made, what)

    def check_allowed(self, choice: object) -> None:
        """Refuse a class of the user's own that was not allowed by `allow`.

        Raises:
            InputError: the choice names such a class.
        """
        if (name := own_name(choice)) and name not in self._allowed:
            raise InputError(
                f"{self.key}={name} is code, and code is only run where a person types its name; if you trust it, add "
                f"`{self._word}={name}` to `ipo optimize` or `ipo benchmark`."
            )

    def settings(self, choice: NamedChoice) -> Any:
        """Check the settings of a choice. Return them as the pydantic model of the class, with defaults filled in.

        Raises:
            InputError: there is no such name or setting (the message suggests the nearest), a value is of the wrong
                kind, or a setting without a default is missing.
        """
        values = dict(choice)
        name = values.pop("name", self.default)
        form: type[BaseModel] = self.find(name).Settings
        for key in values:
            if key not in form.model_fields:
                raise InputError(self._no_setting(str(key), name, form))
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
            return as_given({**choice, "name": name}, f"{self.key}={name}")
        return {"name": choice.get("name", self.default), **self.settings(choice).model_dump(mode="json")}

    def build(self, choice: NamedChoice, *context: Any) -> Any:
        """Build an object of the class that a choice names.

        `context` are the arguments that the class's `build` takes after the settings.

        Raises:
            InputError: see `settings`.
        """
        return self.find(choice.get("name", self.default)).build(self.settings(choice), *context)

    def _no_setting(self, key: str, name: str, form: type[BaseModel]) -> str:
        """Return the message for a setting `key` that the choice `name` does not have.

        The message names the other choices that have this setting. If none has it, the message suggests the nearest
        setting of `name`.
        """
        owners = [other for other in self if key in self.find(other).Settings.model_fields]
        if owners:
            return (
                f"{self.key}.{key} is a setting of {self.key}={', '.join(owners)}, and this is {self.key}={name}; "
                f"write {self.key}={owners[0]} too, or leave {self.key}.{key} out."
            )
        near = nearest(key, form.model_fields, cutoff=0.0)
        hint = f"did you mean {self.key}.{near[0]}?" if near else "it has none."
        return f"the {self.key} {name!r} has no setting {key!r}; {hint}"


class NoSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of a class without settings."""


def settings_of(made: type, what: str) -> type[BaseModel]:
    """Return the pydantic model `Settings` of a class of the user's own; `NoSettings` if the class has none.

    Raises:
        InputError: `Settings` is not a pydantic model.
    """
    form = getattr(made, "Settings", NoSettings)
    if not (isinstance(form, type) and issubclass(form, BaseModel)):
        raise InputError(f"Settings of {what} is no pydantic model; derive it from pydantic.BaseModel.")
    return form
