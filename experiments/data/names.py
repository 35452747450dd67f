"""What classes are called, as somebody wrote it: `classes.yaml` beside the class folders, or `class_names` of a run.

    road_sign: [road sign, traffic sign]
    n02084071: dog

The first name of a class stands in prompts and in what is shown; the others are synonyms. A class that is not listed
keeps its own name. The order of the labels stays that of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data.dataset import DataSet, default_task
from ipo_prompts.metrics.class_names import as_read, every_name, named, tidy
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.files import read_yaml
from ipo_prompts.metrics.template import SLOT, problem

NAMES_FILE = "classes.yaml"
MAX_CHARACTERS = 100
"""Of one name: a template has to fit beside it."""
MAX_NAMES = 20
"""Of one class: each is one more text to encode for every template."""


def read_names(file: Path) -> Mapping[Any, Any]:
    """Read a file of names; `with_names` checks what it says.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    content = read_yaml(file, "the class names")
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no table of classes; write a line for each, such as road_sign: [road sign].")
    return content


def with_names(data: DataSet, names: Mapping[Any, Any], where: str) -> DataSet:
    """Return the same pictures under other class names.

    Args:
        data: the data set, its classes named as in the source.
        names: class as the source spells it → its name, or a list of its name and synonyms.
        where: what the names were written in, for messages.

    Raises:
        InputError: an unknown class, a name that is no text, empty, too long or unusable, or that two classes share.
    """
    given: dict[str, tuple[str, ...]] = {}
    for key, value in names.items():
        if not isinstance(key, str):
            raise InputError(
                f"{where} has the class {key}, which YAML does not read as text; write '{key}': in quotes."
            )
        own = tidy(key)
        if own not in data.class_names:
            raise InputError(
                f"{where} names the class {key!r}, which is not in the data{did_you_mean(own, data.class_names)}; "
                f"write a class as the data do, such as {data.class_names[0]!r}, or remove the line."
            )
        given[own] = _checked(value, f"{where}: the class {key!r}", own)
    classes = tuple(named(given.get(name, (name,))) for name in data.class_names)
    owner: dict[str, str] = {}
    for own, name in zip(data.class_names, classes, strict=True):
        for one in every_name([name]):
            other = owner.setdefault(as_read(one), own)
            if other != own:
                raise InputError(
                    f"{where} calls both {other!r} and {own!r} {one!r}; take it from one of them, or join the classes."
                )
    task = default_task(classes) if data.task == default_task(data.class_names) else data.task
    return replace(data, class_names=classes, task=task, renamed_from=data.class_names)


def _checked(value: Any, what: str, own: str) -> tuple[str, ...]:
    """Return the names of one class; `what` says whose they are."""
    texts = value if isinstance(value, list) else [value]
    if not 1 <= len(texts) <= MAX_NAMES:
        raise InputError(f"{what} has {len(texts)} names; write 1 to {MAX_NAMES}, such as {own}: [road sign].")
    found: list[str] = []
    for text in texts:
        if text is None or (isinstance(text, str) and not as_read(text)):
            raise InputError(f"{what} has an empty name; write one, or remove the line to keep {own!r}.")
        if isinstance(text, (dict, list)):
            raise InputError(f"{what} has a name that is no text; write {own}: [road sign, traffic sign].")
        if not isinstance(text, str):
            raise InputError(f"{what} has the name {text}, which YAML does not read as text; write '{text}' in quotes.")
        name = tidy(text)
        if len(name) > MAX_CHARACTERS:
            raise InputError(
                f"{what} has a name of {len(name)} characters, more than {MAX_CHARACTERS}; shorten {name[:40] + '…'!r}."
            )
        reason = f"it has {SLOT}, which stands for the name in templates" if SLOT in name else problem(f"{SLOT} {name}")
        if reason:
            raise InputError(f"{what} has the name {name!r}, and {reason}; write it as plain text.")
        if as_read(name) in map(as_read, found):
            raise InputError(f"{what} has the name {name!r} twice; write it once.")
        found.append(name)
    return tuple(found)
