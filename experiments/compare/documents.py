"""From the cells of a grid to its table, with what was published beside and below it, in three forms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare.cell import shared_config
from ipo_prompts.experiments.compare.grid import Entry
from ipo_prompts.experiments.compare.grid_file import GridConfig
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.published import ablations_of, published_rows, section
from ipo_prompts.experiments.compare.raw_cells import without_places
from ipo_prompts.experiments.compare.runner import reason
from ipo_prompts.experiments.compare.tables import Table, build_table, details, gain_plot, to_csv, to_json, to_markdown
from ipo_prompts.experiments.compare.tables.by_settings import by_settings
from ipo_prompts.experiments.compare.tables.entries import aligned
from ipo_prompts.experiments.compare.text_table import plain
from ipo_prompts.experiments.executors.local import Failure
from ipo_prompts.experiments.run.files import write_text


def outcomes_of(contents: Sequence[dict[str, Any] | Failure | None]) -> list[dict[str, Any] | str]:
    """Put in the place of each cell that failed or was not run why it is a gap."""

    def why(content: Failure | None) -> str:
        return "not run yet" if content is None else without_places(f"failed: {reason(content)}")

    return [content if isinstance(content, dict) else why(content) for content in contents]


def table_of(grid: GridConfig, found: Sequence[Entry], outcomes: Sequence[dict[str, Any] | str]) -> Table | None:
    """Make the table of the grid's entries and their cells; a text in the place of a cell is why it is a gap.

    Returns:
        The table, or None when no cell has scores.

    Raises:
        InputError: see `build_table`.
    """
    cells = []
    for entry, outcome in zip(found, outcomes, strict=True):
        gap: dict[str, Any] = {"cell": entry.cell.record(), "absent": outcome}
        content = gap if isinstance(outcome, str) else outcome
        shared = shared_config(entry.cell)  # which refuses an unknown method
        method = METHODS[entry.cell.method]
        about = {
            "cell": {**content["cell"], "method": entry.label},
            "labelled_per_class": method.labelled_per_class(shared),
            "differs": method.differs(shared),
            "remark": method.remark,
        }
        cells.append({**content, **about})
    if not any(cell.get("scores") for cell in cells):
        return None
    shots = shared_config(found[0].cell).shots
    return build_table(cells, grid.reference, published_rows(grid.protocol, shots, grid.data))


def settings_compared(grid: GridConfig, table: Table) -> list[tuple[str, list[list[str]]]]:
    """Return what the settings of rows that are more than a method did; see `by_settings`."""
    own = {row.label: {"method": row.method, **row.settings} for row in grid.methods if row.label != row.method}
    return by_settings(table, own)


def documents(grid: GridConfig, table: Table) -> dict[str, str]:
    """Return the files of a table, by name: the same texts for the same cells."""
    ablations = ablations_of(grid.published, grid.data)
    content = {"title": grid.title, **json.loads(to_json(table)), "ablations": [one.model_dump() for one in ablations]}
    title = f"## {plain(grid.title)}\n\n"
    texts = {
        "table.md": "".join([title + to_markdown(table), *map(section, ablations)]),
        "table.csv": to_csv(table),
        "table.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
    }
    compared = settings_compared(grid, table)
    if compared:
        blocks = [
            f"### {plain(grid.title)}, by settings",
            *(part for about, lines in compared for part in (about, aligned(lines))),
        ]
        texts["settings.md"] = "\n\n".join(blocks) + "\n"
    if table.averages:
        texts["data-sets.md"] = title + details(table)
    picture = gain_plot(table)
    return {**texts, "gain.svg": picture} if picture else texts


def write_documents(texts: dict[str, str], folder: Path) -> None:
    """Write the files, each whole or not at all."""
    for name, text in texts.items():
        write_text(folder / name, text)
