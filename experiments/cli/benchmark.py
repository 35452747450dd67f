"""The command `ipo benchmark`: run a grid of experiments, and make a table with intervals and verdicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli import common
from ipo_prompts.experiments.cli.app import new_app

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
    from ipo_prompts.experiments.compare.checks import forecast, forecast_text
    from ipo_prompts.experiments.compare.documents import print_documents
    from ipo_prompts.experiments.compare.runner import plan_grid, run_grid
    from ipo_prompts.experiments.run.live_view import Ui

    ui = Ui(0, quiet=quiet)
    planned = plan_grid(grid, words or [], ui, out=out, executor=executor, gpu_share=gpu_share, forecast_only=dry_run)
    if dry_run:
        common.show(
            {**forecast(planned.cells), "places": f"{planned.executor.places()}."},
            lambda told: f"{forecast_text(told)}\n{told['places']}",
            as_json,
        )
        return 0
    outcome = run_grid(planned, ui, budget_usd)
    if outcome.table:
        print_documents(outcome.table, outcome.documents, as_json, f"the whole table: {outcome.folder}/table.md")
        ui.say(outcome.files)
    for line, names in outcome.failed.items():
        print(f"ipo: {'; '.join(names)} failed ({line})", file=sys.stderr)
    if outcome.failed:
        print("the same command runs the failed cells again.", file=sys.stderr)
    if outcome.stopped:
        print(
            f"stopped early: {outcome.stopped}; resume with the same command and a larger --budget-usd.",
            file=sys.stderr,
        )
        return 3
    return 1 if outcome.failed else 0
