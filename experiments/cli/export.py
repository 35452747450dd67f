"""`ipo export`: carry an optimised program into the tool where it will run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.options import Program, examples
from ipo_prompts.metrics.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from ipo_prompts.experiments.export import Target
    from ipo_prompts.metrics.pictures import Picture

EXAMPLES = examples("ipo export runs/RUN --to open_clip --out pets-open_clip")


def export(
    program: Program,
    to: Annotated[str, typer.Option(help="open_clip, clip_benchmark, hf, npz, txt or program.json", metavar="TARGET")],
    out: Annotated[Path, typer.Option(help="where to; must not exist yet", metavar="PATH")],
    pictures: Annotated[
        Path | None, typer.Option(help="pictures to compare on; default some that ship with us", metavar="PATH")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="clip_benchmark: its name of the data set; default wds/ipo", metavar="NAME")
    ] = None,
    hf_model: Annotated[
        str | None, typer.Option(help="hf: hub id or folder of the same CLIP in its format", metavar="ID")
    ] = None,
) -> int:
    """Carry an optimised program into another tool, and check it there by that tool's own library."""
    from ipo_prompts.experiments.export import export
    from ipo_prompts.programs.classifier import TemplateClassifier

    target = _target(to, dataset, hf_model)
    verdict = export(TemplateClassifier.from_file(program), target, out, _pictures(pictures))
    print(f"wrote {out} for {to}; {verdict}")
    return 0


def _target(to: str, dataset: str | None, hf_model: str | None) -> Target:
    from ipo_prompts.experiments.export import TARGETS
    from ipo_prompts.experiments.export.clip_benchmark import ClipBenchmark
    from ipo_prompts.experiments.export.hf import HuggingFace

    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}{did_you_mean(to, TARGETS)}; it can be {', '.join(TARGETS)}.")
    for name, value, only in (("--dataset", dataset, "clip_benchmark"), ("--hf-model", hf_model, "hf")):
        if value is not None and to != only:
            raise InputError(f"{name} is for --to {only}, not {to}; leave it out.")
    if dataset is not None:
        return ClipBenchmark(dataset)
    return HuggingFace(hf_model) if hf_model is not None else TARGETS[to]()


def _pictures(folder: Path | None) -> list[Picture]:
    """Find the pictures of a folder, or the search pictures that ship with us: test pictures stay sealed."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.run.labelling import find_pictures
    from ipo_prompts.metrics.pictures import Picture

    if folder is None:
        found = [item.picture for item in load_data("embedded", seed=0).train]
    else:
        files = find_pictures(folder) if os.path.isdir(folder) else [folder]  # noqa: PTH112
        found = [Picture.from_path(file) for file in files]
    if not found:
        raise InputError(f"there are no pictures in {folder}; name another folder with --pictures, or leave it out.")
    return found
