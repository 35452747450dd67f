"""Plain text: the templates, one a line, as `ipo evaluate --templates-file` reads them."""

from __future__ import annotations

from pathlib import Path

from ipo_prompts.experiments.export.target import Differs, Reference, no_place_for_offsets, unequal_weights
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.classifier import TemplateClassifier


class Txt:
    """A UTF-8 file, one template a line, the slot written `<CLASS>`."""

    def refusal(self, program: TemplateClassifier) -> str | None:
        """A line holds no weight, and no space at either end."""
        if unequal_weights(program):
            return "a list of templates holds no weights and these have some; take npz or program.json"
        if any(template != template.strip() for template, _ in program.templates):
            return "a template begins or ends with a space, which a list of templates does not keep"
        return no_place_for_offsets(program, "a list of templates")

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
