"""The command `ipo benchmark`: run a grid of experiments, and make a table with intervals and verdicts."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli import common
from ipo_prompts.experiments.cli.app import new_app
from ipo_prompts.metrics.errors import InputError

EXAMPLES = common.examples(
    "ipo benchmark embedded --dry-run",
    "ipo benchmark embedded --executor ray",
    "ipo benchmark main-1-shot lm=openai/gpt-4o-mini --budget-usd 20",
    "ipo benchmark my-grid.yaml seeds=5",
)


app = new_app()


@app.command(epilog=EXAMPLES, context_settings=common.WORDS)
def benchmark(
    grid: Annotated[
        str,
        typer.Argument(
            help="a grid file, or the name of a shipped grid",
            metavar="GRID[.yaml]",
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="keys of the grid, or settings of all methods")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the folder for the cells; default runs/GRID", metavar="DIR")] = None,
    executor: common.Executor = "here",
    gpu_share: common.GpuShare = None,
    budget_usd: Annotated[float | None, typer.Option(help="stop when the cells have cost this many US dollars")] = None,
    dry_run: common.DryRun = False,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> int:
    """Run a grid of data sets, methods and seeds, and make a table. The same command resumes a grid that was killed.

    The command also writes all cells to one file, `cells.jsonl.gz`. From this file alone,
    `ipo report cells.jsonl.gz` makes the same tables; with --out it also writes them.
    """
    from ipo_prompts.experiments.compare.documents import (
        ENDING,
        check_kept,
        documents,
        keep,
        outcomes_of,
        print_documents,
        table_of,
        write_documents,
    )
    from ipo_prompts.experiments.compare.executors import Failure, make_executor
    from ipo_prompts.experiments.compare.grid import entries, load_grid
    from ipo_prompts.experiments.compare.runner import (
        check_grid,
        check_models,
        forecast,
        forecast_text,
        locked,
        run_all,
        searches,
    )
    from ipo_prompts.experiments.data.published import absent
    from ipo_prompts.experiments.run.files import check_writable, write_text
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.programs.trust import GRID_FILE

    folder = out or Path("runs") / Path(grid).stem
    if grid.endswith(ENDING):
        raise InputError(f"the cells of {grid} are done; make their tables with `ipo report {shlex.quote(grid)}`.")
    config = load_grid(grid, words or [])
    workers = make_executor(executor, gpus=gpu_share)
    ui = Ui(0, quiet=quiet)
    found = entries(config, folder)
    gone = [data for data in config.data if absent(data)]
    checked = found
    if dry_run:
        checked = [entry for entry in found if not any(map(absent, (entry.cell.data, *entry.cell.targets)))]
    elif gone and gone != config.data:
        ui.say(f"not on this machine, so left out: {', '.join(gone)}")
        found = [entry for entry in found if entry.cell.data not in gone]
        checked = found
    check_grid(checked)
    if dry_run:
        common.show(
            {**forecast(found), "places": f"{workers.places()}."},
            lambda told: f"{forecast_text(told)}\n{told['places']}",
            as_json,
        )
        return 0
    check_writable(folder)
    check_kept(folder)
    configs = searches(found)
    ui.fetch([*configs.values()])
    check_models(configs, budget_usd)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        before = [entry.finished() for entry in found]
        write_text(folder / GRID_FILE, config.to_yaml())
        contents, stopped = run_all(found, before, workers, ui.say, budget_usd)
        outcomes = outcomes_of(contents)
        config = config.model_copy(update={"data": [data for data in config.data if data not in gone] or gone})
        table = table_of(config, found, outcomes)
        if table is not None:
            texts = documents(config, table)
            write_documents(texts, folder)
            why_not = keep(folder, config, found, outcomes)
            print_documents(table, texts, as_json, f"the whole table: {folder}/table.md")
            ui.say(f"{folder}/{', '.join(texts)}; each cell in {folder}/cells{why_not}")
    failed: dict[str, list[str]] = {}
    for entry, content in zip(found, contents, strict=True):
        if isinstance(content, Failure):
            failed.setdefault(content.line, []).append(entry.name)
    for line, names in failed.items():
        print(f"ipo: {'; '.join(names)} failed ({line})", file=sys.stderr)
    if failed:
        print("the same command runs the failed cells again.", file=sys.stderr)
    if stopped:
        print(f"stopped early: {stopped}; resume with the same command and a larger --budget-usd.", file=sys.stderr)
        return 3
    return 1 if failed else 0
