"""The commands `ipo evaluate`, `ipo report` and `ipo export`.

`ipo evaluate` scores templates, `ipo report` makes the page of a run, `ipo export` writes a program for other tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli.app import new_app, note
from ipo_prompts.experiments.cli.common import (
    Clip,
    Data,
    Device,
    Json,
    Program,
    examples,
    look_first,
    read_about,
    show,
)
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.dataset import Part
from ipo_prompts.experiments.data.sources import find_images
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import read_templates

EVALUATE = examples("ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")
REPORT = examples(
    "ipo report runs/RUN", "ipo report runs/RUN --cite", "ipo report runs/first-look", "ipo report cells.jsonl.gz"
)
EXPORT = examples(
    "ipo export runs/RUN --to open_clip --out pets-open_clip", "ipo export runs/RUN --to onnx --out pets-onnx"
)

app = new_app()


@app.command("evaluate", epilog=EVALUATE)
def evaluate_templates(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value …]",
            help="class_names=names.yaml, exclude='[CLASS, …]', label=COLUMN, reward=NAME or MODULE:CLASS of your own",
        ),
    ] = None,
    template: Annotated[list[str] | None, typer.Option(help="a template; may be given several times")] = None,
    templates_file: Annotated[Path | None, typer.Option(help="a text file, one template a line")] = None,
    data: Data = None,
    clip: Clip = None,
    device: Device = "auto",
    part: Annotated[Part, typer.Option(help="which images: train, val or test")] = "val",
    as_json: Json = False,
) -> int:
    """Score templates on validation images, and compare each with the first. `--part test` is a test as of a run."""
    look_first(what="the file of templates", files=[templates_file] if templates_file else [])
    wanted = [*(template or []), *(read_templates(templates_file) if templates_file else ())]
    if not wanted:
        raise InputError("give at least one template, with --template or --templates-file.")
    about = read_about(words, "evaluate", "reward").model_copy(update={"data": data or "embedded"})
    from ipo_prompts.experiments.measure import measure

    found = measure(wanted, about, clip or "embedded", device, part, quiet=as_json)
    show(found.content, lambda content: str(found), as_json)
    return 0


@app.command(epilog=REPORT)
def report(
    run: Annotated[Path, typer.Argument(help="a run, the folder of a grid, or a cells.jsonl.gz", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="the file to write; default RUN/report.html", metavar="FILE")] = None,
    cite: Annotated[bool, typer.Option("--cite", help="print a sentence for a methods section")] = False,
) -> int:
    """Make a page that explains a run; or, for a grid, print its tables.

    With --out, the name of a folder, the tables are also written. A file of cells gets its digest printed.
    """
    from ipo_prompts.programs.trust import GRID_FILE

    if not cite and (run.name.endswith(".jsonl.gz") or (run / GRID_FILE).is_file()):
        from ipo_prompts.experiments.compare.documents import tables_of

        tables_of(run, out)
        return 0
    look_first([run], out=out)
    from ipo_prompts.experiments.report.page import read_run, run_page
    from ipo_prompts.experiments.run.answer import PAGE, citation, summary
    from ipo_prompts.experiments.run.files import write_text

    finished = read_run(run)
    if cite:
        print(citation(finished.result))
        return 0
    file = out or run / PAGE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, run_page(finished))
    print(summary(finished.result, finished.config, run))
    print(file)
    return 0


@app.command("export", epilog=EXPORT)
def export_program(
    program: Program,
    to: Annotated[
        str,
        typer.Option(help="open_clip, head, onnx or program.json", metavar="TARGET"),
    ],
    out: Annotated[Path, typer.Option(help="the new file or folder to write", metavar="PATH")],
    images: Annotated[
        Path | None,
        typer.Option(help="images to check the export with; default images that ship with IPO", metavar="PATH"),
    ] = None,
) -> int:
    """Export an optimised program to another tool, and check the export with that tool's own library."""
    look_first([program], "the image", [images] if images else [], out)
    refuse_taken(out)
    from ipo_prompts.experiments.export.base import export
    from ipo_prompts.experiments.export.targets import TARGETS
    from ipo_prompts.programs.classifier import TemplateClassifier

    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}{did_you_mean(to, TARGETS)}; it can be {', '.join(TARGETS)}.")
    target = TARGETS[to]
    compared = _images(images)
    exported = TemplateClassifier.from_file(program)
    told = export(exported, target, out, compared)
    for limit in target.limits(exported, program):
        note(limit)
    print(f"wrote {out} for {to}; {told}\n{target.use}")
    return 0


def _images(folder: Path | None) -> list[LazyImage]:
    """Return the images of a folder, or one image file; for None, the train images that ship with IPO.

    Test images are not used, so that they stay held out.
    """
    if folder is None:
        found = [item.image for item in load_data("embedded", seed=0).train]
    else:
        found = [LazyImage.from_path(file) for file in find_images(folder)]
    if not found:
        raise InputError(f"there are no images in {folder}; name another folder with --images, or leave it out.")
    return found
