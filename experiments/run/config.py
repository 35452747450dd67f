"""The configuration of a run: one model, filled from a preset, a YAML file and `key=value` words, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ipo.metrics.errors import InputError
from ipo.metrics.nearest import nearest
from ipo.metrics.template import ANCHOR, problem

FREE_KEYS = frozenset({"budget_usd", "budget_tokens", "max_minutes", "track"})
"""What may change when a run is resumed: a run that a budget stopped goes on under a larger one."""


class RunConfig(BaseModel):
    """Everything that decides a run's result. Written whole to `config.yaml`; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["default", "paper", "code"] = Field(
        "default", description="settings to start from: ours, the paper's, or those of the paper's code"
    )
    data: str = Field(
        "embedded", description="embedded[:NAME], folder:, csv:, parquet:, hf:, or a name of `ipo data list`"
    )
    task: str | None = Field(
        None, description="one sentence on what the pictures are; worded from the classes if unset"
    )
    clip: str = Field("embedded", description="embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…")
    lm: str = Field("local", description="local, local/small|base|large, local/PATH.gguf, a litellm name, replay/RUN")
    lm_api_base: str | None = Field(None, description="address of an OpenAI-compatible server for lm")
    temperature: float = Field(1.0, gt=0, le=2, description="of the optimizer LLM")
    max_tokens: int = Field(1024, ge=16, description="longest reply of a language model, in tokens")
    describer: str = Field("clip", description="clip (no language model), none, or a multimodal litellm name")
    describer_api_base: str | None = Field(None, description="address of an OpenAI-compatible server for the describer")
    described_pictures: int = Field(16, ge=1, description="search pictures that a multimodal describer sees at most")
    shots: int = Field(4, ge=1, description="base pictures per class that the search sees")
    selection_shots: int = Field(
        2, ge=0, description="base pictures per class that choose the winner; 0: cross-validate"
    )
    search_pictures: int | None = Field(
        None, ge=2, description="score on so many of the base pictures drawn to search with; unset: all"
    )
    classes: Literal["all", "base-to-new"] = Field(
        "all", description="base-to-new: search on the first half of the classes, test on both halves"
    )
    also_fit: list[str] = Field(
        [], description="data sets that a template will meet later: it must be short enough for their class names too"
    )
    steps: int = Field(12, ge=1, description="how often the language model is asked")
    candidates_per_step: int = Field(5, ge=1, le=100, description="templates per step")
    history_size: int = Field(12, ge=0, description="scored templates that the language model sees; 0 for none")
    history_scores: Literal["own", "shuffled"] = Field(
        "own", description="shuffled: each template is shown with another's score (a control)"
    )
    initial_template: str = Field(ANCHOR, description="where the search starts, and what it is compared with")
    pin_initial: bool = Field(True, description="always show the initial template")
    floor: float = Field(0.0, ge=0, le=1, description="accuracy under which templates are not shown")
    selection: Literal["held-back", "search"] = Field("held-back", description="which pictures choose the winner")
    patience: int | None = Field(12, ge=1, description="stop after so many steps without a better template")
    seed: int = Field(0, ge=0, description="of the pictures drawn and of the language model")
    budget_usd: float | None = Field(None, gt=0, description="stop before this many US dollars are spent")
    budget_tokens: int | None = Field(None, gt=0, description="stop before this many tokens are used")
    max_minutes: float | None = Field(None, gt=0, description="stop after this many minutes")
    track: Literal["none", "wandb"] = Field("none", description="where else the run is logged: Weights & Biases")

    @field_validator("initial_template")
    @classmethod
    def _usable(cls, template: str) -> str:
        reason = problem(template)
        if reason:
            raise ValueError(f"{template!r} cannot be used: {reason}")
        return template

    def to_yaml(self) -> str:
        """Return the complete configuration as YAML."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)

    def differs_from(self, other: RunConfig) -> str | None:
        """Name the first key that would change the result, or None; limits may differ."""
        mine, theirs = self.model_dump(), other.model_dump()
        return next((key for key in mine if key not in FREE_KEYS and mine[key] != theirs[key]), None)


def is_begun(config: RunConfig, folder: Path, instead: str = "another folder") -> bool:
    """Whether a run directory holds a run of this configuration, to go on with.

    Raises:
        InputError: it holds a run of another one; `instead` is what to choose.
    """
    file = folder / "config.yaml"
    if not file.exists():
        return False
    key = config.differs_from(load_config(file))
    if key:
        raise InputError(f"{folder} holds a run with another {key}; choose {instead}.")
    return True


def load_config(file: Path | None, words: Sequence[str] = (), **flags: Any) -> RunConfig:
    """Fill the configuration.

    Args:
        file: a YAML file of keys and values, or None.
        words: `key=value`, the value read as YAML.
        flags: values from the command line; None means not given. They win.

    Raises:
        InputError: unreadable file, unknown key (the nearest known one is named), or a value of the wrong kind.
    """
    values = read_yaml(file) if file else {}
    values |= read_words(words)
    values |= {key: value for key, value in flags.items() if value is not None}
    return build(values, where=str(file) if file else "the command line")


def build(values: dict[str, Any], where: str) -> RunConfig:
    """Check values and lay them over their preset.

    Raises:
        InputError: see `load_config`.
    """
    for key in values:
        if key not in RunConfig.model_fields:
            near = nearest(key, RunConfig.model_fields, cutoff=0.0)[0]
            raise InputError(f"unknown key {key!r} in {where}; did you mean {near!r}?")
    preset = values.get("preset", "default")
    if preset in ("paper", "code"):
        from ipo.programs.optimizer import IPO

        values = IPO.preset(preset) | values
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "configuration"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{key} in {where} is wrong: {message[:1].lower()}{message[1:]} (given: {first['input']!r})."
        ) from error


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the configuration {file}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{file} holds {type(content).__name__}, not a table of keys and values.")
    return content


def read_words(words: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` words, the values as YAML; those of text settings stay text.

    Raises:
        InputError: a word has another form.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.removeprefix("--").partition("=")
        if word.startswith("--") and not equals:
            near = nearest(key.replace("-", "_"), RunConfig.model_fields, cutoff=0.0)[0]
            raise InputError(
                f"there is no flag {word!r}; did you mean {near}=VALUE, or a flag of `ipo optimize --help`?"
            )
        if not equals or not key:
            raise InputError(f"cannot read {word!r}; settings are written key=value, such as steps=50.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        # In a text field, `a photo: <CLASS>` or `no` is text and not a table or a truth value.
        field = RunConfig.model_fields.get(key)
        is_text = field is not None and (field.annotation is str or str in get_args(field.annotation))
        # Agents of a W&B sweep word null as Python does.
        values[key] = None if text == "None" else text if is_text and value is not None else value
    return values
