"""One file for programs of your own: `npz` for NumPy, `txt` for `ipo evaluate`, `program.json` for `ipo predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.export.target import Differs, Reference, no_place
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import softmax
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.classifier import TemplateClassifier


class Npz:
    """An `.npz` file: all that a classifier needs besides the image tower, without pickle.

    class_embeddings float32 (C, D), over all names of a class, unit rows but where a program has pictures beside words;
    class_names (C,), the first of each, and templates (T,), text; weights float64 (T,); logit_scale, logit_bias and
    temperature, numbers; clip, fingerprint and background, text. Probabilities are softmax((logit_scale · features @
    class_embeddings.T + logit_bias) / temperature). A program with offsets or pictures has `offsets` too, float32 (C,),
    to be added before the division.
    """

    def refusal(self, program: TemplateClassifier) -> str | None:
        """It holds any program; but NumPy's text arrays drop NUL characters at the end."""
        if any("\0" in name for name in program.class_names):
            return "a class name has a NUL character, which NumPy does not keep"
        return None

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file."""
        head = program.head()
        more = program.offsets is not None or program.pictures is not None
        offsets: dict[str, Any] = {"offsets": head.bias - np.float32(program.clip.logit_bias)} if more else {}
        with place.open("wb") as file:  # given a name, NumPy adds a suffix
            np.savez(
                file,
                class_embeddings=head.rows,
                class_names=np.array(program.class_names),
                templates=np.array([template for template, _ in program.templates]),
                weights=np.array([weight for _, weight in program.templates], dtype=np.float64),
                logit_scale=np.float64(program.clip.logit_scale),
                logit_bias=np.float64(program.clip.logit_bias),
                temperature=np.float64(program.temperature),
                clip=np.array(program.clip.name),
                fingerprint=np.array(program.clip.fingerprint),
                background=np.array(program.background),
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


class Txt:
    """A UTF-8 file, one template a line, the slot written `<CLASS>`."""

    def refusal(self, program: TemplateClassifier) -> str | None:
        """A line holds no weight, and no space at either end."""
        if len({weight for _, weight in program.templates}) > 1:
            return "a list of templates holds no weights and these have some; take npz or program.json"
        if any(template != template.strip() for template, _ in program.templates):
            return "a template begins or ends with a space, which a list of templates does not keep"
        return no_place(program, "a list of templates", "offsets", "pictures")

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file."""
        place.write_text("".join(f"{template}\n" for template, _ in program.templates), encoding="utf-8", newline="\n")

    def check(self, reference: Reference, place: Path) -> str:
        """Read it as `ipo evaluate` does and classify with what is read."""
        program = reference.program
        read = read_templates(place)
        if read != [template for template, _ in program.templates]:
            raise Differs("after reading, the templates are not the same.")
        again = TemplateClassifier(program.clip, program.class_names, [(template, 1.0) for template in read])
        embeddings = reference.same_classes(again.class_embeddings())
        labels = (reference.features @ again.class_embeddings().T).argmax(axis=1)
        return f"as `ipo evaluate` reads it: {reference.same_labels(labels)}, {embeddings}"


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
