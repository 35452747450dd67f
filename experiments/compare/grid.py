"""Reads a grid from its file and lists its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from ipo_prompts.experiments.compare.cell import Cell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import ProtocolName
from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.embedded.shifts import canonical
from ipo_prompts.experiments.run.config import CHOSEN, nested, overlaid
from ipo_prompts.experiments.run.config import settings as settings_of_a_run
from ipo_prompts.experiments.run.files import Content, allow_typed, read_settings, read_words
from ipo_prompts.metrics.errors import InputError, did_you_mean, input_error
from ipo_prompts.metrics.registry import is_own
from ipo_prompts.programs.trust import GRID_FILE, check_typed

CONFIGS = files("ipo_prompts.experiments.compare") / "configs"
CELLS = "cells"
"""The folder of the cells in a grid's folder."""
LONGEST_NAME = 100
"""The most characters of a folder's name; file systems allow 255 bytes."""


Ablated = Literal["describer", "history_size", "initial_template", "lm", "train_images"]
"""The settings that published ablations varied."""
Settings = Annotated[dict[str, Any], AfterValidator(nested)]
"""Settings of a run; `strategy.name` in a file is read as a mapping within `strategy`."""


class Variant(Content):
    """A row of the table: a label, a method, and the row's own settings besides the settings of the grid."""

    label: str = Field(min_length=1)
    method: str
    settings: Settings = Field({})

    @property
    def is_plain(self) -> bool:
        """Whether the row stands for its method: by its label or, if the method does not ship, without settings."""
        return self.label == self.method or (self.method not in METHODS and not self.settings)


class GridConfig(Content):
    """The content of a grid file; unknown keys are errors. `published` names an ablation to print below the table."""

    title: str
    protocol: ProtocolName = Field(None, validate_default=True)  # so that the error names the protocols
    data: list[str] = Field(min_length=1)
    targets: list[str] = Field([])
    methods: list[Variant] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    reference: str = "baseline"
    published: Ablated | None = None
    settings: Settings = Field({})

    @field_validator("data", "targets", mode="before")
    @classmethod
    def _listed(cls, names: Any) -> Any:
        """Return a list of names, for names that were written as `one,two` on the command line."""
        return [name.strip() for name in names.split(",")] if isinstance(names, str) else names

    @field_validator("methods", mode="before")
    @classmethod
    def _named(cls, methods: Any) -> Any:
        """Turn each bare name into a row: the method of that name without settings of its own."""
        if not isinstance(listed := cls._listed(methods), list):
            return listed
        return [{"label": entry, "method": entry} if isinstance(entry, str) else entry for entry in listed]

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, seeds: Any) -> Any:
        """Turn a number N into the seeds 0 … N-1."""
        if not isinstance(seeds, int) or isinstance(seeds, bool):
            return cls._listed(seeds)
        return list(range(seeds))

    @field_validator("data", "targets")
    @classmethod
    def _spelled_out(cls, specs: list[str]) -> list[str]:
        """Replace each spec by its canonical form, so that a set of transformations has one name only."""
        return [canonical(spec) for spec in specs]

    @field_validator("data", "targets", "seeds", "methods")
    @classmethod
    def _once(cls, entries: list[Any]) -> list[Any]:
        """Refuse an entry that is listed twice: two workers could do it at the same time, in one folder."""
        names = [entry.label if isinstance(entry, Variant) else entry for entry in entries]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is there twice; leave one out, or give a row another label")
        return entries

    @model_validator(mode="after")
    def _has_reference(self) -> GridConfig:
        labels = [variant.label for variant in self.methods]
        for variant in self.methods:
            if not is_own(variant.method):
                METHODS.find(variant.method)
        if self.reference not in labels:
            raise ValueError(
                f"the reference {self.reference!r} is no row{did_you_mean(self.reference, labels)}; add it to the "
                f"methods, or write reference={labels[0]} (it can be {', '.join(labels)})"
            )
        return self

    def to_yaml(self) -> str:
        """Return the complete grid as YAML."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)


def shipped() -> list[str]:
    """Return the names of the shipped grids."""
    return sorted(entry.name.removesuffix(".yaml") for entry in CONFIGS.iterdir())


def load_grid(name: str, words: Sequence[str] | Mapping[str, Any] = ()) -> GridConfig:
    """Read a grid.

    Args:
        name: a YAML file, or the name of a shipped grid.
        words: words `key=value`, or values by key. The key is a key of the grid, or a setting that all methods share.

    Raises:
        InputError: there is no such file or grid, a key is unknown (the message names the nearest key), or a value has
            the wrong kind. Or the file is that of a grid that was begun, and names code or a server that the words do
            not name.
    """
    file = _file(name)
    given = dict(words) if isinstance(words, Mapping) else read_words(words)
    values = _with_given(read_settings(file), given)
    try:
        grid = GridConfig.model_validate(values)
    except ValidationError as error:
        raise _worded(error, name) from error
    typed = nested(given)
    allow_typed(typed)
    ours = file.name == GRID_FILE and (file.parent / CELLS).is_dir()
    code: list[tuple[Any, str, object]] = [(METHODS, "methods", row.method) for row in grid.methods]
    code += [(sources, "data", grid.data), (sources, "targets", grid.targets)]
    for registry, key, chosen in code:
        if not ours or key in typed:
            registry.allow(chosen)
        registry.check_allowed(chosen)
    for row in grid.methods:
        settings = overlaid(grid.settings, row.settings)
        if ours:
            check_typed(settings, typed, f"the grid in {file.parent}")
        else:  # a person wrote the file
            allow_typed(settings)
    return grid


def _file(name: str) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    if name not in shipped():
        known = shipped()
        near = did_you_mean(name, known)
        raise InputError(f"there is no grid {name!r}{near}; give a YAML file or one of: {', '.join(known)}.")
    return Path(str(CONFIGS / f"{name}.yaml"))


def _with_given(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    known = [*GridConfig.model_fields, *(one.name for one in settings_of_a_run()), *(f"{key}.name" for key in CHOSEN)]
    strange = next((key for key in given if key not in known), None)
    if strange is not None:
        raise InputError(
            f"unknown key {strange!r}{did_you_mean(strange, known)}; give a key of the grid or a setting of a run."
        )
    values = {**values, **{key: value for key, value in given.items() if key in GridConfig.model_fields}}
    shared = {key: value for key, value in given.items() if key not in GridConfig.model_fields}
    settings = values.get("settings", {})
    if shared and isinstance(settings, dict) and all(isinstance(key, str) for key in settings):
        values["settings"] = overlaid(nested(settings), nested(shared))
    return values


def _worded(error: ValidationError, name: str) -> InputError:
    # Report an unknown key before a missing key: a misspelt key causes both errors.
    for one in error.errors():
        if one["type"] == "extra_forbidden":
            *parents, key = one["loc"]
            known = Variant.model_fields if parents else GridConfig.model_fields
            return InputError(f"unknown key {str(key)!r} in {name}{did_you_mean(str(key), known)}.")
    return input_error(error, name)


def entries(grid: GridConfig, folder: Path) -> list[Cell]:
    """Return the grid's cells in the order in which they are done.

    All cells of one seed come before those of the next seed, so that a grid that is stopped has complete seeds.
    """
    settings = {row.label: overlaid(grid.settings, row.settings) for row in grid.methods}
    return [
        Cell(
            *(grid.protocol, data, row.method, seed, tuple(grid.targets), settings[row.label]),
            label=row.label,
            is_plain=row.is_plain,
            folder=folder / CELLS / _slug(data) / _slug(row.label) / f"seed-{seed}",
        )
        for seed in grid.seeds
        for data in grid.data
        for row in grid.methods
    ]


def _slug(name: str) -> str:
    """Return a folder's name for a data set or a row. If the name is too long, its beginning is cut off."""
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name)[-LONGEST_NAME:].strip("-.") or "unnamed"
