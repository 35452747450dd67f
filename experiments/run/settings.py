"""All settings of a run, as help and the reference show them; the published ones beside those of a run.

Sources of what is published: Du, Sun and Snoek, NeurIPS 2024 (arXiv 2410.15397), and its code,
https://github.com/lmsdss/IPO.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from ipo_prompts.experiments.run.config import ASK_NO_MODEL, CHOSEN, RunConfig
from ipo_prompts.experiments.run.reading import dotted
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.template import ANCHOR
from ipo_prompts.programs.templates.settings import preset


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


CONFIGS = files("ipo_prompts.experiments.run") / "configs"
PUBLISHED_CLIP = ("ViT-B-16/openai", "ViT-B-16-quickgelu/openai")
"""What all published rows were made with, by both of its names."""
OPTIMIZER, DESCRIBER = "GPT-3.5-turbo", "MiniCPM-V-2"
SOURCE = {"paper": "the paper", "code": "the paper's code"}
MOST_PICTURES = 500
"""One picture of each base class of ImageNet, the most that the paper describes."""


def shipped_configs(prefix: str = "") -> list[str]:
    """Return the names of the shipped configurations, each a published setting as a whole."""
    return sorted(entry.name.removesuffix(".yaml") for entry in CONFIGS.iterdir() if entry.name.startswith(prefix))


def shipped_config(name: str) -> Path | None:
    """Return the file of a shipped configuration; None when there is none of this name."""
    return Path(str(CONFIGS / f"{name}.yaml")) if name in shipped_configs() else None


def differences(config: RunConfig) -> list[str]:
    """Return each setting that is not the one of the publication that the run's preset names, with the published value.

    Returns:
        Words such as "shots=4 (1)". Empty without such a preset.
    """
    if config.preset == "default":
        return []
    has = dotted(config.model_dump())
    sets = dotted({**preset(config.preset), "describer_question": config.preset})
    if config.describer in ASK_NO_MODEL:
        del sets["describer_question"]  # nobody is asked
    # Another strategy may lack a setting of the published one.
    found = [f"{key}={_word(has[key])} ({_word(value)})" for key, value in sets.items() if has.get(key, value) != value]
    return [*(f"{key}={_word(has[key])} ({value})" for key, value in _beside(config).items()), *found]


def about_preset(config: RunConfig) -> list[str]:
    """Say in a line or two what the preset of a run sets, and what is not as published; nothing without one."""
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


def _beside(config: RunConfig) -> dict[str, str]:
    """Return what no preset sets and the run has otherwise, with the published value."""
    without = config.preset == "paper" and config.shots == 16
    described = "none" if without else DESCRIBER
    right = {
        "clip": (config.clip in PUBLISHED_CLIP, PUBLISHED_CLIP[0]),
        "lm": (config.lm.casefold().endswith(OPTIMIZER.casefold()), OPTIMIZER),
        "shots": (
            config.shots == 1 or without,
            "1 with descriptions, or 16 without" if config.preset == "paper" else "1",
        ),
        "describer": (
            config.describer == "none" if without else config.describer.casefold().endswith(DESCRIBER.casefold()),
            described,
        ),
        "described_pictures": (
            config.describer in ASK_NO_MODEL or config.described_pictures >= MOST_PICTURES,
            "every picture",
        ),
        "search_pictures": (config.search_pictures is None, "every picture"),
        # Its table across data sets is searched on all classes of ImageNet.
        "classes": (config.classes == "base-to-new" or config.data.startswith("imagenet"), "base-to-new"),
        "initial_template": (config.initial_template == ANCHOR, ANCHOR),
        "reward.name": (config.reward["name"] == REWARDS.default, REWARDS.default),
        "offsets": (config.offsets == "none", "none"),
        "names": (config.names == "given", "given"),
        "head": (config.head == "words", "words"),
        "temperature": (config.preset == "paper" or config.temperature == 1, "1.0"),
    }
    return {key: published for key, (holds, published) in right.items() if not holds}


def _word(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
