"""Hugging Face: the arguments of transformers' zero-shot image classification pipeline."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.export.target import NotChecked, Reference, formatted, no_place, spoken
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.classifier import TemplateClassifier

TASK = "zero-shot-image-classification"
MODELS = {
    "ViT-B-32/openai": "openai/clip-vit-base-patch32",
    "ViT-B-16/openai": "openai/clip-vit-base-patch16",
    "ViT-L-14/openai": "openai/clip-vit-large-patch14",
    "ViT-L-14-336/openai": "openai/clip-vit-large-patch14-336",
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
}
"""open_clip's name of a model → its name on the Hugging Face hub, in the hub's own format."""
TEXTS = 4000
"""Texts to encode in the check: the pipeline encodes all classes again for every picture."""
TIE = 0.05
"""Its picture transform resizes with another library, which moves probabilities by a few hundredths."""


@dataclass(frozen=True)
class HuggingFace:
    """A JSON file with `task`, `model`, `candidate_labels` and `hypothesis_template`.

    The pipeline fills with `hypothesis_template.format(label)`: one slot is `{}`, several are `{0}` each, braces are
    doubled. It has one template, no weights and no temperature.

    Attributes:
        model: the model's id on the hub or its folder; looked up by the CLIP's name when None.
    """

    model: str | None = None

    def refusal(self, program: TemplateClassifier) -> str | None:
        """One template, a model in Hugging Face's format, class names that can be told apart."""
        if len(program.templates) > 1:
            return (
                f"the pipeline of Hugging Face has one hypothesis_template and this is an ensemble of "
                f"{len(program.templates)}; take open_clip or npz"
            )
        names = spoken(program.class_names)
        if len(set(names)) < len(names):
            return "the pipeline of Hugging Face names labels by their text and two classes have the same"
        if self._model(program) is None:
            return (
                f"it is not known what the CLIP {program.clip.name!r} is called in Hugging Face's format; name its hub "
                "id or folder with --hf-model"
            )
        return no_place(program, "the pipeline of Hugging Face", "synonyms", "offsets", "pictures")

    def _model(self, program: TemplateClassifier) -> str | None:
        name = program.clip.name
        if self.model is None and name.startswith("hf-hub:"):
            return name.removeprefix("hf-hub:")
        return self.model or MODELS.get(name)

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file."""
        arguments = {
            "task": TASK,
            "model": self._model(program),
            "candidate_labels": spoken(program.class_names),
            "hypothesis_template": formatted(program.template, "{}" if program.template.count(SLOT) == 1 else "{0}"),
            "open_clip": {"name": program.clip.name, "fingerprint": program.clip.fingerprint},
            "note": "pipeline(task, model=model)(picture, candidate_labels=…, hypothesis_template=…). The model is the "
            f"one that open_clip calls {program.clip.name}. Its scores are not calibrated: this program divides logits "
            f"by {program.temperature:g}, the pipeline by 1.",
        }
        place.write_text(json.dumps(arguments, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def check(self, reference: Reference, place: Path) -> str:
        """Run the pipeline on the pictures, and compare the texts that it encodes."""
        try:
            import transformers
        except ImportError as error:
            raise NotChecked("transformers is not installed; pip install transformers") from error
        import torch

        written = json.loads(place.read_text(encoding="utf-8"))
        ours = reference.program.clip
        pipe = _pipeline(transformers, written["task"], written["model"], ours.device)
        names, template = written["candidate_labels"], written["hypothesis_template"]
        some = reference.first(max(4, TEXTS // len(names)))
        why = f"{written['model']} has other weights than {ours.name}, or reads the template differently"
        images = [picture.image() for picture in some.pictures]
        inputs = pipe.preprocess(images[0], candidate_labels=names, hypothesis_template=template)
        with torch.inference_mode():
            texts: Any = pipe.model.get_text_features(**inputs["text_inputs"][0].to(pipe.device))
        texts = getattr(texts, "pooler_output", texts)  # a tensor before transformers 5
        rows = torch.nn.functional.normalize(texts.float(), dim=-1).cpu().numpy()
        embeddings = reference.same_classes(rows, why)
        place_of = {name: i for i, name in enumerate(names)}
        answers = pipe(images, candidate_labels=names, hypothesis_template=template)
        best = np.array([place_of[max(answer, key=lambda one: one["score"])["label"]] for answer in answers])
        labels = some.same_labels(best, TIE, why="its picture transform differs")
        return f"with transformers {transformers.__version__}: {labels}, {embeddings}"


def _pipeline(transformers: Any, task: str, model: str, device: str) -> Any:
    transformers.logging.disable_progress_bar()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # each try to reach the hub is a warning; the error says what matters
    try:
        return transformers.pipeline(task, model=model, device=device, trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise NotChecked(f"transformers cannot load {model} ({reason}); check its name, files or network") from error
    finally:
        logging.disable(before)
