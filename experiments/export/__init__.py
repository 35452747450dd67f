"""Export a program to a form that another tool can run.

An export is written to a temporary path and loaded with the target's own library. The results are compared with those
of the program on real pictures. Only then the export is moved to its final path.
"""

from collections.abc import Callable

from ipo_prompts.experiments.export.head import HeadFiles, Onnx
from ipo_prompts.experiments.export.hf import HuggingFace
from ipo_prompts.experiments.export.hub import HubFolder
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
"""The classes of the targets, by their names on the command line. Every class can be called without arguments."""


def best_target(program: TemplateClassifier) -> str:
    """Return the name of the best target for a program: `open_clip` if it can hold the program, else `head`."""
    return next(name for name in ("open_clip", "head") if TARGETS[name]().refusal(program) is None)
