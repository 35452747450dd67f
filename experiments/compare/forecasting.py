"""What a grid would cost at most (`ipo benchmark GRID --dry-run`): a table of rows and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipo_prompts.experiments.compare.cell import FILE_NAME, run_config
from ipo_prompts.experiments.compare.grid import GridCell
from ipo_prompts.experiments.run.plan import estimate, plan
from ipo_prompts.metrics.errors import at_most
from ipo_prompts.programs.lm.ledger import total_usd


def forecast(found: Sequence[GridCell]) -> dict[str, Any]:
    """Forecast the calls, tokens and most cost of all unfinished cells. No picture is opened, nothing is fetched.

    Returns:
        - `rows`: label → `cells, finished, calls, tokens, usd, seconds, data` of the row. `data` has the `usd`
          of each data set. `seconds` are of waiting for language models.
        - `cells, calls, tokens, usd, minutes`: totals. `usd` is the most; None where a price is not known. Replies that
          rows share through the cache count for each row.
        - `pictures`: data set → the pictures of a cell, for the data sets where a row asks a language model.

    Raises:
        InputError: there is no such language model.
    """
    pictures: dict[str, int] = {}
    labels = dict.fromkeys(entry.label for entry in found)
    rows = {label: _row([entry for entry in found if entry.label == label], pictures) for label in labels}
    return {
        "rows": rows,
        "cells": len(found),
        "calls": sum(row["calls"] for row in rows.values()),
        "tokens": sum(row["tokens"] for row in rows.values()),
        "usd": total_usd(row["usd"] for row in rows.values()),
        "pictures": pictures,
        "minutes": round(sum(row["seconds"] for row in rows.values()) / 60, 1),
    }


def _row(found: Sequence[GridCell], pictures: dict[str, int]) -> dict[str, Any]:
    """Return the forecast of a row."""
    left = [entry for entry in found if not (entry.folder / FILE_NAME).is_file()]
    known: dict[str, dict[str, Any]] = {}
    for entry in left:
        data = entry.cell.data
        config = run_config(entry.cell)
        if data not in known and config:
            known[data] = estimate(plan(config, ready=False))  # no seed changes the number of pictures
            pictures.setdefault(data, known[data]["pictures"])
    expected = {data: [known[data]] * sum(entry.cell.data == data for entry in left) for data in known}
    all_of_it = [one for of_data in expected.values() for one in of_data]
    roles = [role for one in all_of_it for role in (one["optimizer"], one["describer"]) if role]
    return {
        "cells": len(found),
        "finished": len(found) - len(left),
        "calls": sum(role["calls"] for role in roles),
        "tokens": sum(role["tokens_in"] + role["tokens_out"] for role in roles),
        "usd": total_usd([0.0, *(one["usd"] for one in all_of_it)]),
        "seconds": sum(one["seconds"] for one in all_of_it),
        "data": {data: total_usd(one["usd"] for one in of_data) for data, of_data in expected.items()},
    }


def forecast_text(forecast: dict[str, Any]) -> str:
    """Format a forecast as a table of rows and data sets."""
    asked = [row for row in forecast["rows"].values() if row["calls"]]
    sets = list(dict.fromkeys(data for row in asked for data in row["data"]))
    wide = [max(7, min(14, len(data))) for data in sets]
    head = " ".join(f"{data[-width:]:>{width}}" for data, width in zip(sets, wide, strict=True))
    lines = [f"{'at most $':24} {'cells':>6} {'done':>6} {head} {'together':>9} {'minutes':>8}"]
    for label, row in forecast["rows"].items():
        of_data = [row["data"].get(data, 0.0) for data in sets]
        shown = " ".join(f"{_short(usd):>{width}}" for usd, width in zip(of_data, wide, strict=True))
        lines.append(
            f"{label[:24]:24} {row['cells']:6,} {row['finished']:6,} {shown} {_short(row['usd']):>9} "
            f"{row['seconds'] / 60:8,.0f}"
        )
    counts = " ".join(f"{forecast['pictures'].get(data, 0):>{width},}" for data, width in zip(sets, wide, strict=True))
    lines += [f"{'pictures of a cell':24} {'':6} {'':6} {counts}"] if sets else []
    if not asked:
        lines.append(f"together: {forecast['cells']:,} cells; what is left asks no language model and costs nothing.")
    else:
        lines.append(
            f"together: {forecast['cells']:,} cells, {forecast['calls']:,} calls, at most {forecast['tokens']:,} "
            f"tokens, {at_most(forecast['usd'])}, about {forecast['minutes']:,} minutes of waiting for language models "
            "one after another; encoding pictures and texts comes on top. Nothing was asked yet."
        )
    return "\n".join(lines)


def _short(usd: float | None) -> str:
    return "?" if usd is None else "-" if usd == 0 else f"{usd:,.2f}" if usd >= 0.01 else "<0.01"
