"""Exports a program to a form that another tool can run.

An export is written to a temporary path, loaded by the target's own library and compared with the program on real
pictures. Only then it is moved to its place.
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
"""Name on the command line → the target's class; every target can be made without arguments."""


def best_target(program: TemplateClassifier) -> str:
    """Return the first target that can hold a program and works without IPO."""
    return next(name for name in ("open_clip", "head") if TARGETS[name]().refusal(program) is None)
