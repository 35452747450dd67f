"""Exports a program for the tool where it will run.

An export is written to a temporary path, loaded by the target's own library, compared with the program on real
pictures, and only then moved to its place.
"""

from collections.abc import Callable

from ipo_prompts.experiments.export.head import HeadFiles, HubFolder, Onnx
from ipo_prompts.experiments.export.hf import HuggingFace
from ipo_prompts.experiments.export.plain import ClipBenchmark, OpenClip, ProgramJson, Txt
from ipo_prompts.experiments.export.target import Differs, NotChecked, Reference, Target, export
from ipo_prompts.programs.classifier import TemplateClassifier

__all__ = ["TARGETS", "Differs", "NotChecked", "Reference", "Target", "best_target", "export"]

TARGETS: dict[str, Callable[..., Target]] = {
    "open_clip": OpenClip,
    "clip_benchmark": ClipBenchmark,
    "hf": HuggingFace,
    "head": HeadFiles,
    "onnx": Onnx,
    "hub": HubFolder,
    "txt": Txt,
    "program.json": ProgramJson,
}
"""Name on the command line → the target, which takes what it is about or has a default."""


def best_target(program: TemplateClassifier) -> str:
    """Return the first target that holds a program, of those that a program can be used from without us."""
    return next(name for name in ("open_clip", "head") if TARGETS[name]().refusal(program) is None)
