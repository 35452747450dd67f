"""The forms to which a program is exported, see ipo docs export: `head`, `onnx`, `open_clip` and `program.json`.

An export is written to a temporary path and loaded with the target's own library. The results are compared with those
of the program on real images. Only then the export is moved to its final path (`base.py`).

The files of `head` are for NumPy, or for any reader of safetensors. The files of `onnx` are for ONNX Runtime.
"""

from __future__ import annotations

import json
import runpy
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ipo_prompts.experiments.export.base import (
    ANSWER,
    READER,
    Differs,
    Reference,
    Target,
    with_open_clip,
    write_readme,
)
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import open_clip_arguments
from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.metrics.template import SLOT, have_synonyms
from ipo_prompts.programs.classifier import TemplateClassifier

TENSORS, ABOUT, READ = "head.safetensors", "head.json", "read.py"
HEAD_ONNX, WHOLE_ONNX = "head.onnx", "classifier.onnx"
OUTPUTS = ["logits", "probabilities"]
FEATURES = 1e-5
"""The largest accepted difference between two libraries in a component of an image feature of length 1."""


SURE = 1e-4
"""The largest accepted difference between two libraries in a probability."""

USE = with_open_clip(
    """\
import json, runpy, sys
import numpy as np, open_clip, torch
from safetensors.numpy import load_file

about, head = json.load(open("head.json")), load_file("head.safetensors")
read = runpy.run_path("read.py")["read"]
""",
    'about["open_clip"]',
    'features.astype("f8") @ head["rows"].T.astype("f8") * about["scale"] + head["bias"]',
    'about["temperature"]',
    'about["labels"]',
    'about["class_names"]',
)
_USE_ONNX = f"""\
import json, runpy, sys
import onnxruntime
{ANSWER}
about, pixels = json.load(open("head.json")), runpy.run_path("read.py")["pixels"]
session = onnxruntime.InferenceSession("classifier.onnx")
for file in sys.argv[1:]:
    (row,) = session.run(["probabilities"], {{"pixels": pixels(file)[None]}})[0]
    print(file, *answer(row, about["labels"], about["class_names"]), sep=", ")
"""


class HeadFiles(Target):
    """A folder with `head.safetensors`, `head.json`, `read.py` and a README; it can hold any program."""

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        from safetensors.numpy import save

        place.mkdir()
        head = program.head()
        (place / TENSORS).write_bytes(save({"bias": head.bias, "rows": np.ascontiguousarray(head.rows)}))
        about: dict[str, Any] = {
            "format": 3,
            "labels": program.labels,
            "class_names": program.class_names,
            "scale": head.scale,
            "temperature": head.temperature,
            "clip": program.clip.name,
            "open_clip": open_clip_arguments(program.clip.name),
            "fingerprint": program.clip.fingerprint,
            "template": program.template,
            "preprocess": getattr(program.clip.model.visual, "preprocess_cfg", None),
        }
        (place / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        (place / READ).write_text(READER + _pixels(about["preprocess"]), encoding="utf-8")
        write_readme(program, place, USE)

    def check(self, reference: Reference, place: Path) -> str:
        """Classify the images with NumPy from the written files; read them with `read.py`; compare the results."""
        logits = numpy_logits(place, reference.features)
        module = runpy.run_path(str(place / READ))
        reference.same_pixels(module["read"], module.get("pixels"))
        return f"with NumPy {np.__version__}: {reference.same_labels(logits.argmax(axis=1))}, pixels equal"


def numpy_logits(place: Path, features: Floats) -> Floats:
    """Return the logits that ipo docs export defines: float32 (n, C).

    Args:
        place: the folder of an exported head.
        features: the features of n images, float32 (n, D), unit rows.
    """
    from safetensors.numpy import load_file

    head, about = load_file(place / TENSORS), json.loads((place / ABOUT).read_text(encoding="utf-8"))
    exact = features.astype("f8") @ head["rows"].T.astype("f8") * about["scale"] + head["bias"]
    logits: Floats = exact.astype("f4")
    return logits


_PIXELS = '''

def pixels(file):
    """Return an image as the CLIP takes it: float32 (3, H, W)."""
    import numpy as np
    from PIL import Image

    image = read(file)
    {resize}
    array = np.asarray(image, dtype="f4") / np.float32(255)
    return ((array - np.array({mean}, "f4")) / np.array({std}, "f4")).transpose(2, 0, 1)
'''
_SQUASHED = "image = image.resize(({width}, {height}), Image.Resampling.{how})"
_SHORTEST = """\
short = min(image.size)
    image = image.resize([int({side} * side / short) for side in image.size], Image.Resampling.{how})
    left, top = (round((side - {side}) / 2) for side in image.size)
    image = image.crop((left, top, left + {side}, top + {side}))"""
_BY_OPEN_CLIP = '''

def pixels(file):
    """Return an image as the CLIP takes it: float32 (3, H, W)."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(**{transform}), is_train=False)(read(file)).numpy()
'''


def _pixels(transform: dict[str, Any] | None) -> str:
    """Return the Python source of a function `pixels(file)`; "" if the CLIP's image transform is not known.

    The function needs only NumPy and Pillow; for rare transforms it needs open_clip.
    """
    if transform is None:
        return ""
    size, mode, how = transform["size"], transform["resize_mode"], transform["interpolation"]
    height, width = (size, size) if isinstance(size, int) else size
    plain = mode == "squash" or (mode == "shortest" and height == width)
    if how not in ("bicubic", "bilinear") or not plain:
        return _BY_OPEN_CLIP.format(transform=repr(dict(transform)))
    form = _SQUASHED if mode == "squash" else _SHORTEST
    resize = form.format(width=int(width), height=int(height), side=int(width), how=how.upper())
    mean, std = ([float(value) for value in transform[key]] for key in ("mean", "std"))
    return _PIXELS.format(resize=resize, mean=mean, std=std)


class Onnx(HeadFiles):
    """The folder of `head` with two more files, `head.onnx` and `classifier.onnx`.

    The input of `head.onnx` is `features`: float32 (n, D), unit rows. The input of `classifier.onnx` is `pixels`:
    float32 (n, 3, H, W), after the CLIP's image transform. The outputs of both are `logits` and, at the program's
    temperature, `probabilities`: float32 (n, C). `classifier.onnx` also has the output `features`. The head multiplies
    in 64 bits, as `head` does in NumPy, so that both give the same numbers.
    """

    own_clip: ClassVar[bool] = True

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        import torch
        from PIL import Image

        super().write(program, place)
        clip, head = program.clip, program.head()

        class Decides(torch.nn.Module):
            def __init__(self, model: Any) -> None:
                super().__init__()
                self.model = model
                self.register_buffer("rows", torch.from_numpy(head.rows.T.astype("f8")))
                self.register_buffer("bias", torch.from_numpy(head.bias.astype("f8")))

            def forward(self, given: Any) -> Any:
                features = self.model.encode_image(given, normalize=True).float() if self.model else given
                logits = features.double() @ self.rows * head.scale + self.bias
                found = logits.float(), (logits / head.temperature).softmax(dim=-1).float()
                return (features, *found) if self.model else found

        blank = clip.preprocess(Image.new("RGB", (64, 64)))
        _save(Decides(None), "features", torch.zeros(2, head.rows.shape[1]), OUTPUTS, place / HEAD_ONNX)
        whole = Decides(clip.model).to(clip.device)
        pixels = torch.stack([blank, blank]).to(clip.device)
        _save(whole, "pixels", pixels, ["features", *OUTPUTS], place / WHOLE_ONNX)
        write_readme(program, place, _USE_ONNX, own_clip=self.own_clip)

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return None: ONNX can hold any program.

        Raises:
            InputError: a package that writes or reads ONNX is missing.
        """
        from importlib.util import find_spec

        missing = next((name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None), None)
        if missing:
            raise InputError(f"exporting to onnx needs the package {missing}: {to_install('onnx')}.")
        return None

    def check(self, reference: Reference, place: Path) -> str:
        """Run both files with ONNX Runtime, and compare logits, features, probabilities and labels."""
        said = super().check(reference, place)
        import onnxruntime
        import torch

        clip, own = reference.program.clip, numpy_logits(place, reference.features)
        logits, sure = _session(onnxruntime, place / HEAD_ONNX).run(OUTPUTS, {"features": reference.features})
        if not np.array_equal(logits, own):
            raise Differs("the head in ONNX Runtime gives other numbers than in NumPy.")
        images = [clip.preprocess(image.rgb()) for image in reference.images]
        whole = _session(onnxruntime, place / WHOLE_ONNX)
        features, logits, again = whole.run(["features", *OUTPUTS], {"pixels": torch.stack(images).numpy()})
        largest = float(np.abs(features - reference.features).max())
        if not largest <= FEATURES:
            raise Differs(f"in ONNX Runtime, features differ by up to {largest:.1g}.")
        for probabilities in (sure, again):
            largest = max(largest, apart := float(np.abs(probabilities - reference.probabilities).max()))
            if not apart <= SURE:
                raise Differs(f"in ONNX Runtime, probabilities differ by up to {apart:.1g}.")
        labels = reference.same_labels(logits.argmax(axis=1))
        return f"{said}; with onnxruntime {onnxruntime.__version__}: {labels}, features equal within {largest:.0e}"


def _session(onnxruntime: Any, file: Path) -> Any:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _save(model: Any, name: str, example: Any, outputs: list[str], file: Path) -> None:
    """Write a model to an ONNX file. It has one input, `name`: a batch of any size. `example` is a batch of two."""
    import torch

    with warnings.catch_warnings():  # of packages that torch uses; of no use to the user
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            model.eval(),
            (example,),
            str(file),
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            verbose=False,
        )


# The targets that open_clip and IPO itself read, and the list of all targets.

TEMPLATES_FILE = "zero_shot_templates.py"
MATRIX_FILE = "classifier.safetensors"
MATRIX = "classifier"

# Templates are written as functions: open_clip fills strings with `str.format`, to which braces have a meaning.
_PYTHON = '''\
"""Zero-shot templates for open_clip:

    classifier = open_clip.build_zero_shot_classifier(model, tokenizer, CLASS_NAMES, templates)

The same matrix, made already:

    classifier = safetensors.torch.load_file("{matrix_file}")["{matrix}"]

With unit image features (n, D), the class of each image:

    (image_features @ classifier).argmax(dim=1)

Open images with `read`, which shows transparent and turned ones as the program was made with:

    image_features = model.encode_image(preprocess(read("image.png"))[None], normalize=True)
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
LABELS = [  # of the same classes, in answers
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
    'about["CLASS_NAMES"]',
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
                "take head, onnx or program.json"
            )
        return None

    def held(self, program: TemplateClassifier) -> TemplateClassifier:
        """Return the program without labelled images: the matrix of open_clip has no place for them."""
        return program.text_only()

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
        """Load the file with DSPy, classify the images from their pixels, and compare with the program.

        Its text alone are compared, too.
        """
        program = reference.program
        again = TemplateClassifier(program.clip, program.class_names, labels=program.labels)
        again.load(str(place))
        probabilities = again.probabilities(reference.images)
        words, ours = (one.text_only().head().probabilities(reference.features) for one in (again, program))
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
    return "head" if program.images or TARGETS["open_clip"].refusal(program) else "open_clip"
