"""All settings of a run, as help and reference show them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple, get_args, get_origin

from ipo_prompts.experiments.run.config import CHOSEN, RunConfig


class Setting(NamedTuple):
    """A setting as help and reference show it."""

    name: str
    default: Any
    description: str
    allowed: tuple[str, ...] = ()


def settings(chosen: Collection[str] | None = None) -> list[Setting]:
    """Return every setting in order; those of strategies and rewards follow the key that names them.

    Args:
        chosen: the strategies and rewards whose own settings are wanted, no other is imported; None for all.
    """
    rows: list[Setting] = []
    for name, field in RunConfig.model_fields.items():
        registry = CHOSEN.get(name)
        allowed = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        default = registry.default if registry else field.default
        rows.append(Setting(name, default, field.description or "", allowed))
        own: dict[str, tuple[Any, list[str]]] = {}
        for choice in (one for one in registry or () if chosen is None or one in chosen):
            for key, one in registry.find(choice).Settings.model_fields.items() if registry else ():
                own.setdefault(key, (one, []))[1].append(choice)
        for key, (one, choices) in own.items():
            needed = None if one.is_required() else one.default
            rows.append(Setting(f"{name}.{key}", needed, f"of {', '.join(choices)}: {one.description}"))
    return rows
