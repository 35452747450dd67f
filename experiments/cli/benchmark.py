"""`ipo benchmark`: a grid of experiments to a table with intervals and verdicts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli import options
from ipo_prompts.experiments.cli.paper_templates import NAME, paper_templates
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.compare.grid_file import GridConfig
    from ipo_prompts.experiments.compare.tables import Table

EXAMPLES = options.examples(
    "ipo benchmark paper-templates data=eurosat",
    "ipo benchmark embedded --dry-run",
    "ipo benchmark embedded --executor pool:2",
    "ipo benchmark main-1-shot lm=openai/gpt-4o-mini --budget-usd 20",
    "ipo benchmark my-grid.yaml seeds=5",
    "ipo benchmark my-sweep.yaml count=20",
    "ipo benchmark runs/embedded/cells.json.gz",
)


def benchmark(
    grid: Annotated[
        str,
        typer.Argument(
            help="a grid or sweep file, the name of a shipped grid, a cells.json.gz, or paper-templates",
            metavar="GRID[.yaml]",
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="keys of the grid, or settings of all methods")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where the cells go; default runs/GRID", metavar="DIR")] = None,
    executor: options.Executor = "here",
    budget_usd: Annotated[float | None, typer.Option(help="stop once the cells have cost so many US dollars")] = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Run a grid of protocol, data sets, methods and seeds to a table; the same command resumes a killed one.

    All cells are also written as one file, `cells.json.gz`. Given that file, the command makes the same tables of it
    alone, without data, CLIP or language model. With --out it writes them, over no other files.

    A grid can also be a sweep file of Weights & Biases, of method grid or random: each combination of its parameters is
    a row. count=N makes N rows of it, draw_seed=N draws others.

    `paper-templates` is no grid but a test of your data, splits and CLIP: it measures the templates that the paper
    prints, beside the printed numbers, without a language model. The exit code is 1 when a row that decides does not
    agree; data sets that are not on this machine are listed and do not count. Its words are data=NAME,…, clip=NAME,
    precision=fp32 (else fp32 and fp16), and table=FILE.yaml for printed templates of your own.
    """
    from filelock import FileLock, Timeout

    from ipo_prompts.experiments.compare.documents import documents, outcomes_of, table_of, write_documents
    from ipo_prompts.experiments.compare.forecast import forecast, forecast_text
    from ipo_prompts.experiments.compare.grid import check_grid, check_models, check_windows, entries, searches
    from ipo_prompts.experiments.compare.grid_file import GRID_FILE, load_grid
    from ipo_prompts.experiments.compare.raw_cells import ENDING, check_kept, keep
    from ipo_prompts.experiments.compare.runner import print_progress, reason, run_all
    from ipo_prompts.experiments.executors import make_executor
    from ipo_prompts.experiments.executors.base import Failure
    from ipo_prompts.experiments.run.files import check_writable, write_text
    from ipo_prompts.experiments.run.live_view import ensure_local_weights

    folder = out or Path("runs") / Path(grid).stem
    if grid == NAME:
        if executor != "here" or budget_usd is not None:
            raise InputError(f"{NAME} works here and costs nothing; leave --executor and --budget-usd out.")
        return paper_templates(words or [], folder, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if grid.endswith(ENDING):
        if words or executor != "here" or budget_usd is not None or dry_run:
            raise InputError(f"the cells of {grid} are done; give it no settings, executor, budget or --dry-run.")
        return _tables_of_file(Path(grid), out, as_json)
    config = load_grid(grid, words or [])
    workers = make_executor(executor)
    found = entries(config, folder)
    check_grid(found, ready=not dry_run)
    if dry_run:
        expected = forecast(found)
        print(json.dumps(expected, indent=2) if as_json else forecast_text(expected))
        return 0
    check_writable(folder)
    check_kept(folder)
    configs = searches(found)
    ensure_local_weights(configs, quiet=quiet)
    check_models(configs, budget_usd)
    check_windows(found)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "grid.lock", timeout=0).acquire()
    except Timeout as error:
        raise InputError(
            f"another process works on the grid in {folder}; wait for it or choose another --out."
        ) from error
    with lock:
        before = [entry.finished() for entry in found]
        write_text(folder / GRID_FILE, config.to_yaml())
        contents, stopped = run_all(
            found, before, workers, (lambda progress: None) if quiet else print_progress, budget_usd
        )
        outcomes = outcomes_of(contents)
        table = table_of(config, found, outcomes)
        if table is not None:
            texts = documents(config, table)
            write_documents(texts, folder)
            why_not = keep(folder, config, found, outcomes)
            _print(config, table, texts, as_json, f"the whole table: {folder}/table.md")
            if not quiet:
                print(f"{folder}/{', '.join(texts)}; each cell in {folder}/cells{why_not}", file=sys.stderr)
        failed = [
            (entry, content) for entry, content in zip(found, contents, strict=True) if isinstance(content, Failure)
        ]
        for entry, failure in failed:
            print(f"ipo: {entry.name} failed ({reason(failure)})", file=sys.stderr)
        if failed:
            print("the same command does the failed cells again.", file=sys.stderr)
        if stopped:
            print(f"stopped early: {stopped}; resume with a larger --budget-usd, else the same.", file=sys.stderr)
            return 3
        return 1 if failed else 0


def _print(grid: GridConfig, table: Table, texts: dict[str, str], as_json: bool, where: str) -> None:
    """Print a table: on a terminal what it says, fitted, and where the whole table is; else the whole of it."""
    from ipo_prompts.experiments.compare.documents import settings_compared
    from ipo_prompts.experiments.compare.tables import answer
    from ipo_prompts.experiments.compare.terminal import fitted, line, terminal

    console = None if as_json else terminal()
    if console is None:
        names = ["table.json"] if as_json else ["table.md", "settings.md"]
        print("\n".join(texts[name] for name in names if name in texts), end="")
        return
    compared = settings_compared(grid, table)
    more = [part for about, (head, *rows) in compared for part in ("", line(about), fitted(head, rows, console.width))]
    for part in [*answer(table, console.width), *more, "", where]:
        console.print(part, markup=False)


def _tables_of_file(file: Path, out: Path | None, as_json: bool) -> int:
    """Make the tables of a file of cells, and write them where `out` says."""
    from ipo_prompts.experiments.compare.documents import documents, table_of, write_documents
    from ipo_prompts.experiments.compare.raw_cells import unpack
    from ipo_prompts.experiments.run.files import check_writable

    config, found, outcomes = unpack(file)
    table = table_of(config, found, outcomes)
    if table is None:
        raise InputError(f"no cell of {file} has scores, so there is no table to make.")
    texts = documents(config, table)
    if out is not None:
        check_writable(out)
        there = next((out / name for name in texts if (out / name).exists()), None)
        if there is not None:
            raise InputError(f"{there} is there already; choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_documents(texts, out)
    whole = "with --out DIR, or through a pipe to another program" if out is None else f"{out}/table.md"
    _print(config, table, texts, as_json, f"the whole table: {whole}")
    if out is not None:
        print(f"{out}/{', '.join(texts)}", file=sys.stderr)
    return 0
