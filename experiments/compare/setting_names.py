"""The names under which grids and sweeps write the settings of a run."""

from __future__ import annotations

from ipo_prompts.experiments.run.config import CHOSEN
from ipo_prompts.experiments.run.settings import settings


def setting_names() -> list[str]:
    """Return the names of all settings, those of strategies and rewards with dots."""
    return [*(setting.name for setting in settings()), *(f"{key}.name" for key in CHOSEN)]
