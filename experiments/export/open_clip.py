"""open_clip: a Python file of callables for `build_zero_shot_classifier`, and the matrix that it builds."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np

from ipo_prompts.experiments.export.reading import reader, same_pixels
from ipo_prompts.experiments.export.target import Reference, no_place
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.classifier import TemplateClassifier

TEMPLATES_FILE = "zero_shot_templates.py"
MATRIX_FILE = "classifier.safetensors"
MATRIX = "classifier"

# Callables, because open_clip fills strings with `str.format`, to which a brace in a template means something else.
_PYTHON = '''\
"""Zero-shot templates for open_clip:

    classifier = open_clip.build_zero_shot_classifier(model, tokenizer, CLASS_NAMES, templates)

The same matrix, made already:

    classifier = safetensors.torch.load_file("{matrix_file}")["{matrix}"]

With unit image features (n, D), the class of each picture:

    (image_features @ classifier).argmax(dim=1)

Open pictures with `read`, which shows transparent and turned ones as the program was made with:

    image_features = model.encode_image(preprocess(read("picture.png"))[None], normalize=True)
"""

CLIP = {clip}
FINGERPRINT = {fingerprint}
TEMPLATES = [
{templates}
]
CLASS_NAMES = [
{names}
]


def _filled(template):
    return lambda name: template.replace({slot}, name.replace("_", " "))


templates = [_filled(template) for template in TEMPLATES]


{reader}'''


class OpenClip:
    """A folder with `zero_shot_templates.py` and `classifier.safetensors`.

    The matrix `classifier` is float32 (D, C) with unit columns, as `build_zero_shot_classifier` returns it; its logits
    are `logit_scale * image_features @ classifier`. Its metadata, all text: clip, fingerprint, temperature, background,
    and as JSON lists class_names and templates.
    """

    def refusal(self, program: TemplateClassifier) -> str | None:
        """The classifier of open_clip is a plain mean over templates."""
        return (
            no_place(program, "build_zero_shot_classifier of open_clip", "weights")
            or no_place(program, "the file of templates for open_clip", "synonyms")
            or no_place(program, "the matrix of open_clip", "offsets", "pictures")
        )

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        from safetensors.numpy import save

        def listed(texts: tuple[str, ...]) -> str:
            return "\n".join(f"    {text!r}," for text in texts)

        templates = tuple(template for template, _ in program.templates)
        place.mkdir()
        # Every text is written by `repr`: quotes, braces and backslashes survive.
        source = _PYTHON.format(
            clip=repr(program.clip.name),
            fingerprint=repr(program.clip.fingerprint),
            templates=listed(templates),
            names=listed(program.class_names),
            slot=repr(SLOT),
            matrix_file=MATRIX_FILE,
            matrix=MATRIX,
            reader=reader(program.background),
        )
        (place / TEMPLATES_FILE).write_text(source, encoding="utf-8")
        metadata = {
            "clip": program.clip.name,
            "fingerprint": program.clip.fingerprint,
            "class_names": json.dumps(program.class_names),
            "templates": json.dumps(templates),
            "temperature": repr(program.temperature),
            "background": program.background,
        }
        matrix = np.ascontiguousarray(program.class_embeddings().T)
        (place / MATRIX_FILE).write_bytes(save({MATRIX: matrix}, metadata))

    def check(self, reference: Reference, place: Path) -> str:
        """Build the classifier from the Python file with open_clip, and load the matrix."""
        import open_clip
        from safetensors.torch import load_file

        clip = reference.program.clip
        module = runpy.run_path(str(place / TEMPLATES_FILE))
        built = open_clip.build_zero_shot_classifier(
            clip.model, clip.tokenizer, module["CLASS_NAMES"], module["templates"], device=clip.device
        )
        same_pixels(reference, module["read"])
        loaded = load_file(place / MATRIX_FILE)[MATRIX]
        reference.same_classes(loaded.T.numpy())
        embeddings = reference.same_classes(built.T.float().cpu().numpy())
        for matrix in (loaded, built.float().cpu()):
            labels = reference.same_labels((reference.features @ matrix.numpy()).argmax(axis=1))
        return f"with open_clip {open_clip.__version__}: {labels}, {embeddings}"
