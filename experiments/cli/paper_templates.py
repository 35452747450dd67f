"""`ipo benchmark paper-templates`: printed templates measured on the data that is here; no grid, no language model."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "paper-templates"


def paper_templates(words: Sequence[str], folder: Path, *, dry_run: bool, as_json: bool, quiet: bool) -> int:
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
    from ipo_prompts.experiments.compare.layout import line, print_table, terminal
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
            print(json.dumps({"data": rows, "absent": asked.absent, "usd": 0}, indent=2, ensure_ascii=False))
            return 0
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
        for name, why in asked.absent.items():
            print(f"not here: {name}. {why}")
        print(f"each picture is encoded once in {' and once in '.join(asked.precisions)}; nothing is asked or paid")
        return 0
    check_writable(folder)
    found = compare_all(asked, (lambda _: None) if quiet else to_stderr)
    folder.mkdir(parents=True, exist_ok=True)
    texts = printed_documents(found, asked.absent, asked.precisions, asked.notes)
    write_documents(texts, folder)
    console = None if as_json else terminal()
    if console is None:
        print(texts["table.json" if as_json else "table.md"], end="")
    else:
        console.print(line(answer_of_print(found, list(asked.absent)), "bold"))
        print_table(*agreeing_rows(found, asked.precisions))
        console.print(line(f"every printed row beside the measured one: {folder}/table.md"))
    if not quiet:
        print(f"{folder}/table.md, table.csv, table.json", file=sys.stderr)
    return 0 if all_agree(found) else 1
