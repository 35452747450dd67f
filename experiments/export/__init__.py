"""Carries a program into the tool where it will run: one file a target, each loaded back by the target's own library.

An export is written beside its place, loaded by the library it is meant for, compared with the program on real
pictures, and only then moved to its place.
"""

from ipo.experiments.export.loaded_back import TARGETS, export
from ipo.experiments.export.target import Differs, NotChecked, Reference, Target

__all__ = ["TARGETS", "Differs", "NotChecked", "Reference", "Target", "export"]
