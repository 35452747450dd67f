"""From a grid to its table: `ipo.benchmark(…)`, and the command `ipo benchmark`.

A grid is planned, and its cells are checked; see `checks.py`. Then its cells are run on an executor. Finished cells are
read back; other cells are begun or resumed. Failures and the budget are tracked. Each cell has a folder of its own. So
its result depends neither on the order of the cells, nor on the executor, nor on how often the cell was resumed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from ipo_prompts.experiments.compare.cell import Cell, Result
from ipo_prompts.experiments.compare.checks import check_grid, searches
from ipo_prompts.experiments.compare.documents import (
    ENDING,
    FILE_NAME,
    documents,
    pack,
    table_of,
    write_documents,
)
from ipo_prompts.experiments.compare.executors import Executor, Failure, make_executor
from ipo_prompts.experiments.compare.grid import GridConfig, entries, load_grid
from ipo_prompts.experiments.compare.table import Table
from ipo_prompts.experiments.data.published import absent
from ipo_prompts.experiments.run.files import check_writable, write_bytes, write_text
from ipo_prompts.experiments.run.live_view import Logged, Ui
from ipo_prompts.experiments.run.plan import backends
from ipo_prompts.metrics.errors import InputError, money, silent
from ipo_prompts.programs.lm.ledger import read_questions, total_usd
from ipo_prompts.programs.redaction import redact
from ipo_prompts.programs.trust import GRID_FILE

LOCK = "grid.lock"
FAILURE_FILE_NAME = "failure.txt"
"""The file with the traceback of a cell's last failure."""


@dataclass(frozen=True)
class GridPlan:
    """A grid before it is run.

    Attributes:
        grid: the grid, without data sets that are not on this machine.
        folder: its folder.
        cells: its cells.
        executor: runs the cells.
    """

    grid: GridConfig
    folder: Path
    cells: list[Cell]
    executor: Executor


def plan_grid(
    name: str,
    words: Sequence[str] | Mapping[str, Any],
    ui: Ui,
    *,
    out: Path | None = None,
    executor: str = "here",
    gpu_share: float | None = None,
    forecast_only: bool = False,
) -> GridPlan:
    """Read a grid, list its cells, and check them; see `load_grid` and `check_grid`.

    Args:
        name: a YAML file, or the name of a shipped grid.
        words: see `load_grid`.
        ui: shows which data sets are left out.
        out: the folder of the grid; None takes `runs/GRID`.
        executor: see `make_executor`; `gpu_share`, too.
        forecast_only: whether the cells will not be run: then data sets need not be on this machine.
    """
    folder = out or Path("runs") / Path(name).stem
    if name.endswith(ENDING):
        raise InputError(f"the cells of {name} are done; make their tables with `ipo report {shlex.quote(name)}`.")
    grid, workers = load_grid(name, words), make_executor(executor, gpus=gpu_share)
    gone = [data for data in grid.data if absent(data)]
    if forecast_only or gone == grid.data:
        gone = []
    if gone:
        ui.say(f"not on this machine, so left out: {', '.join(gone)}")
    grid = grid.model_copy(update={"data": [data for data in grid.data if data not in gone]})
    found = entries(grid, folder)
    here = [entry for entry in found if not any(map(absent, (entry.data, *entry.targets)))]
    check_grid(here if forecast_only else found)
    return GridPlan(grid, folder, found, workers)


@dataclass(frozen=True, repr=False)
class GridOutcome:
    """The outcome of a grid. `print` shows its table, as Markdown.

    Attributes:
        folder: the folder of the grid.
        table: the table; None if no cell has scores.
        documents: the files of the table: name → text.
        files: what was written, for people.
        failed: why cells failed → their names.
        stopped: how the budget ended the session, in words; None if it did not.
    """

    folder: Path
    table: Table | None
    documents: dict[str, str]
    files: str
    failed: dict[str, list[str]]
    stopped: str | None

    def __str__(self) -> str:
        return self.documents.get("table.md", "no cell has scores.")


def benchmark(
    grid: str | Path,
    *,
    out: str | Path | None = None,
    executor: str = "here",
    gpu_share: float | None = None,
    budget_usd: float | None = None,
    quiet: bool = True,
    **settings: Any,
) -> GridOutcome:
    """Run a grid of data sets, methods and seeds, and make a table; this is `ipo benchmark`, with the same defaults.

    The same call resumes a grid that was killed.

    Args:
        grid: a YAML file, or the name of a shipped grid.
        out: the folder of the grid; `runs/GRID` if left out.
        executor: where cells run: `here`, `ray` or `ray:ADDRESS`.
        gpu_share: the share of a GPU for each cell on Ray.
        budget_usd: the US dollars at which the call ends.
        quiet: whether to print nothing; see `optimize`.
        **settings: keys of the grid, or settings of all methods: `seeds=5`, `lm="none"`.

    Raises:
        InputError: the grid cannot be run.
    """
    ui = (Logged if quiet else Ui)(0, quiet=quiet)
    where = Path(out) if out else None
    planned = plan_grid(str(grid), settings, ui, out=where, executor=executor, gpu_share=gpu_share)
    return run_grid(planned, ui, budget_usd)


def run_grid(planned: GridPlan, ui: Ui, budget_usd: float | None = None) -> GridOutcome:
    """Run the cells of a grid that are not finished, and write its table.

    Raises:
        InputError: the folder cannot be written, a language model is unknown, lacks its key or weights, or has no price
            although there is a budget; see also `run_all`.
    """
    grid, folder, found = planned.grid, planned.folder, planned.cells
    check_writable(folder)
    if budget_usd is not None and budget_usd <= 0:
        raise InputError(f"--budget-usd must be above 0, not {budget_usd:g}.")
    configs = searches(found).values()
    ui.fetch([*configs])
    for config in configs:  # no model is asked yet; with a budget, each must have a price
        backends(config.model_copy(update={"budget_usd": budget_usd}))
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, list[str]] = {}
    outcomes: list[Result | str] = []
    with _locked(folder):
        before = [entry.finished() for entry in found]
        write_text(folder / GRID_FILE, grid.to_yaml())
        results, stopped = run_all(found, before, planned.executor, ui.say, budget_usd)
        for entry, result in zip(found, results, strict=True):
            if isinstance(result, Failure):
                failed.setdefault(result.line, []).append(entry.name)
            outcomes.append(f"failed: {result.line}" if isinstance(result, Failure) else result or "not run yet")
        table = table_of(grid, found, outcomes)
        texts = documents(grid, table) if table else {}
        write_documents(texts, folder)
        write_bytes(folder / FILE_NAME, pack(grid, found, outcomes))
        files = f"{folder}/{', '.join(texts)}; each cell in {folder}/cells, all in {FILE_NAME}"
    return GridOutcome(folder, table, texts, files if table else "", failed, stopped)


def _locked(folder: Path) -> Any:
    """Return the lock of a grid's folder, held until a `with` block ends: one process at a time works on a grid.

    Raises:
        InputError: another process holds it.
    """
    try:
        return filelock.FileLock(folder / LOCK, timeout=0).acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"another process works on the grid in {folder}; wait for it, or choose another --out."
        ) from error


def run_all(
    found: Sequence[Cell],
    before: Sequence[Result | None],
    executor: Executor,
    say: Callable[[str], None],
    budget_usd: float | None = None,
) -> tuple[list[Result | Failure | None], str | None]:
    """Do the cells that are not finished; a cell that fails does not stop the others.

    Args:
        found: the cells.
        before: the record of each cell from an earlier session; see `Cell.finished`.
        executor: runs the cells.
        say: called with a line after each cell that was not finished before: its outcome, and the cost of all cells.
        budget_usd: the US dollars at which the session ends; failed cells and earlier sessions count. A cell that is
            then running in another process is cut off; it can be resumed.

    Returns:
        A pair. First: for each cell, in order, its result, a `Failure`, or None if the cell was not done. Second: a
        text that says how the budget ended the session, or None.

    Raises:
        InputError: there is a budget, and replies cannot be read, so that the sum that was paid is not known.
    """
    contents: list[Result | Failure | None] = list(before)
    waiting = [place for place, content in enumerate(before) if content is None]
    paid = [paid_for(entry) for entry in found]

    def spent() -> str | None:
        usd, left = total_usd(paid), contents.count(None)
        if budget_usd is None:
            return None
        if usd is None:
            raise InputError(
                "the replies of a cell cannot be read, so --budget-usd cannot be kept; leave it out to see which."
            )
        if usd < budget_usd or not left:
            return None
        return f"${usd:.4f} of ${budget_usd:.4f} spent, {left} of {len(found)} are left"

    if stopped := spent():
        return contents, stopped
    with closing(executor.run(do, [found[place] for place in waiting])) as outcomes:
        for index, outcome in outcomes:
            place = waiting[index]
            entry = found[place]
            contents[place], paid[place] = outcome, paid_for(entry)
            _note_failure(entry, outcome)
            said = f"failed: {outcome.line}" if isinstance(outcome, Failure) else _said(entry, outcome)
            done = len(found) - contents.count(None)
            say(f"{done}/{len(found)}  {entry.name}: {said}  ({money(total_usd(paid))})")
            if stopped := spent():
                break
    return contents, stopped


def _said(entry: Cell, result: Result) -> str:
    """Return the values of a cell as text, or the reason why there are no values."""
    cell = entry.placed(result)
    return cell.absent or ", ".join(f"{side} {100 * tested.values.mean():.2f}" for side, tested in cell.sides.items())


def do(entry: Cell) -> Result:
    """Do one cell and return its record. The function can be imported by name, so that any process can call it."""
    with silent("dspy", "LiteLLM"):  # the message of a failure holds what these libraries log
        return entry.run()


def paid_for(entry: Cell) -> float | None:
    """Return the US dollars that a cell's replies have cost in all sessions; None when the cost is not known.

    The cost of a lost reply is not known, so its highest possible cost is counted.
    """
    try:
        return total_usd(question.usd for question in read_questions(entry.folder))
    except InputError:  # the cell itself reports the error; other cells go on
        return None


def _note_failure(entry: Cell, content: object) -> None:
    """Write the traceback of a failure into the cell's folder; remove it once the cell is done."""
    file = entry.folder / FAILURE_FILE_NAME
    if isinstance(content, Failure) and content.trace:
        entry.folder.mkdir(parents=True, exist_ok=True)
        write_text(file, redact(content.trace))
    else:
        file.unlink(missing_ok=True)
