"""Before a grid is run: its checks, and a forecast of what it costs at most. Nothing is asked, fetched or opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare.cell import Cell, run_config, shared_config
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import laid_out, other_tests
from ipo_prompts.experiments.data.published import absent
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import estimate, plan
from ipo_prompts.experiments.run.result import RESULT
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.errors import InputError, at_most
from ipo_prompts.programs.lm.ledger import total_usd


def check_grid(found: Sequence[Cell]) -> None:
    """Refuse a grid that cannot be run, before its first cell. Names, settings, folders and data sets are checked.

    No image is opened and no model is loaded.

    Raises:
        InputError: what is wrong, in one sentence; or, with a sentence for each cause, which data sets cannot be used.
    """
    kinds: dict[Any, tuple[Cell, RunConfig]] = {}
    for cell in found:
        shared = shared_config(cell)
        run_config(cell)  # refuses settings that the method lacks
        kind = (cell.data, cell.targets, shared.clip, shared.shots, shared.val_shots)  # no seed: all draw alike
        kinds.setdefault(kind, (cell, shared))
    _check_folders(found)
    for name in sorted({shared.clip for _, shared in kinds.values()}):
        check_name(name)
    broken: dict[object, tuple[str, list[str]]] = {}  # one cause → what is wrong, and with which data
    for cell, shared in kinds.values():
        try:
            other_tests(cell.protocol, laid_out(shared), cell.targets, shared)
        except InputError as error:
            data = broken.setdefault(absent(cell.data) is not None or str(error), (str(error), []))[1]
            data += [] if cell.data in data else [cell.data]
    if broken:
        whose = len({cell.data for cell, _ in kinds.values()}) > 1
        causes = [f"{', '.join(data)}: {why}" if whose else why for why, data in broken.values()]
        raise InputError(" ".join(causes))


def searches(found: Sequence[Cell]) -> dict[str, RunConfig]:
    """Return label of a row → the configuration of the row's search, for the rows that search."""
    rows = {entry.label: entry for entry in found}  # seeds and images do not change the models
    return {label: config for label, entry in rows.items() if (config := run_config(entry))}


def _check_folders(found: Sequence[Cell]) -> None:
    owners: dict[Path, Cell] = {}
    for entry in found:
        if entry.label in METHODS and entry.label != entry.method:
            raise InputError(
                f"the row {entry.label!r} has the method {entry.method!r}; name no row after another method."
            )
        other = owners.setdefault(Path(str(entry.folder).casefold()), entry)
        if other is not entry:
            what, first, second = "rows", other.label, entry.label
            if first == second:
                what, first, second = "data sets", other.data, entry.data
            raise InputError(f"the {what} {first!r} and {second!r} would share a folder; rename one.")


def forecast(found: Sequence[Cell]) -> dict[str, Any]:
    """Forecast the calls, tokens and most cost of all unfinished cells. No image is opened, nothing is fetched.

    Returns:
        - `cells, finished`: the number of all cells, and of those that are finished.
        - `calls, tokens, usd, minutes`: sums over the other cells. `usd` is the most; None where a price is not known.
          `minutes` are of waiting for language models. Replies that rows share through the cache count for each row.
        - `missing`: the data sets that are not on this machine; their published sizes are assumed.

    Raises:
        InputError: there is no such language model.
    """
    left = [entry for entry in found if not (entry.folder / RESULT).is_file()]
    known: dict[tuple[str, str], dict[str, Any] | None] = {}  # no seed changes the number of images
    asked: list[dict[str, Any]] = []
    for entry in left:
        kind = (entry.label, entry.data)
        if kind not in known:
            config = run_config(entry)
            known[kind] = estimate(plan(config, ready=False)) if config else None
        if told := known[kind]:
            asked.append(told)
    data = dict.fromkeys(name for entry in found for name in (entry.data, *entry.targets))
    return {
        "missing": [name for name in data if absent(name)],
        "cells": len(found),
        "finished": len(found) - len(left),
        "calls": sum(role["calls"] for one in asked for role in (one["optimizer"], one["describer"]) if role),
        "tokens": sum(one["tokens"] for one in asked),
        "usd": total_usd(one["usd"] for one in asked),
        "minutes": round(sum(one["seconds"] for one in asked) / 60, 1),
    }


def forecast_text(forecast: dict[str, Any]) -> str:
    """Format a forecast as a few lines of text."""
    lines = [f"together: {forecast['cells']:,} cells; what is left asks no language model and costs nothing."]
    if forecast["calls"]:
        lines = [
            f"together: {forecast['cells']:,} cells, {forecast['calls']:,} calls, at most {forecast['tokens']:,} "
            f"tokens, {at_most(forecast['usd'])}, about {forecast['minutes']:,} minutes of waiting for language models "
            "one after another; encoding images and texts comes on top. Nothing was asked yet."
        ]
    if forecast["finished"]:
        lines.append(f"finished already: {forecast['finished']:,} of these cells")
    if forecast["missing"]:
        lines.append(f"not on this machine, so their published sizes are assumed: {', '.join(forecast['missing'])}")
    return "\n".join(lines)
