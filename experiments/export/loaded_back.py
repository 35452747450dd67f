"""What every export does: refuse, write to a temporary path, load back and compare, move to its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ipo_prompts.experiments.export.clip_benchmark import ClipBenchmark
from ipo_prompts.experiments.export.hf import HuggingFace
from ipo_prompts.experiments.export.npz import Npz
from ipo_prompts.experiments.export.open_clip import OpenClip
from ipo_prompts.experiments.export.program_json import ProgramJson
from ipo_prompts.experiments.export.target import NotChecked, Reference, Target
from ipo_prompts.experiments.export.txt import Txt
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import flush_tree
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier

TARGETS: dict[str, Callable[[], Target]] = {
    "open_clip": OpenClip,
    "clip_benchmark": ClipBenchmark,
    "hf": HuggingFace,
    "npz": Npz,
    "txt": Txt,
    "program.json": ProgramJson,
}
"""Name on the command line → the target with its defaults."""


def export(program: TemplateClassifier, target: Target, place: Path, pictures: Sequence[Picture]) -> str:
    """Write a program for a target and load it back.

    Args:
        program: what to export.
        target: in which form.
        place: a path that does not exist yet, in a folder that does.
        pictures: what the loaded export is compared on; their labels do not matter.

    Returns:
        What was checked, or "not checked" and why, to show.

    Raises:
        InputError: the place is taken, the target cannot express the program, or the loaded export gives other results
            (`Differs`). Nothing is left at the place then.
    """
    # For a name that is too long, os.path answers False; pathlib raises.
    if os.path.lexists(place):
        raise InputError(f"{place} already exists; name another --out.")
    if not os.path.isdir(place.parent):  # noqa: PTH112
        raise InputError(f"there is no folder {place.parent} to write {place.name} in; make it, or name another --out.")
    if reason := target.refusal(program):
        raise InputError(f"this program cannot be exported in this form: {reason}.")
    try:
        # A new folder under a random name: nobody can have put a link where the target writes.
        with TemporaryDirectory(dir=place.parent, prefix=".part-") as scratch:
            beside = Path(scratch, place.name)
            target.write(program, beside)
            try:
                verdict = f"checked, {target.check(Reference.of(program, pictures), beside)}"
            except NotChecked as why:
                verdict = f"not checked: {why}"
            flush_tree(beside)
            beside.rename(place)
    except OSError as error:
        raise InputError(
            f"cannot write {place}: {error.strerror or error}; make room or name another --out."
        ) from error
    return verdict
