"""`ipo export`: carry an optimised program into the tool where it will run."""

from __future__ import annotations

import os
from pathlib import Path

from ipo.experiments.cli.predict import find_pictures, load_program
from ipo.experiments.data import load_data
from ipo.experiments.export import TARGETS, Target, export
from ipo.experiments.export.clip_benchmark import ClipBenchmark
from ipo.experiments.export.hf import HuggingFace
from ipo.metrics.errors import InputError
from ipo.metrics.pictures import Picture

PICTURES = 36
"""Pictures that the export is compared on: a few of many classes, encoded in a second or a minute."""


def run(program: Path, to: str, out: Path, pictures: Path | None, dataset: str | None, hf_model: str | None) -> int:
    """Do what the command says; return the exit code."""
    target = _target(to, dataset, hf_model)
    verdict = export(load_program(program), target, out, _pictures(pictures))
    print(f"wrote {out} for {to}; {verdict}")
    return 0


def _target(to: str, dataset: str | None, hf_model: str | None) -> Target:
    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}; it can be {', '.join(TARGETS)}.")
    for name, value, only in (("--dataset", dataset, "clip_benchmark"), ("--hf-model", hf_model, "hf")):
        if value is not None and to != only:
            raise InputError(f"{name} is for --to {only}, not {to}; leave it out.")
    if dataset is not None:
        return ClipBenchmark(dataset)
    return HuggingFace(hf_model) if hf_model is not None else TARGETS[to]()


def _pictures(folder: Path | None) -> list[Picture]:
    """Take pictures evenly from a folder, or from the search pictures that ship with us: test pictures stay sealed."""
    if folder is None:
        found = [item.picture for item in load_data("embedded", seed=0).train]
    elif os.path.isdir(folder):  # noqa: PTH112
        found = [Picture.from_path(file) for file in find_pictures(folder)]
    else:
        found = [Picture.from_path(folder)]
    if not found:
        raise InputError(f"there are no pictures in {folder}; name another folder with --pictures, or leave it out.")
    return found[:: max(1, len(found) // PICTURES)][:PICTURES]
