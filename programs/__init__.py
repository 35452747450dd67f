"""DSPy modules and the optimizer that compiles them. `__all__` lists the public names.

- `TemplateClassifier`: the program. It takes a picture and returns a label and probabilities; its state is its
  templates.
- `IPO`: the optimizer (teleprompter). It searches templates with a reward and returns an optimised copy of the program.
- `SearchSettings`, `SearchResult`: the settings and the result of a search. `search.search` runs a search without
  DSPy's examples and programs.
- `ImageDescriber`, `Interrogator`: describers, with and without a multimodal language model.
- `PromptHistory`, `ScoredTemplate`: the proposed templates with their scores.

A strategy finds new templates: see `ipo_prompts.programs.strategies`.

Source: Du, Sun and Snoek, "IPO: Interpretable Prompt Optimization for Vision-Language Models", NeurIPS 2024
(arXiv:2410.15397). Values and accuracies are fractions in [0, 1]; losses are mean cross-entropies in nats. Bad input
raises `ipo_prompts.metrics.errors.InputError`. If a language model cannot be reached,
`dspy.LMError` is raised.

From pictures to a saved program (the language model's key is read from the environment):

>>> import dspy
>>> from ipo_prompts import IPO, TemplateClassifier, draw, load_clip, load_data
>>> clip = load_clip("embedded")
>>> data = draw(load_data("embedded", seed=0), shots=1, selection_shots=1, seed=0)
>>> student = TemplateClassifier(clip, data.class_names)
>>> lm = dspy.LM("openai/gpt-4o-mini", temperature=1.0)
>>> ipo = IPO(lm=lm, task="pictures of things", steps=1)
>>> program = ipo.compile(student, trainset=data.examples("search"), valset=data.examples("selection"))
>>> program.save("program.json")
>>> TemplateClassifier.from_file("program.json").template == program.template
True
>>> student.template
'a photo of a <CLASS>.'
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipo_prompts.programs.classifier import TemplateClassifier
    from ipo_prompts.programs.describers.interrogator import Interrogator
    from ipo_prompts.programs.describers.multimodal import ImageDescriber
    from ipo_prompts.programs.optimizer import IPO
    from ipo_prompts.programs.search import SearchResult
    from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
    from ipo_prompts.programs.templates.settings import SearchSettings

_HOMES = {
    "IPO": "optimizer",
    "ImageDescriber": "describers.multimodal",
    "Interrogator": "describers.interrogator",
    "PromptHistory": "templates.history",
    "ScoredTemplate": "templates.history",
    "SearchResult": "search",
    "SearchSettings": "templates.settings",
    "TemplateClassifier": "classifier",
}

__all__ = [
    "IPO",
    "ImageDescriber",
    "Interrogator",
    "PromptHistory",
    "ScoredTemplate",
    "SearchResult",
    "SearchSettings",
    "TemplateClassifier",
]


def __getattr__(name: str) -> Any:
    """Import a public class when it is first used: DSPy and torch take seconds, and the command line must not wait."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ipo_prompts.programs' has no attribute {name!r}")
    return resolve_name(f"{__name__}.{_HOMES[name]}:{name}")
