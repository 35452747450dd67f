"""`ipo report`: runs as a page that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ipo.metrics.errors import InputError


def run(folders: Sequence[Path], out: Path | None) -> int:
    """Write the page of one run, or the page that lays several side by side; print where it is.

    Args:
        folders: run directories.
        out: the file; for one run `report.html` in its directory when None, for several in the current one.

    Raises:
        InputError: no folder, a folder without a finished run, or a file that cannot be written.
    """
    from ipo.experiments.report import compare_page, run_page
    from ipo.experiments.report.gather import gather
    from ipo.experiments.report.page import FILE_NAME
    from ipo.experiments.run.result import write_text

    if not folders:
        raise InputError("name one run directory or more, such as `ipo report runs/RUN`.")
    runs = [gather(folder) for folder in folders]
    file = out or (folders[0] if len(runs) == 1 else Path()) / FILE_NAME
    write_text(file, run_page(runs[0]) if len(runs) == 1 else compare_page(runs))
    print(file)
    return 0
