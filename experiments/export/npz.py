"""NumPy: all that a classifier needs besides the image tower, in one file without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.export.target import Differs, Reference
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.programs.classifier import TemplateClassifier


class Npz:
    """An `.npz` file.

    class_embeddings float32 (C, D), unit rows, over all names of a class; class_names (C,), the first of each, and
    templates (T,), text; weights float64 (T,); logit_scale, logit_bias and temperature, numbers; clip and fingerprint,
    text. Probabilities are softmax((logit_scale · features @ class_embeddings.T + logit_bias) / temperature). A program
    with offsets has them too, float32 (C,), to be added before the division.
    """

    def refusal(self, program: TemplateClassifier) -> str | None:
        """It holds any program; but NumPy's text arrays drop NUL characters at the end."""
        if any("\0" in name for name in program.class_names):
            return "a class name has a NUL character, which NumPy does not keep"
        return None

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file."""
        found = program.class_offsets()
        offsets: dict[str, Any] = {} if found is None else {"offsets": found}
        with place.open("wb") as file:  # given a name, NumPy adds a suffix
            np.savez(
                file,
                class_embeddings=program.class_embeddings(),
                class_names=np.array(program.class_names),
                templates=np.array([template for template, _ in program.templates]),
                weights=np.array([weight for _, weight in program.templates], dtype=np.float64),
                logit_scale=np.float64(program.clip.logit_scale),
                logit_bias=np.float64(program.clip.logit_bias),
                temperature=np.float64(program.temperature),
                clip=np.array(program.clip.name),
                fingerprint=np.array(program.clip.fingerprint),
                **offsets,
            )

    def check(self, reference: Reference, place: Path) -> str:
        """Classify with what NumPy reads back, by the formula above."""
        with np.load(place, allow_pickle=False) as arrays:
            read = dict(arrays)
        program = reference.program
        weighted = tuple(zip(read["templates"].tolist(), read["weights"].tolist(), strict=True))
        if (tuple(read["class_names"].tolist()), weighted) != (program.class_names, program.templates):
            raise Differs("after loading, the class names or templates are not the same.")
        embeddings = reference.same_classes(read["class_embeddings"])
        logits = read["logit_scale"] * (reference.features @ read["class_embeddings"].T) + read["logit_bias"]
        logits = logits + read.get("offsets", np.float32(0))
        probabilities = softmax(logits, float(read["temperature"]))
        largest = float(np.abs(probabilities - reference.probabilities).max())
        if not largest <= 1e-4:
            raise Differs(f"after loading, the probabilities differ by up to {largest:.1g}.")
        labels = reference.same_labels(probabilities.argmax(axis=1))
        return f"with NumPy {np.__version__}: {labels}, {embeddings}"
