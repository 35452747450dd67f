"""`ipo data`: look at a data set before it is used."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ipo.experiments.cli.options import DATA, Part, one_of

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, check and preview data sets.")

Spec = Annotated[str, typer.Argument(help=DATA)]
Seed = Annotated[int, typer.Option(help="for data without parts of its own")]


@data_app.command("list")
def list_() -> None:
    """List the registered data sets, their official sizes, and which of them are below the root."""
    from ipo.experiments.data.benchmarks.registry import REGISTRY, ROOT_VARIABLE
    from ipo.experiments.data.benchmarks.roots import default_root, state

    root = default_root()
    head = ["name", "title", "classes", "train", "val", "test", "here", "hand-written template"]
    rows = [head]
    for entry in REGISTRY.values():
        sizes = (f"{size:,}" if size else "-" for size in entry.sizes)
        rows.append([entry.name, entry.title, str(entry.classes), *sizes, state(entry, root), entry.hand_written])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, "<<>>>><<", widths, strict=True)]
        print("  ".join(cells).rstrip())
    place = f"root: {root}" if root else f"{ROOT_VARIABLE} is not set; it names the folder that holds these data sets"
    print(f"{place}, in the CoOp layout", file=sys.stderr)


@data_app.command(epilog="Example:  ipo data check folder:pets --clip ViT-B-16/openai")
def check(
    spec: Spec,
    clip: Annotated[str | None, typer.Option(help="also check class names against this CLIP's tokenizer")] = None,
    seed: Seed = 0,
) -> int:
    """Read every picture; count them, name the unreadable and the empty, find the same picture in two parts."""
    from ipo.experiments.data import check as check_data
    from ipo.experiments.data import load_data

    data = load_data(spec, seed=seed)
    tokens = None
    if clip:
        from ipo.metrics.clip import load_clip

        tokens = load_clip(clip)
    report = check_data(data, tokens, _Progress())
    print(report.text())
    print(f"fingerprint {report.fingerprint}")
    if not clip:
        print("class names were not checked against a tokenizer; --clip NAME does that", file=sys.stderr)
    return 0 if report.ok else 1


@data_app.command(epilog="Example:  ipo data preview eurosat --out eurosat.png")
def preview(
    spec: Spec,
    out: Annotated[Path | None, typer.Option(help="the PNG to write; default preview-NAME.png", metavar="FILE")] = None,
    part: Part = "train",
    seed: Seed = 0,
) -> None:
    """Draw a few pictures of each class on one sheet; of many classes, some, evenly spaced."""
    from ipo.experiments.data import load_data
    from ipo.experiments.data.dataset import PARTS
    from ipo.experiments.data.preview import contact_sheet, save

    chosen = one_of("part", part, PARTS)
    data = load_data(spec, seed=seed)
    path = out or Path(f"preview-{re.sub(r'[^A-Za-z0-9_.-]+', '-', data.name)}.png")
    sheet = contact_sheet(data, chosen)
    save(sheet, path)
    for reason in sheet.unreadable:
        print(f"not drawn: {reason}", file=sys.stderr)
    print(f"{path}: {sheet.pictures} {chosen} pictures of {sheet.classes} of {len(data.class_names)} classes")


class _Progress:
    """A line on stderr every ten seconds."""

    def __init__(self) -> None:
        self._spoke = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._spoke > 10:
            print(f"{done:,} of {total:,} pictures read", file=sys.stderr)
            self._spoke = time.monotonic()
