"""The state of a `TemplateClassifier`: one pydantic model, which is also the form of `program.json`."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.device import Precision
from ipo_prompts.metrics.errors import InputError, first_error, several
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.template import check_count, check_template, every_name, named, usable, written
from ipo_prompts.programs.journal import FILE_NAME
from ipo_prompts.programs.trust import resume_command

FORMAT: Literal[3] = 3
LARGEST = 1e6
"""The largest number allowed in a program; fitted numbers are far below it."""


def _classes(given: Any) -> tuple[str, ...]:
    """Read class names. In JSON, a class with synonyms is the list of its names."""
    if isinstance(given, list):
        given = [named(one) if isinstance(one, list) and one else one for one in given]
    names = usable(given)
    check_count(len(every_name(names)))
    return names


def _numbers(given: Any) -> Floats:
    """Read float32 numbers. In JSON they are base64 text of little-endian bytes."""
    read = given if isinstance(given, np.ndarray) else np.frombuffer(base64.b64decode(str(given), validate=True), "<f4")
    numbers = read.astype(np.float32)
    if not (np.abs(numbers) <= LARGEST).all():  # not true of nan either
        raise ValueError(f"a number is above {LARGEST:g}, or none")
    return numbers


def _text(numbers: Floats) -> str:
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode("ascii")


ClassNames = Annotated[tuple[str, ...], PlainValidator(_classes), PlainSerializer(written)]
Numbers = Annotated[Any, PlainValidator(_numbers), PlainSerializer(_text, when_used="json")]
Temperature = Annotated[float, Field(strict=True, ge=1 / LARGEST, le=LARGEST)]


class ClipUsed(BaseModel, frozen=True, from_attributes=True):
    """The CLIP of a run or a program; see `Clip`."""

    name: str
    fingerprint: str
    precision: Precision


class Images(BaseModel, frozen=True):
    """What labelled images add to the logits by text, see `metrics/blend.py`.

    Attributes:
        rows: the numbers added to the class embeddings, float32 (C, D); flat after reading from JSON.
        bias: the number added to the logit of each class, float32 (C,).
        temperature: the temperature of words and images together.
    """

    rows: Numbers
    bias: Numbers
    temperature: Temperature


class State(BaseModel, frozen=True):
    """All of a program except its loaded CLIP.

    Attributes:
        class_names: the class names as prompts have them, in label order.
        labels: the labels with which the program answers: folders and labels of tables as typed.
        template: the template, or the assigned text that is none.
        temperature: logits by text are divided by it before they become probabilities.
        images: what labelled images add; None if words decide alone.
    """

    format: Literal[3] = FORMAT
    clip: ClipUsed
    class_names: ClassNames
    labels: tuple[str, ...]
    template: str
    temperature: Temperature = 1.0
    images: Images | None = None

    @model_validator(mode="after")
    def _whole(self) -> State:
        if len(self.labels) != len(self.class_names):
            raise InputError(
                f"there are {len(self.labels)} classes and {len(self.class_names)} names; give one for each class."
            )
        return self

    @classmethod
    def of(cls, clip: Clip, class_names: Any, labels: Any, template: str) -> State:
        """Return the state of a program to which nothing was fitted yet.

        Raises:
            InputError: the class names or the template cannot be used.
        """
        used = ClipUsed.model_validate(clip)
        names = _classes(class_names)
        check_template(template, names, clip)
        own = {"clip": used, "class_names": names, "labels": labels or tuple(map(str, names)), "template": template}
        return cls.read(own, "the classifier")

    @classmethod
    def read(cls, content: Any, where: str) -> State:
        """Check the content of a `program.json`. `where` names it in messages.

        Raises:
            InputError: it is no program, or another version wrote it.
        """
        if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
            raise InputError(
                f"{where} was written by another version of ipo; load it with that one, or optimise again."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            what = ": ".join(filter(None, first_error(error, "")))
            raise InputError(
                f"{where} is not a saved program (program.json of a run): {what}; if a larger module was saved, build "
                "the module and call its load(…)."
            ) from error

    def check(self, clip: Clip, labels: tuple[str, ...]) -> None:
        """Refuse a state that was read and does not belong to a program with this CLIP and these labels.

        Raises:
            InputError: says what differs, or what cannot be used with this CLIP.
        """
        if self.clip.fingerprint != clip.fingerprint:
            raise InputError(
                f"this program was optimised for the CLIP {self.clip.name} and the loaded CLIP is {clip.name} "
                "with other weights or another image transform; load the same CLIP, or optimise again."
            )
        if self.labels != labels:
            raise InputError(
                f"this program was saved with other classes ({several(self.labels)}) than those of the classifier "
                f"({several(labels)}); load it into one of the same classes in the same order, or optimise again."
            )
        check_template(self.template, self.class_names, clip)
        classes, fitted = len(self.labels), self.images
        if fitted and (fitted.rows.size, fitted.bias.size) != (classes * clip.width, classes):
            raise InputError(
                f"the part of the images in a saved program must be {clip.width} numbers and a bias for each of "
                f"{classes} classes, and this one is not; optimise again."
            )


def read_file(path: str | Path) -> State:
    """Read a saved program; see `TemplateClassifier.from_file`.

    Raises:
        InputError: there is no such file, or it is no saved program.
    """
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises where a name is too long
        path = Path(path, "program.json")
        if not path.exists():
            if path.with_name(FILE_NAME).exists():
                raise InputError(
                    f"the run in {path.parent} has no program.json yet; resume it with `{resume_command(path.parent)}`."
                )
            raise InputError(f"{path.parent} has no program.json; name a finished run, or a saved program.")
    elif not os.path.lexists(path):
        raise InputError(f"there is no run or file {path}; name a run directory, or its program.json.")
    return State.read(read_json(Path(path), "the program", "name a run or its program.json"), str(path))
