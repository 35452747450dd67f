"""`ipo benchmark`: a grid of experiments to a table with intervals and verdicts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ipo.experiments.commands.pulling import ensure_local_weights
from ipo.experiments.executors import Executor, Failure, make_executor
from ipo.experiments.grid import (
    Entry,
    GridConfig,
    MoneySpent,
    Progress,
    check,
    entries,
    load_grid,
    run_grid,
    table_of,
    write_table,
)
from ipo.experiments.result import write_text
from ipo.experiments.run import check_writable
from ipo.experiments.ui import money
from ipo.metrics.errors import InputError
from ipo.programs.lm.connect import is_local


def run(
    name: str,
    words: Sequence[str],
    *,
    out: Path | None,
    executor: str,
    budget_usd: float | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Do what the command says; return the exit code."""
    grid = load_grid(name, words)
    workers = make_executor(executor)
    folder = out or Path("runs") / Path(name).stem
    found = entries(grid, folder)
    check(found)
    if dry_run:
        forecast = _forecast(found)
        print(json.dumps(forecast, indent=2) if as_json else _forecast_text(forecast))
        return 0
    _fetch_weights(found)
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "grid.lock", timeout=0):
            return _run(grid, found, folder, workers, budget_usd, as_json=as_json, quiet=quiet)
    except Timeout as error:
        raise InputError(
            f"another process works on the grid in {folder}; wait for it or choose another --out."
        ) from error


def _run(
    grid: GridConfig,
    found: Sequence[Entry],
    folder: Path,
    executor: Executor,
    budget_usd: float | None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    write_text(folder / "grid.yaml", grid.to_yaml())
    try:
        contents = run_grid(found, executor, (lambda progress: None) if quiet else _tell, budget_usd)
    except MoneySpent as stopped:
        print(f"stopped early: {stopped}; go on with a larger --budget-usd and the same --out.", file=sys.stderr)
        return 3
    table = table_of(grid, found, contents)
    write_table(table, folder)
    print(table.to_json() if as_json else table.to_markdown())
    failed = [(entry, content) for entry, content in zip(found, contents, strict=True) if isinstance(content, Failure)]
    for entry, failure in failed:
        print(f"ipo: {_name(entry)} failed ({failure.kind}: {failure.message})", file=sys.stderr)
    print(f"{folder}/table.md, table.csv, table.json; each cell in {folder}/cells", file=sys.stderr)
    if failed:
        print("the same command does the failed cells again.", file=sys.stderr)
    return 1 if failed else 0


def _tell(progress: Progress) -> None:
    content = progress.content
    if isinstance(content, Failure):
        found = f"failed: {content.message}"
    elif content["absent"]:
        found = content["absent"]
    else:
        found = ", ".join(f"{name} {100 * score['accuracy']:.2f}" for name, score in content["scores"].items())
    left = "" if not progress.left else f", about {_clock(progress.left)} left"
    line = f"{progress.done}/{progress.total}  {_name(progress.entry)}: {found}  ({money(progress.usd)}{left})"
    print(line, file=sys.stderr)


def _name(entry: Entry) -> str:
    return f"{entry.cell.data}  {entry.label}  seed {entry.cell.seed}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _fetch_weights(found: Sequence[Entry]) -> None:
    from ipo.experiments.protocols import run_config

    for name in {config.lm for entry in found if (config := run_config(entry.cell))}:
        if is_local(name):
            ensure_local_weights(name)


def _forecast(found: Sequence[Entry]) -> dict[str, Any]:
    """Add up what every cell would ask; cells that are finished ask nothing."""
    from ipo.experiments.estimate import estimate
    from ipo.experiments.protocols import FILE_NAME, run_config
    from ipo.experiments.run import plan

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
            known[key] = estimate(config, plan(config))
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


def _forecast_text(forecast: dict[str, Any]) -> str:
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
