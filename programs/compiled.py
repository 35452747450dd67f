"""A program with a classifier inside: which one is optimised, and the copy that has what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import dspy

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.arguments import kind
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.running import Searched

Program = TypeVar("Program", bound=dspy.Module)
"""A `TemplateClassifier`, or a larger program with one inside."""
LEFT = ("candidate_programs", "trial_logs", "search", "usage")
"""What a compile leaves on its program, beside templates."""


def classifier_in(program: Any) -> tuple[str, TemplateClassifier]:
    """Return the classifier that a program is or holds, with its name among the program's predictors.

    Raises:
        InputError: there is none, or there are several.
    """
    if isinstance(program, TemplateClassifier):
        return "self", program
    parts = program.named_predictors() if isinstance(program, dspy.Module) else []
    found = [(name, part) for name, part in parts if isinstance(part, TemplateClassifier)]
    if len(found) == 1:
        return found[0]
    if found:
        name = found[0][0]
        raise InputError(
            f"IPO optimises one template at a time, and {kind(program)} has the classifiers "
            f"{' and '.join(name for name, _ in found)}; compile each by itself, as in "
            f"program.{name} = ipo.compile(program.{name}, trainset=…)."
        )
    how = "give TemplateClassifier(clip, class_names), or a program that holds one"
    raise InputError(f"IPO optimises the template of a TemplateClassifier, not {kind(program)}; {how}.")


def compiled(student: Program, found: Searched, scale: Scale) -> Program:
    """Return a copy of a program with the choice of a search; DSPy's own attributes say what was tried."""
    plain: Any = student.deepcopy()
    parts: tuple[Any, ...] = (plain, classifier_in(plain)[1])
    for part in parts:  # each copy would hold what an earlier compile left
        for name in LEFT:
            vars(part).pop(name, None)
    result = found.result
    program: Any = _with_templates(plain, result.choice.templates)
    if found.settled and found.settled.kept:
        classifier = classifier_in(program)[1]
        classifier.offsets = found.settled.kept.settled(classifier.clip, classifier.class_embeddings())
    program.candidate_programs = [
        {
            "score": 100 * entry.value if scale.percent else entry.value,
            "program": _with_templates(plain, [entry.template]),
            "loss": entry.loss,
        }
        for entry in result.history.ranked()
    ]
    program.trial_logs = {step.number: step.record() for step in result.steps}
    program.search, program.usage = result, found.ledger.roles
    program._compiled = True
    return cast("Program", program)


def _with_templates(student: Program, templates: Sequence[str]) -> Program:
    program = cast("Program", student.deepcopy())
    classifier_in(program)[1].set_templates([(template, 1.0) for template in templates])
    return program
