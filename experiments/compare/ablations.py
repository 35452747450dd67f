"""The published ablations as they stand below a grid's table: what the paper's own runs gave, each with its source."""

from __future__ import annotations

from typing import Any

from ipo.experiments.compare.published import Ablation, library

SETTINGS = tuple(dict.fromkeys(part for one in library().ablations for part in one.setting.split(", ")))
"""What was varied in them."""


def ablations_of(setting: str | None) -> list[Ablation]:
    """Return the published ablations that vary a setting, alone or with another; none for None."""
    return [one for one in library().ablations if setting in one.setting.split(", ")]


def to_markdown(ablations: list[Ablation]) -> str:
    """Return one section for each ablation: its values, where they were measured, and their source."""
    return "".join(_section(one) for one in ablations)


def to_records(ablations: list[Ablation]) -> list[dict[str, Any]]:
    """Return the ablations as JSON holds them; percent."""
    return [one.model_dump() for one in ablations]


def _section(ablation: Ablation) -> str:
    columns = list(dict.fromkeys(column for values in ablation.values.values() for column in values))
    lines = [
        f"| {ablation.factor} | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
        *(
            f"| {value} | {' | '.join(f'{found[column]:.2f}' if column in found else '' for column in columns)} |"
            for value, found in ablation.values.items()
        ),
    ]
    checked = "" if ablation.checked else " Not checked against the source."
    note = f" {ablation.note}" if ablation.note else ""
    source = f"Percent, {ablation.where}. Source: {ablation.source}.{checked}{note}"
    return f"\n### Published: {ablation.factor}\n\n" + "\n".join(lines) + f"\n\n{source}\n"
