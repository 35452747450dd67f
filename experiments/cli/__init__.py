"""The commands of `ipo`, one file each; `data` and `models` have sub-commands."""

from ipo.experiments.cli.data import data_app
from ipo.experiments.cli.models import models_app

__all__ = ["data_app", "models_app"]
