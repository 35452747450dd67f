"""What a grid would ask and cost, row by row, before anything is spent (`--dry-run`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipo_prompts.experiments.compare.cell import FILE_NAME, run_config
from ipo_prompts.experiments.compare.grid import Entry, assumed_sizes
from ipo_prompts.experiments.run.beforehand import estimate
from ipo_prompts.experiments.run.live_view import money
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.programs.lm.ledger import total_usd


def forecast(found: Sequence[Entry]) -> dict[str, Any]:
    """Add up what every cell would ask; cells that are finished ask nothing. No picture is opened, nothing fetched.

    Returns:
        `rows` (label → `cells, finished, calls, tokens, usd, seconds, context`), and `cells, calls, tokens, usd,
        minutes` of all together; `assumed`, the official sizes of data sets that are not on this machine; `context`,
        what would be done to descriptions that do not fit into a question, and whose questions nothing bounds. `usd` is
        None where a price is not known. Replies that rows share through the cache count for each.

    Raises:
        InputError: there can be no such language model, or it cannot take the questions of a row.
    """
    labels = dict.fromkeys(entry.label for entry in found)
    rows = {label: _row([entry for entry in found if entry.label == label]) for label in labels}
    return {
        "rows": rows,
        "cells": len(found),
        "calls": sum(row["calls"] for row in rows.values()),
        "tokens": sum(row["tokens"] for row in rows.values()),
        "usd": total_usd(row["usd"] for row in rows.values()),
        "context": [line for row in rows.values() for line in row["context"]],
        "assumed": assumed_sizes(found),
        "minutes": round(sum(row["seconds"] for row in rows.values()) / 60, 1),
    }


def _row(found: Sequence[Entry]) -> dict[str, Any]:
    left = [entry for entry in found if not (entry.folder / FILE_NAME).is_file()]
    known: dict[str, dict[str, Any]] = {}
    told: dict[str, list[str]] = {}
    expected = []
    for cell, config in ((entry.cell, run_config(entry.cell)) for entry in left):
        if config is None:
            continue
        if cell.data not in known:  # the seed changes the pictures drawn, not their number
            known[cell.data] = estimate(plan(config, ready=False))
            context = known[cell.data]["context"]
            if context and (context["cut"] or context["tokens"] is None):
                told.setdefault(context["told"], []).append(cell.data)
        expected.append(known[cell.data])
    roles = [role for one in expected for role in (one["optimizer"], one["describer"]) if role]
    return {
        "cells": len(found),
        "finished": len(found) - len(left),
        "calls": sum(role["calls"] for role in roles),
        "tokens": sum(role["tokens_in"] + role["tokens_out"] for role in roles),
        "usd": total_usd([0.0, *(one["usd"] for one in expected)]),
        "seconds": sum(one["seconds"] for one in expected),
        "context": [f"{found[0].label} on {', '.join(data)}: {what}" for what, data in told.items()],
    }


def forecast_text(forecast: dict[str, Any]) -> str:
    """Format a forecast as text."""
    lines = [f"{'row':24} {'cells':>6} {'done':>6} {'calls':>9} {'tokens':>12}  price"]
    for label, row in forecast["rows"].items():
        lines.append(
            f"{label[:24]:24} {row['cells']:6,} {row['finished']:6,} {row['calls']:9,} {row['tokens']:12,}  "
            f"{money(row['usd'])}"
        )
    lines.append(
        f"together: {forecast['cells']:,} cells, {forecast['calls']:,} calls, {forecast['tokens']:,} tokens, "
        f"{money(forecast['usd'])}, about {forecast['minutes']:,} minutes of waiting for language models one after "
        "another; encoding pictures and texts comes on top. Nothing was asked yet."
    )
    lines += [f"{line}." for line in forecast["context"]]
    if forecast["assumed"]:
        lines.append(f"not on this machine, so their official sizes are assumed: {'; '.join(forecast['assumed'])}.")
    return "\n".join(lines)
