"""The steps of every export.

1. Raise an error if the target cannot hold the program.
2. Write the export to a temporary path.
3. Load it with the target's own library, and compare its results with those of the program on a few dozen images.
4. Move it to its final path.
"""

from __future__ import annotations

import io
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import open_clip_arguments
from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.classifier import TemplateClassifier

TOLERANCE = 1e-4
"""The largest accepted difference in a component of a class embedding of length 1. It is a hundred times the error of
float32, and far below the change that another token makes."""
README = "README.md"
IMAGES = 36
"""The most images that an export is compared on: a few images of many classes. To encode them takes at most about
a minute."""
TIE = 1e-3
"""Two classes are tied if their probabilities differ by at most this number: libraries may rank them differently."""


class Differs(InputError):
    """An error: the target's library gives other results than the program. The export is deleted."""


class Target(ABC):
    """One form of export.

    Attributes:
        use: a sentence that is shown to the user. It says where to read how to use the export.
        own_clip: whether the export contains the image encoder of the CLIP.
    """

    use: ClassVar[str] = f"{README} in the folder says how to use it."
    own_clip: ClassVar[bool] = False

    def limits(self, program: TemplateClassifier, file: Path) -> list[str]:
        """Return what the export of a program cannot be used for, as sentences; `file` is the program as typed."""
        found = []
        if self.held(program) is not program and program.images:
            found.append("This form has no place for the labelled images: the export will decide with text alone.")
        if self.use == Target.use and not self.own_clip and not open_clip_arguments(program.clip.name):
            typed = shlex.quote(str(file))
            found.append(
                "Only IPO has the demo CLIP, so no other tool will label images with these files: type "
                f"`ipo predict {typed} IMAGES`, or `{to_install('onnx')}` and then "
                f"`ipo export {typed} --to onnx --out DIR` for the image encoder, too."
            )
        return found

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the target cannot hold a program, as part of a sentence; None if it can hold the program.

        Raises:
            InputError: a package that writes the export is missing.
        """
        return None

    def held(self, program: TemplateClassifier) -> TemplateClassifier:
        """Return the part of a program that the export holds, and is compared with: here the whole program."""
        return program

    @abstractmethod
    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the export to a path that does not exist yet."""

    @abstractmethod
    def check(self, reference: Reference, place: Path) -> str:
        """Load the export with the target's own library, and compare its results with those of the program.

        Returns:
            A text that is shown to the user. It says which results were compared.

        Raises:
            Differs: the library gives other results.
        """


def export(program: TemplateClassifier, target: Target, place: Path, images: Sequence[LazyImage]) -> str:
    """Export a program: write it, load the export, and compare both.

    Args:
        program: the program to export.
        target: the form of the export.
        place: the path of the export. It must not exist yet; its folder is made if it is missing.
        images: the images that the export and the program are compared on; labels are not needed.

    Returns:
        A text that is shown to the user: what the export decides with, and which results were checked.

    Raises:
        InputError: `place` exists already, it cannot be written, the target cannot hold the program, or the export
            gives other results than the program (`Differs`). In each case, `place` is left as it was.
    """
    refuse_taken(place)
    if reason := target.refusal(program):
        raise InputError(f"this program cannot be exported in this form: {reason}.")
    program = target.held(program)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # The target writes into a new folder with a random name, so that nobody can have put a link there before.
        with TemporaryDirectory(dir=place.parent, prefix=".part-") as scratch:
            beside = Path(scratch, place.name)
            target.write(program, beside)
            verdict = target.check(Reference.of(program, images), beside)
            beside.rename(place)
    except OSError as error:
        raise InputError(
            f"cannot write {place}: {error.strerror or error}; make room or name another --out."
        ) from error
    return f"it decides with {decides_with(program)}; checked, {verdict}"


def decides_with(program: TemplateClassifier) -> str:
    """Say what a program decides with."""
    return "text and labelled images" if program.images else "text alone"


@dataclass(frozen=True)
class Reference:
    """A program, and images to compare the program with its export on.

    Attributes:
        program: the program.
        images: the n images.
        features: the features of the images, float32 (n, D), unit rows.
    """

    program: TemplateClassifier
    images: tuple[LazyImage, ...]
    features: Floats

    @classmethod
    def of(cls, program: TemplateClassifier, images: Sequence[LazyImage]) -> Reference:
        """Encode images and return a reference with them; if there are many, take `IMAGES` spread evenly.

        Raises:
            InputError: an image cannot be read.
        """
        some = images[:: max(1, len(images) // IMAGES)][:IMAGES]
        return cls(program, tuple(some), program.clip.encode_images(some))

    @property
    def probabilities(self) -> Floats:
        """The probability of each class for each image, at the program's temperature: float32 (n, C)."""
        return self.program.head().probabilities(self.features)

    def same_classes(self, theirs: Floats) -> str:
        """Compare the class embeddings of a library with those of the program; return a text with the result.

        Args:
            theirs: the class embeddings that the target's library makes, float32 (C, D).

        Raises:
            Differs: the class embeddings are not equal within `TOLERANCE`.
        """
        ours = self.program.head().rows
        if theirs.shape != ours.shape:
            raise Differs(f"after loading, the class embeddings have the shape {theirs.shape}, not {ours.shape}.")
        largest = float((np.abs(theirs - ours) / np.maximum(1, np.linalg.norm(ours, axis=1, keepdims=True))).max())
        if not largest <= TOLERANCE:  # true for nan, too
            raise Differs(f"after loading, the class embeddings differ by up to {largest:.1g}.")
        return f"class embeddings equal within {largest:.0e}"

    def same_labels(self, theirs: npt.NDArray[np.int64]) -> str:
        """Compare the labels that a library predicts with those of the program; return a text with the result.

        Args:
            theirs: the indices of the classes that the target's library predicts, int64 (n,).

        Raises:
            Differs: to the program, such a class is less probable than the most probable one by more than `TIE`.
        """
        probabilities = self.probabilities
        wrong = np.flatnonzero(probabilities[np.arange(len(theirs)), theirs] < probabilities.max(axis=1) - TIE)
        if len(wrong):
            name, label = self.images[wrong[0]].name, self.program.labels[theirs[wrong[0]]]
            raise Differs(
                f"after loading, {len(wrong)} of {len(theirs)} images get another label, such as {label!r} for {name}."
            )
        return f"same label on {len(theirs)} of {len(theirs)} images"

    def same_pixels(self, read: Callable[[Any], Any], pixels: Callable[[Any], Any] | None = None) -> None:
        """Compare exported functions with the program on each image.

        Args:
            read: the exported function that opens a file as an RGB image.
            pixels: the exported function that applies the image transform to a file, if there is one.

        Raises:
            Differs: a function gives other pixels than the program.
        """
        for image in self.images:
            own, file = image.rgb(), io.BytesIO(image.bytes())
            if not np.array_equal(np.asarray(read(file)), np.asarray(own)):
                raise Differs(f"its read() gives other pixels for {image.name}.")
            if pixels is None:
                continue
            theirs, ours = pixels(file), self.program.clip.preprocess(own).numpy()
            if theirs.shape != ours.shape or not np.abs(theirs - ours).max() <= 1e-5:
                raise Differs(f"its pixels() gives other numbers for {image.name}.")


_FEATURES = """\
model, preprocess = open_clip.create_model_from_pretrained(**{arguments})
model.eval()
pixels = torch.stack([preprocess(read(file)) for file in sys.argv[1:]])
with torch.inference_mode():
    features = model.encode_image(pixels, normalize=True).numpy()
"""
_NAMED = """\
exact = np.exp((logits - logits.max(axis=1, keepdims=True)) / {temperature})
for file, row in zip(sys.argv[1:], exact / exact.sum(axis=1, keepdims=True)):
    print(file, *answer(row, {labels}, {names}), sep=", ")
"""
ANSWER = '''\


def answer(row, labels, names):
    """Return the label, its probability, and the name that the CLIP reads. Equal labels count as one."""
    sums, called = dict.fromkeys(labels, 0.0), {}
    for p, label, name in sorted(zip(map(float, row), labels, names), key=lambda one: -one[0]):
        sums[label] += p
        called.setdefault(label, name)
    best = max(sums, key=sums.get)
    return best, round(sums[best], 4), called[best]


'''
"""The source of a function that turns the probabilities of classes into an answer."""


def with_open_clip(before: str, arguments: str, logits: str, temperature: str, labels: str, names: str) -> str:
    """Return the source of a Python script that labels images with a CLIP of open_clip and NumPy.

    The command line of the script names the images. All arguments but the first are Python expressions.

    Args:
        before: the first lines of the script. They define `read`, and the names that the expressions use.
        arguments: an expression for open_clip's arguments for the CLIP; see `open_clip_arguments`.
        logits: an expression for the logits; it uses `features`, float (n, D).
        temperature: an expression for the number that divides the logits.
        labels, names: expressions for the labels of the classes, and for the names that the CLIP reads.
    """
    features = _FEATURES.format(arguments=arguments)
    named = _NAMED.format(temperature=temperature, labels=labels, names=names)
    return f"{before}{ANSWER}{features}logits = {logits}\n{named}"


def write_readme(program: TemplateClassifier, place: Path, code: str, own_clip: bool = False) -> None:
    """Write the README of an exported folder.

    The README contains no text that others wrote. Its code reads class names and templates from the other files in the
    folder. If the code cannot work, the README has the reason instead.

    Args:
        program: the exported program.
        place: the folder.
        code: the source of a script that labels the images named on its command line, without `ipo_prompts`.
        own_clip: whether the export contains the image tower of the CLIP.
    """
    text = (
        "Save these lines as `use.py` in this folder and type `python use.py IMAGE …`. They print, for\n"
        f"each image, its label, how probable it is, and the name that the CLIP reads:\n\n```python\n{code}```\n"
    )
    if not own_clip and not open_clip_arguments(program.clip.name):
        text = (
            "The files were checked with images that IPO encoded. Only IPO has the demo CLIP, `embedded`, and no\n"
            "other tool can encode images with it. Two commands help; RUN is the run directory, or the file\n"
            "`program.json`, that was exported:\n\n"
            "- `ipo predict RUN IMAGES` labels images with IPO;\n"
            "- `pip install onnx onnxruntime onnxscript`, then `ipo export RUN --to onnx --out DIR` writes the\n"
            "  image encoder, too, for code without IPO.\n"
        )
    about = f"The classifier in this folder decides with {decides_with(program)}."
    (place / README).write_text(f"# How to use it\n\n{about}\n\n{text}", encoding="utf-8")


READER = '''\
def read(file):
    """Open an image, a path or a file, as the program does: transparency on white, turned by EXIF, RGB."""
    from PIL import Image, ImageOps

    image = Image.open(file)
    image.load()
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
    if image.mode == "I" and image.getextrema()[1] > 255:
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF
        pass
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")
'''
"""The source of a function `read(file)`, which needs only Pillow and gives the pixels of `LazyImage.rgb`."""
