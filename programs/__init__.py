"""DSPy modules and the teleprompter: what a DSPy user takes from here is listed in `__all__`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipo.programs.classifier import TemplateClassifier
    from ipo.programs.describer import ImageDescriber
    from ipo.programs.history import PromptHistory, ScoredTemplate
    from ipo.programs.interrogator import Interrogator
    from ipo.programs.optimizer import IPO
    from ipo.programs.proposer import SmallModelProposer, TemplateProposer

_HOMES = {
    "IPO": "optimizer",
    "ImageDescriber": "describer",
    "Interrogator": "interrogator",
    "PromptHistory": "history",
    "ScoredTemplate": "history",
    "SmallModelProposer": "proposer",
    "TemplateClassifier": "classifier",
    "TemplateProposer": "proposer",
}

__all__ = [
    "IPO",
    "ImageDescriber",
    "Interrogator",
    "PromptHistory",
    "ScoredTemplate",
    "SmallModelProposer",
    "TemplateClassifier",
    "TemplateProposer",
]


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: DSPy and torch take seconds, and the command line must not wait for them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ipo.programs' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ipo.programs.{_HOMES[name]}"), name)
