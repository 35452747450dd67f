"""What a grid would ask and cost, row by row, before anything is spent (`--dry-run`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipo.experiments.compare.cell import FILE_NAME, run_config
from ipo.experiments.compare.grid import Entry
from ipo.experiments.run.estimate import estimate
from ipo.experiments.run.live_view import money
from ipo.experiments.run.plan import plan


def forecast(found: Sequence[Entry]) -> dict[str, Any]:
    """Add up what every cell would ask; cells that are finished ask nothing. No picture is opened, nothing fetched.

    Returns:
        `rows` (label → `cells, finished, calls, tokens, usd, seconds`), and `cells, calls, tokens, usd, minutes` of all
        together. `usd` is None where a price is not known. Replies that rows share through the cache count for each.

    Raises:
        InputError: there can be no such language model.
    """
    rows: dict[str, dict[str, Any]] = {}
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in found:
        row = rows.setdefault(
            entry.label, {"cells": 0, "finished": 0, "calls": 0, "tokens": 0, "usd": 0.0, "seconds": 0}
        )
        row["cells"] += 1
        if (entry.folder / FILE_NAME).is_file():
            row["finished"] += 1
            continue
        config = run_config(entry.cell)
        if config is None:
            continue
        key = (entry.label, entry.cell.data)  # the seed changes the pictures drawn, not their number
        if key not in known:
            known[key] = estimate(plan(config, ready=False))
        asked = [role for role in (known[key]["optimizer"], known[key]["describer"]) if role]
        row["calls"] += sum(role["calls"] for role in asked)
        row["tokens"] += sum(role["tokens_in"] + role["tokens_out"] for role in asked)
        row["usd"] = None if None in (row["usd"], known[key]["usd"]) else row["usd"] + known[key]["usd"]
        row["seconds"] += known[key]["seconds"]
    prices = [row["usd"] for row in rows.values()]
    return {
        "rows": rows,
        "cells": len(found),
        "calls": sum(row["calls"] for row in rows.values()),
        "tokens": sum(row["tokens"] for row in rows.values()),
        "usd": None if None in prices else sum(prices),
        "minutes": round(sum(row["seconds"] for row in rows.values()) / 60, 1),
    }


def forecast_text(forecast: dict[str, Any]) -> str:
    """Format a forecast for a person."""
    lines = [f"{'row':24} {'cells':>6} {'done':>6} {'calls':>9} {'tokens':>12}  price"]
    for label, row in forecast["rows"].items():
        lines.append(
            f"{label[:24]:24} {row['cells']:6,} {row['finished']:6,} {row['calls']:9,} {row['tokens']:12,}  "
            f"{money(row['usd'])}"
        )
    return "\n".join(
        [
            *lines,
            f"together: {forecast['cells']:,} cells, {forecast['calls']:,} calls, {forecast['tokens']:,} tokens, "
            f"{money(forecast['usd'])}, about {forecast['minutes']:,} minutes of waiting for language models one after "
            "another; encoding pictures and texts comes on top. Nothing was asked yet.",
        ]
    )
