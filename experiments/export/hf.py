"""Hugging Face: the arguments of transformers' zero-shot image classification pipeline, with the model where needed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.export.for_transformers import save, unmapped
from ipo_prompts.experiments.export.reading import reader
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
    "ViT-B-16-SigLIP/webli": "google/siglip-base-patch16-224",
    "ViT-B-16-SigLIP-256/webli": "google/siglip-base-patch16-256",
    "ViT-B-16-SigLIP-384/webli": "google/siglip-base-patch16-384",
    "ViT-L-16-SigLIP-256/webli": "google/siglip-large-patch16-256",
    "ViT-L-16-SigLIP-384/webli": "google/siglip-large-patch16-384",
    "ViT-SO400M-14-SigLIP/webli": "google/siglip-so400m-patch14-224",
    "ViT-SO400M-14-SigLIP-384/webli": "google/siglip-so400m-patch14-384",
}
"""open_clip's name of a model → its name on the Hugging Face hub, in the hub's own format."""
HERE, ARGUMENTS = ".", "pipeline.json"
"""The model of a folder that holds one, and the file with its arguments."""
TEXTS = 4000
"""Texts to encode in the check: the pipeline encodes all classes again for every picture."""
TIE = 0.05
"""Its picture transform resizes with another library, which moves probabilities by a few hundredths."""


@dataclass(frozen=True)
class HuggingFace:
    """A JSON file with `task`, `model`, `candidate_labels` and `hypothesis_template`.

    Where the CLIP has no known name on the hub it is a folder with the model in transformers' format, this file as
    `pipeline.json`, and `read.py`, which opens pictures as the program does.

    The pipeline fills with `hypothesis_template.format(label)`: one slot is `{}`, several are `{0}` each, braces are
    doubled. It has one template, no weights and no temperature.

    Attributes:
        model: the model's id on the hub or its folder; when None looked up by the CLIP's name, or written.
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
        if self._model(program) == HERE:
            if find_spec("transformers") is None:
                return "it takes the package transformers; pip install transformers"
            with _quiet():
                reason = unmapped(program.clip)
            if reason:
                return (
                    f"the CLIP {program.clip.name!r} cannot be written for transformers, as {reason}; name its hub id "
                    "or folder there with --hf-model, or take open_clip or onnx"
                )
        return no_place(program, "the pipeline of Hugging Face", "synonyms", "offsets", "pictures")

    def _model(self, program: TemplateClassifier) -> str:
        """Return the id or folder; `HERE` where the model is written."""
        name = program.clip.name
        if self.model is None and name.startswith("hf-hub:") and not name.startswith("hf-hub:timm/"):
            return name.removeprefix("hf-hub:")
        return self.model or MODELS.get(name, HERE)

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file, or the folder."""
        model = self._model(program)
        if model == HERE:
            with _quiet():
                save(program.clip, place)
            (place / "read.py").write_text(reader(program.background), encoding="utf-8")
        arguments = {
            "task": TASK,
            "model": model,
            "candidate_labels": spoken(program.class_names),
            "hypothesis_template": formatted(program.template, "{}" if program.template.count(SLOT) == 1 else "{0}"),
            "open_clip": {"name": program.clip.name, "fingerprint": program.clip.fingerprint},
            "note": "pipeline(task, model=model)(picture, candidate_labels=…, hypothesis_template=…). The model is the "
            f"one that open_clip calls {program.clip.name}. Its scores are not calibrated: this program divides logits "
            f"by {program.temperature:g}, the pipeline by 1. It resizes pictures with torchvision; "
            "image_processor=AutoImageProcessor.from_pretrained(model, backend='pil') does so as this program does.",
        }
        file = place / ARGUMENTS if model == HERE else place
        file.write_text(json.dumps(arguments, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def check(self, reference: Reference, place: Path) -> str:
        """Run the pipeline on the pictures, and compare the texts that it encodes."""
        try:
            import transformers
        except ImportError as error:
            raise NotChecked("transformers is not installed; pip install transformers") from error
        import torch

        own = place.is_dir()
        written = json.loads((place / ARGUMENTS if own else place).read_text(encoding="utf-8"))
        ours = reference.program.clip
        pipe = _pipeline(transformers, written["task"], str(place) if own else written["model"], ours.device)
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep its progress bars and warnings off the terminal, such as each try to reach the hub; errors say it all."""
    import transformers

    transformers.logging.disable_progress_bar()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _pipeline(transformers: Any, task: str, model: str, device: str) -> Any:
    try:
        with _quiet():
            return transformers.pipeline(task, model=model, device=device, trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise NotChecked(f"transformers cannot load {model} ({reason}); check its name, files or network") from error
