"""What every export does: refuse, write to a temporary path, load back and compare, move to its place.

A target's library is compared with the program itself on a few dozen pictures.
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
"""Largest difference of a component of a unit class embedding: a hundred times float32's error, and far below what one
other token changes."""
README = "README.md"
PICTURES = 36
"""Pictures that an export is compared on: a few of many classes, encoded in a second or a minute."""
TIE = 1e-3
"""Classes this close in probability are tied: libraries may rank them differently."""


class NotChecked(Exception):
    """The export was written and cannot be loaded back here; `str(error)` says why and how to fix it."""


class Differs(InputError):
    """The target's library gives other results than the program; such an export is not kept."""


class Target(ABC):
    """One form of export.

    Attributes:
        use: where it stands how the export is used, as a sentence to show.
    """

    use: ClassVar[str] = f"{README} in it says how to use it without ipo, or why that cannot be."

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the target cannot express the program, as part of a sentence; None where it can, as by default."""
        return None

    @abstractmethod
    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the export to a path that does not exist yet."""

    @abstractmethod
    def check(self, reference: Reference, place: Path) -> str:
        """Load the export with the target's own library and compare.

        Returns:
            What was compared, to show.

        Raises:
            Differs: the library gives other results.
            NotChecked: the library, or something that it needs, is missing.
        """


def export(program: TemplateClassifier, target: Target, place: Path, pictures: Sequence[Picture]) -> str:
    """Write a program for a target and load it back.

    Args:
        program: what to export.
        target: in which form.
        place: a path that does not exist yet; the folder that it is in is made.
        pictures: what the loaded export is compared on; their labels do not matter.

    Returns:
        What was checked, or "not checked" and why, to show.

    Raises:
        InputError: the place is taken, the target cannot express the program, or the loaded export gives other results
            (`Differs`). Nothing is left at the place then.
    """
    refuse_taken(place)
    if reason := target.refusal(program):
        raise InputError(f"this program cannot be exported in this form: {reason}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # A new folder under a random name: nobody can have put a link where the target writes.
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
        total: how many pictures these were taken from.
    """

    program: TemplateClassifier
    pictures: tuple[Picture, ...]
    features: Floats
    total: int

    @classmethod
    def of(cls, program: TemplateClassifier, pictures: Sequence[Picture]) -> Reference:
        """Encode the pictures; of many, some that are spread evenly.

        Raises:
            InputError: one of them cannot be read.
        """
        some = pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]
        return cls(program, tuple(some), program.clip.encode_pictures(some), len(pictures))

    def first(self, n: int) -> Reference:
        """Return the first `n` pictures only, for a slow library."""
        return Reference(self.program, self.pictures[:n], self.features[:n], self.total)

    @property
    def probabilities(self) -> Floats:
        """Probability of each class for each picture, at the program's temperature: float32 (n, C)."""
        return softmax(self.program.logits(self.features), self.program.temperature)

    def same_classes(self, theirs: Floats, why: str = "") -> str:
        """Compare what pictures are compared with, float32 (C, D).

        Args:
            theirs: what the target's library made.
            why: the likely cause of a difference, as part of a sentence.
        """
        ours = self.program.head().rows
        if theirs.shape != ours.shape:
            raise Differs(f"after loading, the class embeddings have the shape {theirs.shape}, not {ours.shape}.")
        largest = float((np.abs(theirs - ours) / np.maximum(1, np.linalg.norm(ours, axis=1, keepdims=True))).max())
        if not largest <= TOLERANCE:  # nan differs too
            raise Differs(f"after loading, the class embeddings differ by up to {largest:.1g}{why and f': {why}'}.")
        return f"class embeddings equal within {largest:.0e}"

    def same_labels(self, theirs: npt.NDArray[np.int64], tie: float = TIE, why: str = "") -> str:
        """Compare predicted labels, (n,), picture by picture."""
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
        """Compare a `read` that was exported, and a `pixels`, with how pictures are read and transformed here."""
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
        NotChecked: it is missing; `install` says how to get it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        raise NotChecked(f"{missing} is not installed: {install}") from error


def no_place(
    program: TemplateClassifier, form: str, *kinds: Literal["weights", "synonyms", "offsets", "pictures"]
) -> str | None:
    """Return the first of some kinds that the program has and a form of export has no place for, or None."""
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
    """Return a template for libraries that fill it with `str.format`: their slot, and its braces doubled."""
    return template.replace("{", "{{").replace("}", "}}").replace(SLOT, slot)


def spoken(class_names: Sequence[str]) -> list[str]:
    """Return class names as templates are filled with them, for libraries that change nothing in a name."""
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
        before: its first lines, which define `read` and the names in the other arguments.
        arguments: of the CLIP, as an expression; see `open_clip_arguments`.
        logits: an expression over `features`, float (n, D).
        temperature: what logits are divided by, as an expression.
        names: of the classes, as an expression.
    """
    features, named = _FEATURES.format(arguments=arguments), _NAMED.format(temperature=temperature, names=names)
    return f"{before}{features}logits = {logits}\n{named}"


def write_readme(program: TemplateClassifier, place: Path, code: str, more: str = "", own_clip: bool = False) -> None:
    """Write the README of a folder.

    No text of others is in it: what classes and templates are called, the code reads from the files beside it.

    Args:
        program: what is exported.
        place: the folder.
        code: Python that labels the pictures of its command line, and needs no `ipo_prompts`.
        more: what else is to be known, whole sentences.
        own_clip: the export has the picture tower, too.
    """
    (place / README).write_text(f"# How to use it\n\n{usage(program, code, own_clip)}{more}", encoding="utf-8")


def usage(program: TemplateClassifier, code: str, own_clip: bool = False) -> str:
    """Return the section that has the code, or says why there is none; see `write_readme`."""
    if not own_clip and not open_clip_arguments(program.clip.name):
        return (
            "Only IPO has the CLIP `embedded`, and nothing else makes the features of its pictures: label with\n"
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
    """Return the source of a function `read(file)` that needs Pillow alone, and gives the pixels of `Picture.image`."""
    if background == AS_STORED:
        return _HEAD.replace(", ImageOps", "").format(how="the stored pixels") + _STORED
    return _HEAD.format(how="transparency on white, turned by EXIF") + _WHITE
