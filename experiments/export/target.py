"""The steps of every export.

1. Raise an error if the target cannot hold the program.
2. Write the export to a temporary path.
3. Load it with the target's own library, and compare its results with those of the program on a few dozen pictures.
4. Move it to its final path.
"""

from __future__ import annotations

import io
import shlex
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
from ipo_prompts.metrics.decoding import AS_STORED, Background
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import SLOT, have_synonyms
from ipo_prompts.programs.classifier import TemplateClassifier

TOLERANCE = 1e-4
"""The largest accepted difference in a component of a class embedding of length 1. It is a hundred times the error of
float32, and far below the change that another token makes."""
README = "README.md"
PICTURES = 36
"""The most pictures that an export is compared on: a few pictures of many classes. To encode them takes at most about
a minute."""
TIE = 1e-3
"""Two classes are tied if their probabilities differ by at most this number: libraries may rank them differently."""


class NotChecked(Exception):
    """An error: the export was written but cannot be loaded here. `str(error)` says why, and how to fix it."""


class Differs(InputError):
    """An error: the target's library gives other results than the program. The export is deleted."""


class Target(ABC):
    """One form of export.

    Attributes:
        use: a sentence that is shown to the user. It says where to read how to use the export.
        own_clip: whether the export contains the picture encoder of the CLIP.
    """

    use: ClassVar[str] = f"{README} in the folder says how to use it without IPO."
    own_clip: ClassVar[bool] = False

    def told(self, program: TemplateClassifier, file: Path) -> str:
        """Return `use`, and what to type for what the export cannot do; `file` is the program as it was typed."""
        typed = shlex.quote(str(file))
        above = " --above T" if program.sureness else ""
        if self.own_clip or self.use != Target.use or open_clip_arguments(program.clip.name):
            one = f"It names one class for each picture; `ipo predict {typed}{above} PICTURES` names several."
            return f"{self.use} {one}" if program.sureness else self.use
        return (
            "Only IPO has the demo CLIP, so no other tool labels pictures with these files: type "
            f"`ipo predict {typed}{above} PICTURES`, or `ipo export {typed} --to onnx --out DIR` for the picture "
            "encoder, too."
        )

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the target cannot hold a program, as part of a sentence; None if it can hold the program.

        Raises:
            InputError: a package that writes the export is missing.
        """
        return None

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
            NotChecked: the library, or a thing that the library needs, is missing.
        """


def export(program: TemplateClassifier, target: Target, place: Path, pictures: Sequence[Picture]) -> str:
    """Export a program: write it, load the export, and compare both.

    Args:
        program: the program to export.
        target: the form of the export.
        place: the path of the export. It must not exist yet; its folder is made if it is missing.
        pictures: the pictures that the export and the program are compared on; labels are not needed.

    Returns:
        A text that is shown to the user: which results were checked, or why nothing was checked.

    Raises:
        InputError: `place` exists already, it cannot be written, the target cannot hold the program, or the export
            gives other results than the program (`Differs`). In each case, `place` is left as it was.
    """
    refuse_taken(place)
    if reason := target.refusal(program):
        raise InputError(f"this program cannot be exported in this form: {reason}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # The target writes into a new folder with a random name, so that nobody can have put a link there before.
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
    """A program, and pictures to compare the program with its export on.

    Attributes:
        program: the program.
        pictures: the n pictures.
        features: the features of the pictures, float32 (n, D), unit rows.
        total: the number of all pictures; the n pictures are a sample of them.
    """

    program: TemplateClassifier
    pictures: tuple[Picture, ...]
    features: Floats
    total: int

    @classmethod
    def of(cls, program: TemplateClassifier, pictures: Sequence[Picture]) -> Reference:
        """Encode pictures and return a reference with them; if there are many, take `PICTURES` spread evenly.

        Raises:
            InputError: a picture cannot be read.
        """
        some = pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]
        return cls(program, tuple(some), program.clip.encode_pictures(some), len(pictures))

    def first(self, n: int) -> Reference:
        """Return a reference with only the first `n` pictures, for a comparison with a slow library."""
        return Reference(self.program, self.pictures[:n], self.features[:n], self.total)

    @property
    def probabilities(self) -> Floats:
        """The probability of each class for each picture, at the program's temperature: float32 (n, C)."""
        return softmax(self.program.logits(self.features), self.program.temperature)

    def same_classes(self, theirs: Floats, why: str = "") -> str:
        """Compare the class embeddings of a library with those of the program; return a text with the result.

        Args:
            theirs: the class embeddings that the target's library makes, float32 (C, D).
            why: the likely cause of a difference, as part of a sentence.

        Raises:
            Differs: the class embeddings are not equal within `TOLERANCE`.
        """
        ours = self.program.head().rows
        if theirs.shape != ours.shape:
            raise Differs(f"after loading, the class embeddings have the shape {theirs.shape}, not {ours.shape}.")
        largest = float((np.abs(theirs - ours) / np.maximum(1, np.linalg.norm(ours, axis=1, keepdims=True))).max())
        if not largest <= TOLERANCE:  # true for nan, too
            raise Differs(f"after loading, the class embeddings differ by up to {largest:.1g}{why and f': {why}'}.")
        return f"class embeddings equal within {largest:.0e}"

    def same_labels(self, theirs: npt.NDArray[np.int64], tie: float = TIE, why: str = "") -> str:
        """Compare the labels that a library predicts with those of the program; return a text with the result.

        Args:
            theirs: the indices of the classes that the target's library predicts, int64 (n,).
            tie: the largest accepted distance between the probability of such a class and the highest probability. The
                program's probabilities are used. Within this distance, a label counts as the same.
            why: the likely cause of a difference, as part of a sentence.

        Raises:
            Differs: the distance is larger than `tie` for at least one picture.
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
        """Compare exported functions with the program on each picture.

        Args:
            read: the exported function that opens a file as an RGB picture.
            pixels: the exported function that applies the picture transform to a file, if there is one.

        Raises:
            Differs: a function gives other pixels than the program.
        """
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
    """Import a module of a target's own library, and return it.

    Raises:
        NotChecked: the module is missing; the message holds `install`, which says how to get the module.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        raise NotChecked(f"{missing} is not installed: {install}") from error


def no_place(
    program: TemplateClassifier, form: str, *kinds: Literal["weights", "synonyms", "offsets", "pictures"]
) -> str | None:
    """Return why a form of export cannot hold a program; None if it can.

    Args:
        program: the program.
        form: the name of the form, as the beginning of a sentence.
        kinds: the kinds of content that the form has no place for. The program must have none of them.
    """
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
        "pictures": "has no place for labelled pictures; take head or onnx, or optimise with head=words",
    }
    return next((f"{form} {reasons[kind]}" for kind in kinds if has[kind]), None)


def formatted(template: str, slot: str) -> str:
    """Return a template for a library that fills it with `str.format`: with `slot` as its slot, and braces doubled."""
    return template.replace("{", "{{").replace("}", "}}").replace(SLOT, slot)


def spoken(class_names: Sequence[str]) -> list[str]:
    """Return class names with spaces for underscores, as in prompts, for libraries that do not replace underscores."""
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
    """Return the source of a Python script that labels pictures with a CLIP of open_clip and NumPy.

    The command line of the script names the pictures. All arguments but the first are Python expressions.

    Args:
        before: the first lines of the script. They define `read`, and the names that the expressions use.
        arguments: an expression for open_clip's arguments for the CLIP; see `open_clip_arguments`.
        logits: an expression for the logits; it uses `features`, float (n, D).
        temperature: an expression for the number that divides the logits.
        names: an expression for the class names.
    """
    features, named = _FEATURES.format(arguments=arguments), _NAMED.format(temperature=temperature, names=names)
    return f"{before}{features}logits = {logits}\n{named}"


def write_readme(program: TemplateClassifier, place: Path, code: str, more: str = "", own_clip: bool = False) -> None:
    """Write the README of an exported folder.

    The README contains no text that others wrote. Its code reads class names and templates from the other files in the
    folder.

    Args:
        program: the exported program.
        place: the folder.
        code: the source of a script that labels the pictures named on its command line, without `ipo_prompts`.
        more: further sentences for the user.
        own_clip: whether the export contains the picture tower of the CLIP.
    """
    (place / README).write_text(f"# How to use it\n\n{usage(program, code, own_clip)}{more}", encoding="utf-8")


def usage(program: TemplateClassifier, code: str, own_clip: bool = False) -> str:
    """Return the section of a README with the code; if the code cannot work, return the reason instead.

    The arguments are those of `write_readme`.
    """
    if not own_clip and not open_clip_arguments(program.clip.name):
        return (
            "The files were checked with pictures that IPO encoded. Only IPO has the demo CLIP, `embedded`, and no\n"
            "other tool can encode pictures with it. Two commands help; RUN is the run directory, or the file\n"
            "`program.json`, that was exported:\n\n"
            "- `ipo predict RUN PICTURES` labels pictures with IPO;\n"
            "- `ipo export RUN --to onnx --out DIR` writes the picture encoder, too, for code without IPO.\n"
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
    """Return the source of a function `read(file)`, which needs only Pillow and gives the pixels of `Picture.image`."""
    if background == AS_STORED:
        return _HEAD.replace(", ImageOps", "").format(how="the stored pixels") + _STORED
    return _HEAD.format(how="transparency on white, turned by EXIF") + _WHITE
