"""CLIP_benchmark: the JSON files of its `--custom_template_file` and `--custom_classname_file`."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from ipo_prompts.experiments.export.target import NotChecked, Reference, formatted, no_place, spoken
from ipo_prompts.programs.classifier import TemplateClassifier

TEMPLATES_FILE = "templates.json"
NAMES_FILE = "classnames.json"


@dataclass(frozen=True)
class ClipBenchmark:
    """A folder with `templates.json` and `classnames.json`, each {data set: [texts]}.

    CLIP_benchmark fills a template with `template.format(c=name)`, so the slot is `{c}` and braces are doubled. It
    looks up both lists by the data set's name, and reads the files in the locale's encoding, hence the ASCII.

    Attributes:
        dataset: CLIP_benchmark's name of the data set, whose labels must be in the order of the class names. A
            WebDataset folder of your own is `wds/NAME`.
    """

    dataset: str = "wds/ipo"

    def refusal(self, program: TemplateClassifier) -> str | None:
        """CLIP_benchmark's classifier is a plain mean over templates."""
        return no_place(program, "CLIP_benchmark", "weights", "synonyms", "offsets", "pictures")

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        place.mkdir()
        templates = [formatted(template, "{c}") for template, _ in program.templates]
        for file, texts in ((TEMPLATES_FILE, templates), (NAMES_FILE, spoken(program.class_names))):
            (place / file).write_text(json.dumps({self.dataset: texts}, indent=2) + "\n", encoding="ascii")

    def check(self, reference: Reference, place: Path) -> str:
        """Look up the lists, build the classifier and label the pictures with CLIP_benchmark's own functions."""
        try:
            from clip_benchmark.datasets.builder import value_from_first_key_found
            from clip_benchmark.metrics.zeroshot_classification import run_classification, zero_shot_classifier
        except ImportError as error:
            missing = (error.name or "clip_benchmark").partition(".")[0]
            raise NotChecked(f"{missing} is not installed; pip install clip_benchmark requests") from error
        import torch

        clip = reference.program.clip
        templates, names = (
            value_from_first_key_found(json.loads((place / file).read_text(encoding="ascii")), keys=[self.dataset])
            for file in (TEMPLATES_FILE, NAMES_FILE)
        )
        pictures = torch.stack([clip.preprocess(picture.image()) for picture in reference.pictures])
        nothing = torch.zeros(len(pictures), dtype=torch.int64)  # it needs true labels, and only returns them
        with redirect_stderr(io.StringIO()):  # its progress bars
            classifier = zero_shot_classifier(clip.model, clip.tokenizer, names, templates, clip.device, amp=False)
            logits, _ = run_classification(clip.model, classifier, [(pictures, nothing)], clip.device, amp=False)
        embeddings = reference.same_classes(classifier.T.float().cpu().numpy())
        return f"with CLIP_benchmark: {reference.same_labels(logits.argmax(dim=1).numpy())}, {embeddings}"
