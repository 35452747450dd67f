"""The commands `ipo data …`: list and check data sets before a run uses them."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from ipo_prompts.experiments.cli.app import new_app
from ipo_prompts.experiments.cli.common import DataWords, meaning, read_about
from ipo_prompts.metrics.errors import InputError

app = new_app()
data_app = new_app("data", help="List and check data sets.")
app.add_typer(data_app)

Spec = Annotated[str, typer.Argument(help=meaning("data"))]


@data_app.command("list")
def list_data() -> None:
    """List the known data sets with their official sizes, and say which are on this machine."""
    from ipo_prompts.experiments.data.published import REGISTRY, ROOT_VARIABLE, default_root, state
    from ipo_prompts.experiments.data.sources import FORMS

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
    print(f"{place}, in the CoOp layout\nother data: {FORMS}", file=sys.stderr)


@data_app.command(epilog="Example:  ipo data check folder:pets --clip ViT-B-16/openai")
def check(
    spec: Spec,
    clip: Annotated[
        str | None,
        typer.Option(help="also check class names with this CLIP's tokenizer"),
    ] = None,
    words: DataWords = None,
) -> int:
    """Read all images; say what a run would use, what is broken or a copy, and which command searches on the rest."""
    from ipo_prompts.experiments.data import draw, load_data, sources
    from ipo_prompts.experiments.data.check import check_data
    from ipo_prompts.experiments.data.dataset import leaving_out, without
    from ipo_prompts.experiments.data.draw import many
    from ipo_prompts.experiments.data.names import refuse_codes
    from ipo_prompts.metrics.clip import check_name, load_clip

    config = read_about(words, "data check")
    sources.allow(spec)
    data = load_data(spec, whole=False, **config.about_data)
    if clip:
        check_name(clip)
    report = check_data(data, load_clip(clip) if clip else None, _tell)
    drawn = None
    why = ""
    advised = many(data, config.shots, config.val_shots)
    config = read_about([*(words or []), *advised], "data check", "shots", "val_shots")
    if report.without:  # they stand beside those that were typed
        advised += shlex.split(leaving_out([*config.exclude, *report.without]))
    try:
        drawn = draw(without(data, report.without), config.shots, config.val_shots, config.seed)
        refuse_codes(data)
        advised += ["verdict=balanced"] if drawn.imbalanced else []
    except InputError as error:
        why = str(error)
    print(report.text(drawn, why))
    if not why:
        clip = clip or ("embedded" if spec.startswith("embedded") else "ViT-B-16/openai")
        last = {word.partition("=")[0]: word for word in [*(words or []), *advised]}
        command = shlex.join(["ipo", "optimize", spec, "--clip", clip, "--lm", "none", *last.values()])
        print(f"{'next' if report.ok else 'when that is mended'}: {command}")
    return 0 if report.ok and not data.unnamed else 1  # a data set that has only test images is sound


def _tell(done: int, total: int) -> None:
    if done < total:
        print(f"{done:,} of {total:,} images read", file=sys.stderr)
