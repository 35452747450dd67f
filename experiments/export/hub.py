"""`hub`: a folder ready to push to the Hugging Face hub: the program, its head as files, and a card for people."""

from __future__ import annotations

import json
from pathlib import Path

from ipo_prompts.experiments.export.head import HeadFiles
from ipo_prompts.experiments.export.target import Reference
from ipo_prompts.experiments.run.result import RESULT, load_result
from ipo_prompts.programs.classifier import TemplateClassifier

PROGRAM, CARD = "program.json", "README.md"


class HubFolder(HeadFiles):
    """The folder of `head`, with `program.json` and a card.

    Attributes:
        run: the run directory, whose verdict the card has; None for a program without one.
    """

    def __init__(self, run: Path | None = None) -> None:
        """Take the run from a run directory that has a result."""
        self.run = run if run is not None and (run / RESULT).exists() else None

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Others must be able to load its CLIP."""
        if program.clip.name.startswith("local-dir:"):
            return "its CLIP is in a folder of this machine; push that to the hub, and optimise with --clip hf-hub:…"
        return None

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        super().write(program, place)
        program.save(str(place / PROGRAM))
        (place / CARD).write_text(self._card(program), encoding="utf-8")

    def check(self, reference: Reference, place: Path) -> str:
        """Check the head, and load the program again."""
        TemplateClassifier.from_file(place / PROGRAM, reference.program.clip)
        return super().check(reference, place)

    def _card(self, program: TemplateClassifier) -> str:
        """Return the card; every text of others is a JSON string in a block of code, where it is no markup."""
        verdict = load_result(self.run).verdict if self.run else "Nothing is known of a run that tested it."
        about = {
            "verdict": verdict,
            "templates": [template for template, _ in program.templates],
            "classes": list(program.labels),
            "clip": program.clip.name,
            "fingerprint": program.clip.fingerprint,
        }
        sure = (
            "No temperature was fitted: probabilities order labels, and say no more."
            if program.temperature == 1
            else "Probabilities were fitted to pictures that were held back or left out."
        )
        lines = json.dumps(about, indent=2, ensure_ascii=True).replace("`", "\\u0060")
        return (
            "---\nlibrary_name: ipo-prompts\npipeline_tag: zero-shot-image-classification\n---\n\n"
            f"# A classifier in words for {len(program.labels)} classes\n\n```json\n{lines}\n```\n\n"
            "Label pictures with `ipo predict hf://USER/NAME PICTURES`, or with the files of\nthe head alone.\n"
            "\n## Limits\n\n"
            "- The verdict is of pictures like those that it was made with, and of the template alone.\n"
            "- It names one of its classes whatever a picture shows; `--reject` tells some of the others.\n"
            f"- {sure}\n- It is for this CLIP alone, with these weights and this picture transform.\n"
        )
