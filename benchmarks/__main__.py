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
    """Print the sets of shifted images that names stand for, as the `data` of a grid takes them."""
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
    quiet: common.Quiet = False,
) -> int:
    """Test your data, splits and CLIP: measure the templates that the paper prints, beside the printed numbers.

    No language model is asked. The exit code is 1 when a row that decides does not agree; data sets that are not on
    this machine are listed and do not count.

    Its words are data=NAME,…, clip=NAME, precision=fp32 (else fp32 and fp16), and table=FILE.yaml for printed templates
    of your own.
    """
    from benchmarks.lab.printed import answer, measured, printed_documents
    from ipo_prompts.experiments.compare.documents import write_documents
    from ipo_prompts.experiments.run.files import check_writable
    from ipo_prompts.experiments.run.live_view import Ui

    check_writable(out)
    ui = Ui(0, quiet=quiet)
    found, absent, notes = measured(words or [], ui)
    texts = printed_documents(found, absent, notes)
    write_documents(texts, out)
    print(texts["table.md"], end="")
    ui.say(f"{out}/{', '.join(texts)}")
    return 0 if answer(found, [*absent])[1] else 1


if __name__ == "__main__":
    sys.exit(main(of=app))
