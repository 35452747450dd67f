"""Export a program to a form that another tool can run.

An export is written to a temporary path and loaded with the target's own library. The results are compared with those
of the program on real pictures. Only then the export is moved to its final path.

Here are the targets `open_clip` and `program.json`, and the list of all. `head` and `onnx` are in `head.py`.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import ClassVar

import numpy as np

from ipo_prompts.experiments.export.head import HeadFiles, Onnx
from ipo_prompts.experiments.export.target import (
    READER,
    Differs,
    Reference,
    Target,
    export,
    with_open_clip,
    write_readme,
)
from ipo_prompts.metrics.clip import open_clip_arguments
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import SLOT, have_synonyms
from ipo_prompts.programs.classifier import TemplateClassifier

__all__ = ["TARGETS", "Differs", "OpenClip", "Reference", "Target", "best_target", "export"]

TEMPLATES_FILE = "zero_shot_templates.py"
MATRIX_FILE = "classifier.safetensors"
MATRIX = "classifier"

# Templates are written as functions: open_clip fills strings with `str.format`, to which braces have a meaning.
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
OPEN_CLIP = {arguments}
LOGIT_SCALE = {scale}
TEMPERATURE = {temperature}
FINGERPRINT = {fingerprint}
TEMPLATES = [{template}]
CLASS_NAMES = [
{names}
]
LABELS = [  # the names of the classes in answers
{labels}
]


def _filled(template):
    return lambda name: template.replace({slot}, name.replace("_", " "))


templates = [_filled(template) for template in TEMPLATES]


{reader}'''


_USE_OPEN_CLIP = with_open_clip(
    """\
import runpy, sys
import numpy as np, open_clip, torch
from safetensors.numpy import load_file

about, matrix = runpy.run_path("zero_shot_templates.py"), load_file("classifier.safetensors")["classifier"]
read = about["read"]
""",
    'about["OPEN_CLIP"]',
    'about["LOGIT_SCALE"] * (features @ matrix)',
    'about["TEMPERATURE"]',
    'about["LABELS"]',
)


class OpenClip(Target):
    """A folder with `zero_shot_templates.py`, `classifier.safetensors` and a README.

    The matrix `classifier` is float32 (D, C) with unit columns, as `build_zero_shot_classifier` returns it. The logits
    are `logit_scale * image_features @ classifier`. The file also holds metadata, which are texts: clip, fingerprint,
    temperature, class_names, labels (the names in answers) and templates. The last three are JSON lists.
    """

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why open_clip cannot hold a program; None if it can."""
        if have_synonyms(program.class_names):
            return (
                "the file of templates for open_clip has one name a class and classes of this program have synonyms; "
                "take head or program.json"
            )
        return None

    def held(self, program: TemplateClassifier) -> TemplateClassifier:
        """Return the program without labelled pictures: the matrix of open_clip has no place for them."""
        return program.words_alone()

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        from safetensors.numpy import save

        def listed(texts: tuple[str, ...]) -> str:
            return "\n".join(f"    {text!r}," for text in texts)

        place.mkdir()
        # Every text is written with `repr`, so that quotes, braces and backslashes stay as they are.
        source = _PYTHON.format(
            clip=repr(program.clip.name),
            arguments=repr(open_clip_arguments(program.clip.name)),
            scale=repr(float(program.clip.logit_scale)),
            temperature=repr(float(program.temperature)),
            fingerprint=repr(program.clip.fingerprint),
            template=repr(program.template),
            names=listed(program.class_names),
            labels=listed(program.labels),
            slot=repr(SLOT),
            matrix_file=MATRIX_FILE,
            matrix=MATRIX,
            reader=READER,
        )
        (place / TEMPLATES_FILE).write_text(source, encoding="utf-8")
        metadata = {
            "clip": program.clip.name,
            "fingerprint": program.clip.fingerprint,
            "class_names": json.dumps(program.class_names),
            "labels": json.dumps(program.labels),
            "templates": json.dumps([program.template]),
            "temperature": repr(program.temperature),
        }
        matrix = np.ascontiguousarray(program.class_embeddings().T)
        (place / MATRIX_FILE).write_bytes(save({MATRIX: matrix}, metadata))
        write_readme(program, place, _USE_OPEN_CLIP)

    def check(self, reference: Reference, place: Path) -> str:
        """Build the classifier from the Python file with open_clip, and load the matrix; compare with the program."""
        import open_clip
        from safetensors.torch import load_file

        clip = reference.program.clip
        module = runpy.run_path(str(place / TEMPLATES_FILE))
        built = open_clip.build_zero_shot_classifier(
            clip.model, clip.tokenizer, module["CLASS_NAMES"], module["templates"], device=clip.device
        )
        reference.same_pixels(module["read"])
        loaded = load_file(place / MATRIX_FILE)[MATRIX]
        reference.same_classes(loaded.T.numpy())
        embeddings = reference.same_classes(built.T.float().cpu().numpy())
        for matrix in (loaded, built.float().cpu()):
            labels = reference.same_labels((reference.features @ matrix.numpy()).argmax(axis=1))
        return f"with open_clip {open_clip.__version__}: {labels}, {embeddings}"


class ProgramJson(Target):
    """One JSON file with the whole program and the CLIP's name; it can hold any program."""

    use: ClassVar[str] = "It is for `ipo predict`, and for DSPy if IPO is installed."

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file.

        Raises:
            InputError: DSPy could not load a file with this name.
        """
        if place.suffix != ".json":
            raise InputError("DSPy loads a program from a name that ends with .json; name such an --out.")
        program.save(str(place))

    def check(self, reference: Reference, place: Path) -> str:
        """Load the file with DSPy, classify the pictures from their pixels, and compare with the program.

        Its words alone are compared, too.
        """
        program = reference.program
        again = TemplateClassifier(program.clip, program.class_names, labels=program.labels)
        again.load(str(place))
        probabilities = again.probabilities(reference.pictures)
        words, ours = (one.words_alone().head().probabilities(reference.features) for one in (again, program))
        same = np.allclose(probabilities, reference.probabilities, atol=1e-5) and np.allclose(words, ours, atol=1e-5)
        if not same:
            raise Differs("after loading, the probabilities are not the same.")
        return f"with DSPy: {reference.same_labels(probabilities.argmax(axis=1))}, probabilities equal"


TARGETS: dict[str, Target] = {
    "open_clip": OpenClip(),
    "head": HeadFiles(),
    "onnx": Onnx(),
    "program.json": ProgramJson(),
}
"""The targets, by their names on the command line."""


def best_target(program: TemplateClassifier) -> str:
    """Return the name of the best target for a program: `open_clip` if it can hold all of the program, else `head`."""
    return "head" if program.pictures or TARGETS["open_clip"].refusal(program) else "open_clip"
