"""`ipo report`: runs as a page that a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli.options import examples

EXAMPLES = examples("ipo report runs/RUN", "ipo report runs/ONE runs/OTHER --out both.html")


def report(
    runs: Annotated[list[Path], typer.Argument(help="run directories", metavar="RUN…")],
    out: Annotated[
        Path | None,
        typer.Option(help="the file; default RUN/report.html, for several runs report.html", metavar="FILE"),
    ] = None,
) -> int:
    """Make the page that a person reads: one run explained from answer to command, or several side by side."""
    from ipo_prompts.experiments.report import compare_page, run_page
    from ipo_prompts.experiments.report.gather import read_run
    from ipo_prompts.experiments.report.page import PAGE
    from ipo_prompts.experiments.run.files import write_text

    gathered = [read_run(folder) for folder in runs]
    file = out or (runs[0] if len(runs) == 1 else Path()) / PAGE
    write_text(file, run_page(gathered[0]) if len(runs) == 1 else compare_page(gathered))
    print(file)
    return 0
