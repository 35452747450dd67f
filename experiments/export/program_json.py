"""`program.json`: the program itself, as DSPy saves it and `ipo predict` and `TemplateClassifier` load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ipo_prompts.experiments.export.target import Differs, Reference
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.classifier import TemplateClassifier


class ProgramJson:
    """One JSON file with templates, weights, classes, temperature and the name of the CLIP."""

    def refusal(self, program: TemplateClassifier) -> str | None:
        """It holds any program."""
        return None

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file.

        Raises:
            InputError: DSPy would not load it by this name.
        """
        if place.suffix != ".json":
            raise InputError("DSPy loads a program from a name that ends with .json; name such an --out.")
        program.save(str(place))

    def check(self, reference: Reference, place: Path) -> str:
        """Load it with DSPy and classify the pictures from their pixels."""
        program = reference.program
        again = TemplateClassifier(program.clip, program.class_names)
        again.load(str(place))
        probabilities = again.probabilities(reference.pictures)
        if not np.allclose(probabilities, reference.probabilities, atol=1e-5):
            raise Differs("after loading, the probabilities are not the same.")
        return f"with DSPy: {reference.same_labels(probabilities.argmax(axis=1))}, probabilities equal"
