"""`ipo benchmark`: a grid of experiments to a table with intervals and verdicts, or printed templates measured here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli import common
from ipo_prompts.metrics.errors import InputError

PAPER_TEMPLATES = "paper-templates"
LABEL_FREE = "label-free"
EXAMPLES = common.examples(
    "ipo benchmark paper-templates data=eurosat",
    "ipo benchmark label-free data=folder:pets clip=ViT-B-16/openai",
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
            help="a grid or sweep file, the name of a shipped grid, a cells.json.gz, paper-templates or label-free",
            metavar="GRID[.yaml]",
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="keys of the grid, or settings of all methods")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where the cells go; default runs/GRID", metavar="DIR")] = None,
    executor: common.Executor = "here",
    budget_usd: Annotated[float | None, typer.Option(help="stop once the cells have cost so many US dollars")] = None,
    trust: common.Trust = False,
    dry_run: common.DryRun = False,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
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

    `label-free` hides the labels of data that have some and lets templates be chosen by fit, by controls that know
    less, and by labels: docs/label-free.md. Its words are data=NAME,…, clip=NAME, bank=shipped or general, templates=N
    that compete and draws=N of pictures and classes.
    """
    from filelock import FileLock, Timeout

    from ipo_prompts.experiments.compare.documents import (
        documents,
        outcomes_of,
        print_documents,
        table_of,
        tables_of_file,
        write_documents,
    )
    from ipo_prompts.experiments.compare.executors import Failure, make_executor
    from ipo_prompts.experiments.compare.grid import GRID_FILE, entries, load_grid, to_sealed_yaml
    from ipo_prompts.experiments.compare.raw_cells import ENDING, check_kept, keep
    from ipo_prompts.experiments.compare.runner import (
        check_grid,
        check_models,
        check_windows,
        failure_line,
        forecast,
        forecast_text,
        print_progress,
        run_all,
        searches,
    )
    from ipo_prompts.experiments.run.files import check_writable, write_text
    from ipo_prompts.experiments.run.live_view import ensure_local_weights
    from ipo_prompts.programs.record.trust import outside, trusting

    folder = out or Path("runs") / Path(grid).stem
    if grid in (PAPER_TEMPLATES, LABEL_FREE):
        if executor != "here" or budget_usd is not None:
            raise InputError(f"{grid} works here and costs nothing; leave --executor and --budget-usd out.")
        job = _paper_templates if grid == PAPER_TEMPLATES else _label_free
        return job(words or [], folder, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if grid.endswith(ENDING):
        if words or executor != "here" or budget_usd is not None or dry_run:
            raise InputError(f"the cells of {grid} are done; give it no settings, executor, budget or --dry-run.")
        tables_of_file(Path(grid), out, as_json)
        return 0
    with trusting(trust):
        config = load_grid(grid, words or [])
    workers = make_executor(executor)
    found = entries(config, folder)
    check_grid(found, ready=not dry_run)
    if dry_run:
        expected = forecast(found)
        common.show(expected, forecast_text, as_json)
        return 0
    check_writable(folder)
    check_kept(folder)
    configs = searches(found)
    ensure_local_weights(configs, quiet=quiet)
    check_models(configs, budget_usd)
    check_windows(found)
    beyond = {f"{key}={value}" for one in configs for key, value in outside(one.model_dump()).items()}
    if beyond and not quiet:
        print(f"uses what does not ship with ipo: {', '.join(sorted(beyond))}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "grid.lock", timeout=0).acquire()
    except Timeout as error:
        raise InputError(
            f"another process works on the grid in {folder}; wait for it or choose another --out."
        ) from error
    with lock:
        before = [entry.finished() for entry in found]
        write_text(folder / GRID_FILE, to_sealed_yaml(config))
        contents, stopped = run_all(
            found, before, workers, (lambda progress: None) if quiet else print_progress, budget_usd
        )
        outcomes = outcomes_of(contents)
        table = table_of(config, found, outcomes)
        if table is not None:
            texts = documents(config, table)
            write_documents(texts, folder)
            why_not = keep(folder, config, found, outcomes)
            print_documents(config, table, texts, as_json, f"the whole table: {folder}/table.md")
            if not quiet:
                print(f"{folder}/{', '.join(texts)}; each cell in {folder}/cells{why_not}", file=sys.stderr)
        failed = [
            (entry, content) for entry, content in zip(found, contents, strict=True) if isinstance(content, Failure)
        ]
        for entry, failure in failed:
            print(f"ipo: {entry.name} failed ({failure_line(failure)})", file=sys.stderr)
        if failed:
            print("the same command does the failed cells again.", file=sys.stderr)
        if stopped:
            print(f"stopped early: {stopped}; resume with a larger --budget-usd, else the same.", file=sys.stderr)
            return 3
        return 1 if failed else 0


def _paper_templates(words: Sequence[str], folder: Path, *, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Measure printed templates and write them beside print.

    Args:
        words: see `request`.
        folder: of `table.md`, `table.csv` and `table.json`.
        dry_run: only list what would be measured.
        as_json: print JSON instead of Markdown.
        quiet: no progress, and nothing of the files.

    Returns:
        The exit code: 0 when all rows that decide agree on the data sets that are here, 1 when one does not.

    Raises:
        InputError: see `request` and `compare_all`.
    """
    from ipo_prompts.experiments.compare.documents import write_documents
    from ipo_prompts.experiments.compare.layout import print_table, safe_line, terminal
    from ipo_prompts.experiments.compare.printed import Request, compare_all, request, to_stderr
    from ipo_prompts.experiments.compare.printed_table import (
        agreeing_rows,
        all_agree,
        answer_of_print,
        printed_documents,
    )
    from ipo_prompts.experiments.run.files import check_writable

    asked: Request = request(words)
    if dry_run:
        rows = [
            {
                "data": one.table.data,
                "pictures": sum(one.sizes),
                "templates": len(one.templates),
                "split": one.data.split,
            }
            for one in asked.found
        ]
        if as_json:
            common.print_json({"data": rows, "absent": asked.absent, "usd": 0})
            return 0
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
        for name, why in asked.absent.items():
            print(f"not here: {name}. {why}")
        print(f"each picture is encoded once in {' and once in '.join(asked.precisions)}; nothing is asked or paid")
        return 0
    check_writable(folder)
    found = compare_all(asked, (lambda _: None) if quiet else to_stderr)
    texts = printed_documents(found, asked.absent, asked.precisions, asked.notes)
    write_documents(texts, folder)
    console = None if as_json else terminal()
    if console is None:
        print(texts["table.json" if as_json else "table.md"], end="")
    else:
        console.print(safe_line(answer_of_print(found, list(asked.absent)), "bold"))
        print_table(*agreeing_rows(found, asked.precisions))
        console.print(safe_line(f"every printed row beside the measured one: {folder}/table.md"))
    if not quiet:
        print(f"{folder}/table.md, table.csv, table.json", file=sys.stderr)
    return 0 if all_agree(found) else 1


def _label_free(words: Sequence[str], folder: Path, *, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Measure what chooses a template without labels, beside controls; arguments as of `_paper_templates`."""
    from ipo_prompts.experiments.compare.documents import write_documents
    from ipo_prompts.experiments.compare.label_free import measure_all, read_asked
    from ipo_prompts.experiments.compare.label_free_table import in_numbers, label_free_documents
    from ipo_prompts.experiments.run.files import check_writable

    asked = read_asked(words)
    if dry_run:
        sets = [spec for specs in asked.beds.values() for spec in specs]
        common.show(
            {"sets": sets, "templates": asked.templates, "draws": asked.draws, "usd": 0},
            lambda found: f"{len(sets)} sets, up to {asked.templates} templates, {asked.draws} draws; nothing is paid",
            as_json,
        )
        return 0
    check_writable(folder)
    found = measure_all(asked, folder, lambda spec: None if quiet else print(spec, file=sys.stderr))
    texts = label_free_documents(found, asked.clip)
    write_documents(texts, folder)
    if as_json:
        common.print_json(in_numbers(found))
    else:
        print(texts["table.md"], end="")
    return 0
