"""Exports a program for the tool where it will run, one file a target.

An export is written to a temporary path, loaded by the target's own library, compared with the program on real
pictures, and only then moved to its place.
"""

from ipo_prompts.experiments.export.loaded_back import TARGETS, export
from ipo_prompts.experiments.export.target import Differs, NotChecked, Reference, Target

__all__ = ["TARGETS", "Differs", "NotChecked", "Reference", "Target", "export"]
