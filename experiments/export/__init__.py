"""Export a program to a form that another tool can run.

An export is written to a temporary path and loaded with the target's own library. The results are compared with those
of the program on real pictures. Only then the export is moved to its final path.
"""

from ipo_prompts.experiments.export.head import HeadFiles, Onnx
from ipo_prompts.experiments.export.plain import OpenClip, ProgramJson
from ipo_prompts.experiments.export.target import Differs, Reference, Target, export
from ipo_prompts.programs.classifier import TemplateClassifier

__all__ = ["TARGETS", "Differs", "Reference", "Target", "best_target", "export"]

TARGETS: dict[str, Target] = {
    "open_clip": OpenClip(),
    "head": HeadFiles(),
    "onnx": Onnx(),
    "program.json": ProgramJson(),
}
"""The targets, by their names on the command line."""


def best_target(program: TemplateClassifier) -> str:
    """Return the name of the best target for a program: `open_clip` if it can hold all of the program, else `head`."""
    return "head" if program.pictures or TARGETS["open_clip"].refusal(program) else "open_clip"
