"""The steps of every export: refuse, write to a temporary path, load back and compare, move to the place.

The results of the target's library are compared with the program's on a few dozen pictures.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.clip import open_clip_arguments
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.pictures import AS_STORED, Background, Picture
from ipo_prompts.metrics.template import SLOT, have_synonyms
from ipo_prompts.programs.classifier import TemplateClassifier

TOLERANCE = 1e-4
"""Largest accepted difference of a component of a unit class embedding: a hundred times float32's error, and far below
the change by one other token."""
README = "README.md"
PICTURES = 36
"""Most pictures that an export is compared on: a few of many classes, encoded in a second or a minute."""
TIE = 1e-3
"""Classes this close in probability are tied: libraries may rank them differently."""


class NotChecked(Exception):
    """The export was written but cannot be loaded back here; `str(error)` says why and how to fix it."""


class Differs(InputError):
    """The target's library gives other results than the program; the export is not kept."""


class Target(ABC):
    """One form of export.

    Attributes:
        use: a sentence to show, which says where the export's usage is explained.
    """

    use: ClassVar[str] = f"{README} in the folder says how to use it without IPO, or why that is impossible."

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the target cannot hold the program, as part of a sentence; None, the default, if it can."""
        return None

    @abstractmethod
    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the export to a path that does not exist yet."""

    @abstractmethod
    def check(self, reference: Reference, place: Path) -> str:
        """Load the export with the target's own library and compare.

        Returns:
            A text to show, which says what was compared.

        Raises:
            Differs: the library gives other results.
            NotChecked: the library, or something that it needs, is missing.
        """


def export(program: TemplateClassifier, target: Target, place: Path, pictures: Sequence[Picture]) -> str:
    """Write a program for a target and load it back.

    Args:
        program: the program to export.
        target: the form of the export.
        place: a path that does not exist yet; its folder is made if it is missing.
        pictures: pictures to compare the loaded export on; their labels do not matter.

    Returns:
        A text to show: what was checked, or "not checked" and why.

    Raises:
        InputError: the place is taken, the target cannot hold the program, or the loaded export gives other results
            (`Differs`). Then nothing is left at the place.
    """
    refuse_taken(place)
    if reason := target.refusal(program):
        raise InputError(f"this program cannot be exported in this form: {reason}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # The target writes into a new folder with a random name, where nobody can have put a link.
        with TemporaryDirectory(dir=place.parent, prefix=".part-") as scratch:
            beside = Path(scratch, place.name)
            target.write(program, beside)
            try:
                verdict = f"checked, {target.check(Reference.of(program, pictures), beside)}"
            except NotChecked as why:
                verdict = f"not checked: {why}"
            beside.rename(place)
    except OSError as error:
        raise InputError(
            f"cannot write {place}: {error.strerror or error}; make room or name another --out."
        ) from error
    return verdict


@dataclass(frozen=True)
class Reference:
    """The program and the pictures that a loaded export is compared on.

    Attributes:
        program: the program.
        pictures: n pictures.
        features: float32 (n, D), unit rows.
        total: the number of pictures that these n were taken from.
    """

    program: TemplateClassifier
    pictures: tuple[Picture, ...]
    features: Floats
    total: int

    @classmethod
    def of(cls, program: TemplateClassifier, pictures: Sequence[Picture]) -> Reference:
        """Encode the pictures; of many, only `PICTURES` that are spread evenly.

        Raises:
            InputError: a picture cannot be read.
        """
        some = pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]
        return cls(program, tuple(some), program.clip.encode_pictures(some), len(pictures))

    def first(self, n: int) -> Reference:
        """Return a reference with the first `n` pictures only, for a slow library."""
        return Reference(self.program, self.pictures[:n], self.features[:n], self.total)

    @property
    def probabilities(self) -> Floats:
        """Probability of each class for each picture, at the program's temperature: float32 (n, C)."""
        return softmax(self.program.logits(self.features), self.program.temperature)

    def same_classes(self, theirs: Floats, why: str = "") -> str:
        """Compare class embeddings.

        Args:
            theirs: the class embeddings of the target's library, float32 (C, D).
            why: the likely cause of a difference, as part of a sentence.

        Raises:
            Differs: they are not equal within `TOLERANCE`.
        """
        ours = self.program.head().rows
        if theirs.shape != ours.shape:
            raise Differs(f"after loading, the class embeddings have the shape {theirs.shape}, not {ours.shape}.")
        largest = float((np.abs(theirs - ours) / np.maximum(1, np.linalg.norm(ours, axis=1, keepdims=True))).max())
        if not largest <= TOLERANCE:  # nan differs too
            raise Differs(f"after loading, the class embeddings differ by up to {largest:.1g}{why and f': {why}'}.")
        return f"class embeddings equal within {largest:.0e}"

    def same_labels(self, theirs: npt.NDArray[np.int64], tie: float = TIE, why: str = "") -> str:
        """Compare predicted labels, picture by picture.

        Args:
            theirs: the labels that the target's library predicts, (n,).
            tie: how far the probability of such a label may be below the highest; the label then counts as the same.
            why: the likely cause of a difference, as part of a sentence.

        Raises:
            Differs: a label's probability is further below.
        """
        probabilities = self.probabilities
        wrong = np.flatnonzero(probabilities[np.arange(len(theirs)), theirs] < probabilities.max(axis=1) - tie)
        if len(wrong):
            name, label = self.pictures[wrong[0]].name, self.program.class_names[theirs[wrong[0]]]
            raise Differs(
                f"after loading, {len(wrong)} of {len(theirs)} pictures get another label, such as {label!r} for {name}"
                f"{why and f': {why}'}."
            )
        sample = f" (a sample of {self.total:,})" if len(theirs) < self.total else ""
        return f"same label on {len(theirs)} of {len(theirs)} pictures{sample}"

    def same_pixels(self, read: Callable[[Any], Any], pixels: Callable[[Any], Any] | None = None) -> None:
        """Compare an exported `read`, and an exported `pixels`, with the program's own reading and transform."""
        for picture in self.pictures:
            own, file = picture.on(self.program.background).image(), io.BytesIO(picture.bytes())
            if not np.array_equal(np.asarray(read(file)), np.asarray(own)):
                raise Differs(f"its read() gives other pixels for {picture.name}.")
            if pixels is None:
                continue
            theirs, ours = pixels(file), self.program.clip.preprocess(own).numpy()
            if theirs.shape != ours.shape or not np.abs(theirs - ours).max() <= 1e-5:
                raise Differs(f"its pixels() gives other numbers for {picture.name}.")


def imported(name: str, install: str) -> Any:
    """Import a module of a target's own library.

    Raises:
        NotChecked: the module is missing; `install` says how to get it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        raise NotChecked(f"{missing} is not installed: {install}") from error


def no_place(
    program: TemplateClassifier, form: str, *kinds: Literal["weights", "synonyms", "offsets", "pictures"]
) -> str | None:
    """Return why a form of export cannot hold the program: it has one of these `kinds`. None if it has none."""
    has = {
        "weights": len({weight for _, weight in program.templates}) > 1,
        "synonyms": have_synonyms(program.class_names),
        "offsets": program.offsets is not None,
        "pictures": program.pictures is not None,
    }
    reasons = {
        "weights": "weighs all templates alike and these have weights; take head",
        "synonyms": "has one name a class and classes of this program have synonyms; take head or program.json",
        "offsets": "has no place for this program's offsets; take head or program.json, or optimise with offsets=none",
        "pictures": "has no place for pictures beside words; take head or onnx, or optimise with head=words",
    }
    return next((f"{form} {reasons[kind]}" for kind in kinds if has[kind]), None)


def formatted(template: str, slot: str) -> str:
    """Return a template for libraries that fill it with `str.format`: with their slot, and with braces doubled."""
    return template.replace("{", "{{").replace("}", "}}").replace(SLOT, slot)


def spoken(class_names: Sequence[str]) -> list[str]:
    """Return class names as they stand in prompts, for libraries that do not replace underscores."""
    return [name.replace("_", " ") for name in class_names]


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
    print(file, {names}[row.argmax()], round(float(row.max()), 4))
"""


def with_open_clip(before: str, arguments: str, logits: str, temperature: str, names: str) -> str:
    """Return Python that labels the pictures of its command line with a CLIP of open_clip and NumPy.

    Args:
        before: the first lines, which define `read` and the names in the other arguments.
        arguments: open_clip's arguments for the CLIP, as an expression; see `open_clip_arguments`.
        logits: the logits, as an expression over `features`, float (n, D).
        temperature: the number that divides the logits, as an expression.
        names: the class names, as an expression.
    """
    features, named = _FEATURES.format(arguments=arguments), _NAMED.format(temperature=temperature, names=names)
    return f"{before}{features}logits = {logits}\n{named}"


def write_readme(program: TemplateClassifier, place: Path, code: str, more: str = "", own_clip: bool = False) -> None:
    """Write the README of a folder.

    The README contains no text that others wrote: its code reads class names and templates from the files beside it.

    Args:
        program: the exported program.
        place: the folder.
        code: Python that labels the pictures of its command line, and needs no `ipo_prompts`.
        more: further sentences for the user.
        own_clip: whether the export has the picture tower, too.
    """
    (place / README).write_text(f"# How to use it\n\n{usage(program, code, own_clip)}{more}", encoding="utf-8")


def usage(program: TemplateClassifier, code: str, own_clip: bool = False) -> str:
    """Return the section that has the code, or says why there is none; see `write_readme`."""
    if not own_clip and not open_clip_arguments(program.clip.name):
        return (
            "Only IPO has the demo CLIP, `embedded`, and no other tool can encode pictures with it: label with\n"
            "`ipo predict`, or take `ipo export --to onnx`, which writes the picture tower, too.\n"
        )
    return (
        "Save these lines as `use.py` in this folder and type `python use.py PICTURE …`. They print the label of each\n"
        f"picture, and how probable it is:\n\n```python\n{code}```\n"
    )


_HEAD = '''\
def read(file):
    """Open a picture, a path or a file, as RGB and as the program was made with: {how}."""
    from PIL import Image, ImageOps

    image = Image.open(file)
    image.load()
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
'''
_WHITE = """\
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
"""
_STORED = """\
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
"""


def reader(background: Background) -> str:
    """Return the source of a function `read(file)` that needs only Pillow, and gives the pixels of `Picture.image`."""
    if background == AS_STORED:
        return _HEAD.replace(", ImageOps", "").format(how="the stored pixels") + _STORED
    return _HEAD.format(how="transparency on white, turned by EXIF") + _WHITE
