"""The targets that write plain files.

The files are for open_clip, for CLIP_benchmark, for `ipo evaluate` (txt) and for `ipo predict` (program.json).
"""

from __future__ import annotations

import io
import json
import re
import runpy
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ipo_prompts.experiments.export.target import (
    Differs,
    Reference,
    Target,
    formatted,
    imported,
    no_place,
    reader,
    spoken,
    with_open_clip,
    write_readme,
)
from ipo_prompts.metrics.clip import open_clip_arguments
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import SLOT, read_templates
from ipo_prompts.programs.classifier import TemplateClassifier

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
    'about["CLASS_NAMES"]',
)
_USE_LISTS = """\
import json, runpy, sys
import open_clip, torch
from clip_benchmark.metrics.zeroshot_classification import zero_shot_classifier

arguments, read = json.load(open("clip.json")), runpy.run_path("read.py")["read"]
((_, names),), ((_, templates),) = (json.load(open(file)).items() for file in ("classnames.json", "templates.json"))
model, preprocess = open_clip.create_model_from_pretrained(**arguments)
model.eval()
tokenizer = open_clip.get_tokenizer(arguments["model_name"])
matrix = zero_shot_classifier(model, tokenizer, names, templates, "cpu", amp=False)
for file in sys.argv[1:]:
    with torch.inference_mode():
        features = model.encode_image(preprocess(read(file))[None], normalize=True)
        row = (model.logit_scale.exp() * features @ matrix).softmax(dim=1)[0]
    print(file, names[row.argmax()], round(float(row.max()), 4))
"""
_TO_MEASURE = """
The lists hold no temperature: probabilities that are made with them are those of the CLIP, to which none was fitted.
To measure instead of to label, give `clip_benchmark eval` the lists with `--custom_template_file` and
`--custom_classname_file`; its version 1.6.2 needs a NumPy below 2.4. Both lists stand under the name of one data set.
The labels of that data set must be numbers in the order of `classnames.json`, so that the data set has as many classes.
"""
CLASSES = {
    **{"imagenet1k": 1000, "imagenetv2": 1000, "imagenet_sketch": 1000, "imagenet-a": 200, "imagenet-r": 200},
    **{"cifar10": 10, "cifar100": 100, "mnist": 10, "stl10": 10, "svhn": 10, "fer2013": 7, "voc2007": 20},
    **{"food101": 101, "sun397": 397, "cars": 196, "fgvc_aircraft": 100, "country211": 211, "gtsrb": 43},
    **{"dtd": 47, "eurosat": 10, "flowers": 102, "pets": 37, "pcam": 2, "resisc45": 45},
}
"""How many classes data sets of CLIP_benchmark have, by their names without `wds/` and `vtab/`."""


class OpenClip(Target):
    """A folder with `zero_shot_templates.py`, `classifier.safetensors` and a README.

    The matrix `classifier` is float32 (D, C) with unit columns, as `build_zero_shot_classifier` returns it. The logits
    are `logit_scale * image_features @ classifier`. The file also holds metadata, which are texts: clip, fingerprint,
    temperature, background, class_names and templates. The last two are JSON lists.
    """

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why open_clip cannot hold a program; None if it can. Its classifier is a plain mean over templates."""
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
        # Every text is written with `repr`, so that quotes, braces and backslashes stay as they are.
        source = _PYTHON.format(
            clip=repr(program.clip.name),
            arguments=repr(open_clip_arguments(program.clip.name)),
            scale=repr(float(program.clip.logit_scale)),
            temperature=repr(float(program.temperature)),
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


@dataclass(frozen=True)
class ClipBenchmark(Target):
    """A folder with `templates.json` and `classnames.json`, each {data set: [texts]}, and a README.

    The folder has two more files, which only the code in the README uses: `clip.json` holds open_clip's arguments for
    the CLIP, and `read.py` opens pictures.

    CLIP_benchmark fills a template with `template.format(c=name)`, so the slot is `{c}` and braces are doubled. It
    looks up both lists by the name of the data set. It reads files in the encoding of the locale, so both files are
    written in ASCII.

    Attributes:
        dataset: the name of the data set in CLIP_benchmark. Its labels must be in the order of the class names. Your
            own WebDataset folder has the name `wds/NAME`.
    """

    dataset: str = "wds/ipo"

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why CLIP_benchmark cannot hold a program; None if it can.

        Its classifier is a plain mean over templates.
        """
        known = CLASSES.get(re.sub("^(wds/)?(vtab[-/])?", "", self.dataset))
        if known not in (None, len(program.class_names)):
            return (
                f"the data set {self.dataset} of CLIP_benchmark has {known:,} classes and the program "
                f"{len(program.class_names):,}; name the data set with these classes, or leave --dataset out"
            )
        return no_place(program, "CLIP_benchmark", "weights", "synonyms", "offsets", "pictures")

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        place.mkdir()
        templates = [formatted(template, "{c}") for template, _ in program.templates]
        for file, texts in (("templates.json", templates), ("classnames.json", spoken(program.class_names))):
            (place / file).write_text(json.dumps({self.dataset: texts}, indent=2) + "\n", encoding="ascii")
        (place / "clip.json").write_text(json.dumps(open_clip_arguments(program.clip.name)) + "\n", encoding="ascii")
        (place / "read.py").write_text(reader(program.background), encoding="utf-8")
        write_readme(program, place, _USE_LISTS, _TO_MEASURE)

    def check(self, reference: Reference, place: Path) -> str:
        """Load the lists, build the classifier and label the pictures with CLIP_benchmark's own functions; compare."""
        import torch

        install = "pip install clip_benchmark requests"
        find = imported("clip_benchmark.datasets.builder", install).value_from_first_key_found
        zeroshot = imported("clip_benchmark.metrics.zeroshot_classification", install)
        clip = reference.program.clip
        templates, names = (
            find(json.loads((place / file).read_text(encoding="ascii")), keys=[self.dataset])
            for file in ("templates.json", "classnames.json")
        )
        pictures = torch.stack([clip.preprocess(picture.image()) for picture in reference.pictures])
        nothing = torch.zeros(len(pictures), dtype=torch.int64)  # the function only returns these true labels
        with redirect_stderr(io.StringIO()):  # hides CLIP_benchmark's progress bars
            built = zeroshot.zero_shot_classifier(clip.model, clip.tokenizer, names, templates, clip.device, amp=False)
            logits, _ = zeroshot.run_classification(clip.model, built, [(pictures, nothing)], clip.device, amp=False)
        embeddings = reference.same_classes(built.T.float().cpu().numpy())
        return f"with CLIP_benchmark: {reference.same_labels(logits.argmax(dim=1).numpy())}, {embeddings}"


class Txt(Target):
    """A UTF-8 file with one template on each line. The slot is written as `<CLASS>`."""

    use: ClassVar[str] = "Each line is a template: replace <CLASS> by the name of a class."

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the file cannot hold a program; None if it can.

        A line cannot hold a weight, nor a template that begins or ends with a space.
        """
        if len({weight for _, weight in program.templates}) > 1:
            return "a list of templates holds no weights and these have some; take head or program.json"
        if any(template != template.strip() for template, _ in program.templates):
            return "a template begins or ends with a space, which a list of templates does not keep"
        return no_place(program, "a list of templates", "offsets", "pictures")

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the file."""
        place.write_text("".join(f"{template}\n" for template, _ in program.templates), encoding="utf-8", newline="\n")

    def check(self, reference: Reference, place: Path) -> str:
        """Read the file as `ipo evaluate` does, classify with the templates in it, and compare with the program."""
        program = reference.program
        read = read_templates(place)
        if read != [template for template, _ in program.templates]:
            raise Differs("after reading, the templates are not the same.")
        again = TemplateClassifier(program.clip, program.class_names, [(template, 1.0) for template in read])
        embeddings = reference.same_classes(again.class_embeddings())
        labels = (reference.features @ again.class_embeddings().T).argmax(axis=1)
        return f"as `ipo evaluate` reads it: {reference.same_labels(labels)}, {embeddings}"


class ProgramJson(Target):
    """One JSON file with templates, weights, classes, temperature and the CLIP's name; it can hold any program."""

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
        """Load the file with DSPy, classify the pictures from their pixels, and compare with the program."""
        program = reference.program
        again = TemplateClassifier(program.clip, program.class_names)
        again.load(str(place))
        probabilities = again.probabilities(reference.pictures)
        if not np.allclose(probabilities, reference.probabilities, atol=1e-5):
            raise Differs("after loading, the probabilities are not the same.")
        return f"with DSPy: {reference.same_labels(probabilities.argmax(axis=1))}, probabilities equal"
