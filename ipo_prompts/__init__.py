"""Find prompt templates for CLIP that people can read, and test them on images that the search never saw.

    import ipo_prompts as ipo

    result = ipo.optimize("folder:pets", clip="ViT-B-16/openai", lm="openai/gpt-4o-mini")
    result.classifier(image="cat.jpg").label

- `optimize`: what the command `ipo optimize` does, in one call; it returns an `Outcome`.
- `evaluate`, `benchmark`: what the commands of these names do.
- `TemplateClassifier`, `IPO`: the DSPy program and the DSPy optimizer behind `optimize`, see `ipo_prompts.programs`.
- `load_clip`, `load_data`, `draw`, `ClipReward`: what these two are given: a frozen CLIP, images, a few of them for
  each class, and the accuracy of a template on them.
- `IPOClassifier`: an estimator of scikit-learn that does the same. It needs the extra for scikit-learn.
- `InputError`: an error that the caller can fix; its text is one sentence that says how.

Nothing is imported before it is used: DSPy and torch take seconds. In a checkout, the folders beside this file are
links to those at the top.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ipo_prompts.metrics.device import wait_briefly

if TYPE_CHECKING:
    from ipo_prompts.experiments.compare.runner import benchmark
    from ipo_prompts.experiments.data import draw, load_data
    from ipo_prompts.experiments.estimator import IPOClassifier as IPOClassifier
    from ipo_prompts.experiments.measure import evaluate
    from ipo_prompts.experiments.one_call import Outcome, optimize
    from ipo_prompts.metrics.classification import ClipReward
    from ipo_prompts.metrics.clip import load_clip
    from ipo_prompts.metrics.errors import InputError
    from ipo_prompts.programs.classifier import TemplateClassifier
    from ipo_prompts.programs.optimizer import IPO

_HOMES = {
    "ClipReward": "metrics.classification",
    "IPO": "programs.optimizer",
    "IPOClassifier": "experiments.estimator",
    "InputError": "metrics.errors",
    "Outcome": "experiments.one_call",
    "TemplateClassifier": "programs.classifier",
    "benchmark": "experiments.compare.runner",
    "draw": "experiments.data",
    "evaluate": "experiments.measure",
    "load_clip": "metrics.clip",
    "load_data": "experiments.data",
    "optimize": "experiments.one_call",
}

# `IPOClassifier` is left out, so that `from ipo_prompts import *` needs no extra.
__all__ = [
    "IPO",
    "ClipReward",
    "InputError",
    "Outcome",
    "TemplateClassifier",
    "benchmark",
    "draw",
    "evaluate",
    "load_clip",
    "load_data",
    "optimize",
]


wait_briefly()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ipo_prompts' has no attribute {name!r}")
    return getattr(import_module(f"ipo_prompts.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
