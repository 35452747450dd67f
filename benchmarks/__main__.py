"""The commands of the lab: `python -m benchmarks`, from the root of a checkout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli import common
from ipo_prompts.experiments.cli.app import main, new_app

app = new_app("python -m benchmarks")
SETS = ("suite", "suite-held-out", "claims-taught", "claims-untaught", "claims-clean")
Words = Annotated[list[str] | None, typer.Argument(metavar="[key=value …]", help="as said above")]


@app.callback()
def _lab() -> None:
    """Measure what the pages in docs/ say."""


@app.command()
def small() -> int:
    """Run every benchmark in a size for correctness only, one a core."""
    from benchmarks.lab.small import run_all

    return run_all()


@app.command()
def sets(names: Annotated[list[str], typer.Argument(help=", ".join(SETS), metavar="NAME …")]) -> int:
    """Print the sets of shifted pictures that names stand for, as the `data` of a grid takes them."""
    from benchmarks.lab.bed import suite
    from ipo_prompts.metrics.errors import InputError, did_you_mean

    if strange := next((name for name in names if name not in SETS), None):
        raise InputError(f"there are no sets {strange!r}{did_you_mean(strange, SETS)}; give {', '.join(SETS)}.")
    print(",".join(spec for name in names for spec in suite(name)))
    return 0


@app.command("paper-templates", context_settings=common.WORDS)
def paper_templates(
    words: Words = None,
    out: Annotated[Path, typer.Option(help="where the tables go", metavar="DIR")] = Path("runs/paper-templates"),
    dry_run: common.DryRun = False,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> int:
    """Test your data, splits and CLIP: measure the templates that the paper prints, beside the printed numbers.

    No language model is asked. The exit code is 1 when a row that decides does not agree; data sets that are not on
    this machine are listed and do not count.

    Its words are data=NAME,…, clip=NAME, precision=fp32 (else fp32 and fp16), and table=FILE.yaml for printed templates
    of your own.
    """
    from benchmarks.lab.printed import Request, compare_all, request, to_stderr
    from benchmarks.lab.printed_table import (
        agreeing_rows,
        all_agree,
        answer_of_print,
        printed_documents,
    )
    from ipo_prompts.experiments.compare.documents import write_documents
    from ipo_prompts.experiments.compare.layout import fitted_table, safe_line, terminal, text_table
    from ipo_prompts.experiments.run.files import check_writable

    asked: Request = request(words or [])
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
        print(text_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]))
        for name, why in asked.absent.items():
            print(f"not here: {name}. {why}")
        print(f"each picture is encoded once in {' and once in '.join(asked.precisions)}; nothing is asked or paid")
        return 0
    check_writable(out)
    found = compare_all(asked, (lambda _: None) if quiet else to_stderr)
    texts = printed_documents(found, asked.absent, asked.precisions, asked.notes)
    write_documents(texts, out)
    console = None if as_json else terminal()
    if console is None:
        print(texts["table.json" if as_json else "table.md"], end="")
    else:
        console.print(safe_line(answer_of_print(found, list(asked.absent)), "bold"))
        head, lines = agreeing_rows(found, asked.precisions)
        console.print(fitted_table([head, *lines], console.width))
        console.print(safe_line(f"every printed row beside the measured one: {out}/table.md"))
    if not quiet:
        print(f"{out}/table.md, table.csv, table.json", file=sys.stderr)
    return 0 if all_agree(found) else 1


if __name__ == "__main__":
    sys.exit(main(of=app))
