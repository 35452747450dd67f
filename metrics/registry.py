"""Things that are chosen by name and have settings of their own: strategies and rewards.

A choice is written `{"name": "history", "size": 8}`, on the command line `strategy=history strategy.size=8`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ipo_prompts.metrics.errors import InputError, input_error
from ipo_prompts.metrics.nearest import did_you_mean, nearest

NamedChoice = dict[str, Any]
"""`name`, and the settings that belong to it."""


class Registry:
    """Names and their classes; a class is imported when it is first used.

    A class has `Settings`, a pydantic model of its settings, and `build(settings, …)`.

    Args:
        key: what the choice is called in a configuration, such as `strategy`.
        package: the package of the files.
        homes: name → `file:Class`.
        default: the name when none is given.
    """

    def __init__(self, key: str, package: str, homes: Mapping[str, str], default: str) -> None:
        self.key = key
        self.default = default
        self._package = package
        self._homes = dict(homes)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._homes)

    def find(self, name: object) -> Any:
        """Return the class of a name.

        Raises:
            InputError: there is no such name; the nearest is named.
        """
        if not isinstance(name, str) or name not in self._homes:
            hint = did_you_mean(str(name), self)
            raise InputError(f"there is no {self.key} {name!r}{hint}; there are: {', '.join(self)}.")
        file, _, attribute = self._homes[name].partition(":")
        return getattr(importlib.import_module(f"{self._package}.{file}"), attribute)

    def settings(self, choice: NamedChoice) -> Any:
        """Check the settings of a choice and fill in their defaults; return the model.

        Raises:
            InputError: no such name, an unknown setting (the nearest is named), or a value of the wrong kind.
        """
        values = dict(choice)
        name = self._name(values)
        values.pop("name", None)
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
        """Return a choice with all its settings as plain values; a bare name is a choice too.

        Raises:
            InputError: see `settings`.
        """
        if not isinstance(choice, dict):
            choice = {"name": choice}
        return {"name": self._name(choice), **self.settings(choice).model_dump(mode="json")}

    def build(self, choice: NamedChoice, *context: Any) -> Any:
        """Build what a choice names; `context` is what its `build` takes besides the settings.

        Raises:
            InputError: see `settings`.
        """
        return self.find(self._name(choice)).build(self.settings(choice), *context)

    def _name(self, choice: NamedChoice) -> Any:
        return choice.get("name", self.default)

    def _no_setting(self, key: str, name: str, form: type[BaseModel]) -> str:
        """Say whose setting it is, or else which one of this choice is spelled like it."""
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
    """For a class without settings."""
