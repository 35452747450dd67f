"""The configuration of a run: a pydantic model, its settings as help shows them, and differences from publications.

The published settings are from Du, Sun and Snoek, NeurIPS 2024 (arXiv 2410.15397), and from their code,
https://github.com/lmsdss/IPO.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.device import AUTO, Precision
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import Registry, is_own
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.redaction import check_address
from ipo_prompts.programs.search_settings import LIMITS, SearchSettings, preset
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import asks_lm, needs_lm
from ipo_prompts.programs.trust import OWN_DESCRIPTIONS

FREE_KEYS = LIMITS | {"track", "device"}
"""The settings that may change when a run is resumed, such as a limit or the device."""

COLUMNS = ("image", "label", "split")
"""The settings that name columns of a table."""

USUAL = (
    *("data", "clip", "lm", "strategy", "steps", "classifier", "names", "class_names", "exclude"),
    *("shots", "val_shots", "seed", "budget_usd", "verdict", "device"),
)
"""The settings that `ipo optimize --help` lists: those that people use. `--help-all` lists all."""

CHOSEN: dict[str, Registry] = {"strategy": STRATEGIES, "reward": REWARDS}
"""The registry of each setting that names a class with its own settings: `strategy=NAME strategy.KEY=VALUE`."""


class JobSettings(BaseModel):
    """The settings of a run that are not settings of its search, such as its images and models."""

    preset: Literal["default", "paper", "code"] = Field(
        "default", description="settings to start from: IPO's own, the paper's, or those of the paper's code"
    )
    data: str = Field("embedded", description="folder:PATH, table:PATH, hf:NAME, or a name from `ipo data list`")
    task: str | None = Field(
        None, description="one sentence that says what the images show; unset: IPO makes it from the class names"
    )
    class_names: str | dict[Any, Any] | None = Field(
        None,
        description="a YAML or JSON file: for each class its name in prompts, or a list of synonyms; unset: "
        "classes.yaml in the folder of images",
    )
    exclude: list[str] = Field([], description="classes to leave out, such as '[dog, n02084071]'")
    image: str | None = Field(None, description="the column of a table that holds images; unset: image")
    label: str | None = Field(None, description="the column of a table that holds classes; unset: label")
    split: str | None = Field(None, description="the column of a table that holds train, val or test; unset: split")
    skip_unreadable: bool = Field(False, description="leave out images that cannot be read, and say how many")
    clip: str = Field("embedded", description="embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…")
    device: str = Field(
        AUTO,
        description="where the CLIP runs: cpu, cuda, cuda:1, mps or auto",
    )
    precision: Precision = Field(
        "fp32",
        description="precision of the CLIP. OpenAI's code uses fp16 on a GPU. On a CPU fp16 is several times slower",
    )
    verdict: Literal["plain", "balanced"] = Field(
        "plain",
        description="plain: each test image counts the same; balanced: each class counts the same, whatever its size",
    )
    reward: dict[str, Any] = Field(
        {"name": REWARDS.default},
        validate_default=True,
        description=f"what is maximised: {', '.join(REWARDS)}, or MODULE:CLASS of your own. `ipo optimize "
        "reward=NAME --help` lists its settings, reward.KEY=VALUE",
    )
    strategy: dict[str, Any] = Field(
        {"name": STRATEGIES.default},
        validate_default=True,
        description=f"how new templates are found: {', '.join(STRATEGIES)}, or MODULE:CLASS of your own. `ipo "
        "optimize strategy=NAME --help` lists its settings, strategy.KEY=VALUE",
    )
    lm: str = Field(
        "local", description="local, local/small|base|large, local/PATH.gguf, a litellm name, replay/RUN, none"
    )
    lm_api_base: str | None = Field(None, description="address of an OpenAI-compatible server for lm")
    temperature: float = Field(1.0, gt=0, le=2, description="sampling temperature of the language models")
    max_tokens: int = Field(1024, ge=16, description="longest reply of a language model, in tokens")
    describer: str = Field(
        "none",
        description="what describes train images: none, a multimodal litellm name, or "
        "file:PATH, a file of descriptions, one a line",
    )
    describer_api_base: str | None = Field(None, description="address of an OpenAI-compatible server for the describer")
    describer_question: Literal["default", "paper", "code"] = Field(
        "default",
        description="the question to a multimodal describer: IPO's own, the paper's, or that of the paper's code",
    )
    described_images: int = Field(16, ge=1, description="how many train images a multimodal describer sees at most")
    shots: int = Field(4, ge=1, description="how many train images each class has at most")
    val_shots: int = Field(2, ge=0, description="how many validation images each class has at most; 0: none")
    train_images: int | None = Field(
        None, ge=2, description="the number of train images on which templates are scored; unset: all"
    )
    classes: Literal["all", "base-to-new"] = Field(
        "all", description="base-to-new: search on the first half of the classes, test on both halves"
    )
    test: bool = Field(
        True,
        description="no: the test images stay closed, as for one of many runs of a sweep; `--resume RUN "
        "test=yes` tests the finished run",
    )
    track: Literal["none", "wandb"] = Field("none", description="wandb: log the run in Weights & Biases")


class RunConfig(SearchSettings, JobSettings):
    """All settings of a run. They are all written to `config.yaml`; an unknown key is an error."""

    @field_validator("strategy", "reward", mode="before")
    @classmethod
    def _complete(cls, choice: Any, info: ValidationInfo) -> Any:
        return CHOSEN[str(info.field_name)].complete(choice)

    @field_validator("class_names", mode="before")
    @classmethod
    def _read(cls, names: Any) -> Any:
        if not isinstance(names, str):
            return names
        from ipo_prompts.experiments.data.load import read_class_names

        return read_class_names(names)

    @field_validator("data")
    @classmethod
    def _under_one_name(cls, spec: str) -> str:
        from ipo_prompts.experiments.embedded.shifts import canonical

        return canonical(spec)

    @field_validator("lm_api_base", "describer_api_base")
    @classmethod
    def _holds_no_secret(cls, address: str | None) -> str | None:
        if address is not None:
            check_address(address)
        return address

    @model_validator(mode="after")
    def _has_a_language_model(self) -> RunConfig:
        if not is_own(self.strategy["name"]):  # the user's own strategy is imported when the run begins
            self.check_lm()
        return self

    def check_lm(self) -> None:
        """Refuse lm=none with a strategy that needs a language model.

        Raises:
            InputError: the strategy needs a language model; the message says what to set.
        """
        if self.lm == "none" and needs_lm(STRATEGIES.find(self.strategy["name"])):
            without = ", ".join(name for name in STRATEGIES if not needs_lm(STRATEGIES.find(name)))
            raise InputError(
                f"the strategy {self.strategy['name']!r} asks a language model and lm=none names none; name one with "
                f"--lm, or choose strategy={without}."
            )

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a table that the user named."""
        return self.model_dump(include={*COLUMNS}, exclude_none=True)

    @property
    def about_data(self) -> dict[str, Any]:
        """The settings that describe data, as keyword arguments of `load_data`."""
        own = self.model_dump(include={"class_names", "exclude", "skip_unreadable"})
        return {**own, "clean": self.names != "as-is", "columns": self.columns}

    @property
    def check_command(self) -> str:
        """The command that checks the images of the run."""
        from ipo_prompts.experiments.data.load import check_command

        return check_command(self.data, self.exclude, self.columns)

    @property
    def asks_lm(self) -> bool:
        """Whether the search asks a language model."""
        return self.lm != "none" and asks_lm(STRATEGIES.find(self.strategy["name"]))

    def to_yaml(self) -> str:
        """Return the complete configuration as YAML."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)

    def differs_from(self, other: RunConfig) -> str | None:
        """Return the first setting that differs and is not among `FREE_KEYS`; None if no such setting differs."""
        mine, theirs = self.model_dump(), other.model_dump()
        return next((key for key in mine if key not in FREE_KEYS and mine[key] != theirs[key]), None)


# Dictionaries of settings. The settings of a strategy are nested below `strategy`, those of a reward below `reward`.


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with those such as `strategy.size` gathered in a dictionary below `strategy`.

    >>> nested({"strategy": "history", "strategy.size": 8, "steps": 3})
    {'steps': 3, 'strategy': {'name': 'history', 'size': 8}}
    """
    plain = {key: value for key, value in values.items() if key.partition(".")[0] not in CHOSEN}
    for key in CHOSEN:
        whole = values.get(key)
        choice = dict(whole) if isinstance(whole, dict) else {} if whole is None else {"name": whole}
        prefix = f"{key}."
        choice |= {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
        if choice:
            plain[key] = choice
    return plain


def dotted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with those of a strategy or reward written with a dot; this undoes `nested`.

    >>> dotted({"strategy": {"name": "history", "size": 8}, "steps": 3})
    {'strategy.name': 'history', 'strategy.size': 8, 'steps': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        chosen = key in CHOSEN and isinstance(value, dict)
        flat |= {f"{key}.{name}": one for name, one in value.items()} if chosen else {key: value}
    return flat


def overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return the nested settings of both dictionaries; a setting of `above` replaces that of `below`.

    The settings of a strategy or reward in `below` are kept only if `above` names no other strategy or reward.
    """
    result = {**below, **above}
    for key, registry in CHOSEN.items():
        if key in below and key in above:
            name = below[key].get("name", registry.default)
            if above[key].get("name", name) == name:
                result[key] = {**below[key], **above[key]}
    return result


# Settings as help shows them, and published settings.


class Setting(NamedTuple):
    """A setting as the help and the reference show it."""

    name: str
    default: Any
    description: str
    allowed: tuple[str, ...] = ()


def settings(chosen: Collection[str] | None = None) -> list[Setting]:
    """Return all settings in order; the settings of strategies and rewards follow the key `strategy` or `reward`.

    Args:
        chosen: the names of the strategies and rewards whose settings are wanted; only these are imported. None: all
            strategies and rewards.
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
        for key, (one, owners) in own.items():
            needed = None if one.is_required() else one.default
            rows.append(Setting(f"{name}.{key}", needed, f"of {', '.join(owners)}: {one.description}"))
    return rows


CONFIGS = files("ipo_prompts.experiments.run") / "configs"
PUBLISHED_CLIP = ("ViT-B-16/openai", "ViT-B-16-quickgelu/openai")
"""The two names of the CLIP with which all published results were made."""
OPTIMIZER, DESCRIBER = "GPT-3.5-turbo", "MiniCPM-V-2"
SOURCE = {"paper": "the paper", "code": "the paper's code"}
MOST_IMAGES = 500
"""The most images that the paper describes: one of each base class of ImageNet."""


def shipped_configs(prefix: str = "") -> list[str]:
    """Return the names of the shipped configurations that begin with `prefix`; each is a published setup, complete."""
    return sorted(entry.name.removesuffix(".yaml") for entry in CONFIGS.iterdir() if entry.name.startswith(prefix))


def shipped_config(name: str) -> Path | None:
    """Return the file of a shipped configuration; None if no shipped configuration has this name."""
    return Path(str(CONFIGS / f"{name}.yaml")) if name in shipped_configs() else None


def differences(config: RunConfig) -> list[str]:
    """Return the settings of a run that differ from the publication that its preset names.

    Returns:
        Words such as "shots=4 (1)", with the published value in brackets. Empty with the default preset.
    """
    if config.preset == "default":
        return []
    without = config.preset == "paper" and config.shots == 16  # the paper's second setting has no descriptions
    published = {
        "clip": PUBLISHED_CLIP[0],
        "lm": OPTIMIZER,
        "shots": 16 if without else 1,
        "describer": "none" if without else DESCRIBER,
        "described_images": MOST_IMAGES,
        "classes": "base-to-new",
        "initial_template": BASELINE,
        "reward.name": REWARDS.default,
        "temperature": 1.0,
        **dotted(preset(config.preset)),
        "describer_question": config.preset,
    }
    has = dotted(config.model_dump())
    same = {key for key in ("lm", "describer") if has[key].casefold().endswith(published[key].casefold())}
    if config.clip in PUBLISHED_CLIP:
        same.add("clip")
    if config.describer.startswith(("none", OWN_DESCRIPTIONS)):  # no language model is asked to describe images
        same |= {"described_images", "describer_question"}
    if config.described_images >= MOST_IMAGES:
        same.add("described_images")
    if config.data.startswith("imagenet"):  # in its table across data sets, the paper searches on all its classes
        same.add("classes")
    if config.preset == "paper":  # which does not tell its temperature
        same.add("temperature")
    # A strategy may lack a setting that the published strategy has.
    return [
        f"{key}={_word(has[key])} ({_word(value)})"
        for key, value in published.items()
        if key not in same and has.get(key, value) != value
    ]


def about_preset(config: RunConfig) -> list[str]:
    """Say which settings the preset of a run sets, and which settings differ from the publication.

    Returns:
        One or two lines; empty for the default preset.
    """
    if config.preset == "default":
        return []
    source = SOURCE[config.preset]
    keys = ", ".join([*preset(config.preset), "describer_question"])
    lines = [f"preset={config.preset} sets {keys} as in {source}."]
    if found := differences(config):
        line = f"not as in {source}, whose value is in brackets: {', '.join(found)}"
        if len(found) > 1:
            line += f"; `ipo optimize {' or '.join(shipped_configs(config.preset))}` sets the rest too"
        lines.append(f"{line}.")
    return lines


def _word(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
