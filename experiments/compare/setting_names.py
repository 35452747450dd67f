"""The names under which grids and sweeps set what a run can be told."""

from __future__ import annotations

from ipo.experiments.run.config import CHOSEN, RunConfig, dotted, nested


def setting_names() -> list[str]:
    """Return the names of all settings, those of strategies and rewards with dots."""
    forms = [(key, registry.find(name).Settings) for key, registry in CHOSEN.items() for name in registry]
    own = [f"{key}.{field}" for key, form in forms for field in ("name", *form.model_fields)]
    return list(dict.fromkeys([*RunConfig.model_fields, *own]))


def todays_names(*names: str) -> set[str]:
    """Return names as given, and as they are written today."""
    return {*names, *dotted(nested(dict.fromkeys(names, ""), note=False))}
