"""The state of a `TemplateClassifier`. A saved state is read and checked as a whole before any part is used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError, model_validator

from ipo_prompts.metrics.blend import Kept
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.decoding import AS_VIEWED, Background
from ipo_prompts.metrics.device import Precision
from ipo_prompts.metrics.errors import InputError, first_error, printable
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.template import BASELINE, check_count, check_template, every_name, named, names_of, usable
from ipo_prompts.programs.record.journal import FILE_NAME
from ipo_prompts.programs.record.trust import resume_command

Weighted = tuple[str, float]
"""A template and its weight in the ensemble, > 0."""

FORMAT = 2
RANGE = (1e-6, 1e6)
"""The lowest and the highest temperature or weight. The range is wider than any fitted value needs, and its ends are
far from the limits of float32."""
MOST_TEMPLATES = 1_000
"""The most templates of a program. For each template, a CLIP has to encode the prompts of all classes."""


@dataclass(frozen=True)
class State:
    """All of a program except its CLIP. New templates need a new state, so nothing fitted to old templates is kept.

    Attributes:
        class_names, templates, temperature, background, pictures: see `TemplateClassifier`.
        labels: the class names in answers, if prompts have other names; else empty.
        refused: a text that was assigned as instructions, and why it cannot be used; there are no templates then.
    """

    class_names: tuple[str, ...]
    templates: tuple[Weighted, ...]
    temperature: float = 1.0
    background: Background = AS_VIEWED
    refused: tuple[str, str] | None = None
    labels: tuple[str, ...] = ()
    pictures: Kept | None = None


Value = TypeVar("Value")


class StateField(Generic[Value]):
    """A field of the program's `State`, read and assigned as an attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, program: Any, owner: type | None = None) -> Value:
        return cast("Value", getattr(program.state, self.name))

    def __set__(self, program: Any, value: Value) -> None:
        changed: dict[str, Any] = {self.name: value}
        program.state = replace(program.state, **changed)


def check_usable(state: State) -> None:
    """Refuse a state without templates, which can neither classify nor be saved.

    Raises:
        InputError: says which text was assigned as instructions.
    """
    if state.refused:
        text, problem = state.refused
        raise InputError(
            f"{problem} ({printable(text[:80])!r} was assigned as instructions); assign other instructions, or call "
            "set_templates(…)."
        )


def as_json(state: State, clip: Clip) -> dict[str, Any]:
    """Return a state and the encoder's name and fingerprint as plain JSON, as they are saved."""
    return {
        "format": FORMAT,
        "templates": [{"template": template, "weight": weight} for template, weight in state.templates],
        "class_names": [str(name) for name in state.class_names],
        "synonyms": [list(names_of(name)[1:]) for name in state.class_names],
        "temperature": state.temperature,
        "background": state.background,
        "pictures": state.pictures.model_dump(mode="json") if state.pictures else None,
        "clip": {"name": clip.name, "fingerprint": clip.fingerprint, "precision": clip.precision},
        **({"labels": list(state.labels)} if state.labels else {}),
    }


class _Clip(BaseModel):
    name: str
    fingerprint: str
    precision: Precision = "fp32"


class _Member(BaseModel):
    template: str
    weight: float


class SavedProgram(BaseModel):
    """The saved form of a program, which `TemplateClassifier.dump_state` returns. DSPy's own entries are ignored."""

    format: int
    clip: _Clip
    class_names: list[str] = Field(min_length=1)
    templates: list[_Member] = Field(min_length=1, max_length=MOST_TEMPLATES)
    synonyms: list[list[str]]
    """The synonyms of each class, in the order of `class_names`."""
    temperature: float = Field(strict=True, ge=RANGE[0], le=RANGE[1])
    background: Background
    labels: list[str] = []
    pictures: Kept | None

    @model_validator(mode="after")
    def _whole(self) -> SavedProgram:
        classes = len(self.class_names)
        check_count(classes + sum(map(len, self.synonyms)), len(self.templates))
        for what, has in (("synonyms", self.synonyms), ("labels", self.labels)):
            if len(has) != classes and (has or what == "synonyms"):
                raise ValueError(f"{what} has {len(has)} entries and there are {classes} classes")
        return self

    def state(self, clip: Clip) -> State:
        """Return the state of a program with this CLIP.

        Raises:
            InputError: a part of the saved program cannot be used.
        """
        classes = usable(named([name, *of]) for name, of in zip(self.class_names, self.synonyms, strict=True))
        if self.pictures:
            self.pictures.matrix(len(classes), clip.width)
        return State(
            classes,
            weighted([(member.template, member.weight) for member in self.templates], classes, clip),
            self.temperature,
            self.background,
            labels=tuple(self.labels),
            pictures=self.pictures,
        )


def read_state(path: str | Path) -> tuple[Path, Any]:
    """Return the path and the content of a saved program; see `TemplateClassifier.from_file`.

    Raises:
        InputError: there is no such file, or it is not JSON.
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
    return Path(path), read_json(Path(path), "the program", "name a run or its program.json")


def read_program(state: Any, where: str) -> SavedProgram:
    """Check a saved state and return it as a `SavedProgram`. `where` names the state in messages.

    Raises:
        InputError: the state is not that of a saved program, or another version wrote it.
    """
    if isinstance(state, dict) and state.get("format", FORMAT) != FORMAT:
        raise InputError(f"{where} was written by another version of ipo; load it with that one, or optimise again.")
    try:
        return SavedProgram.model_validate(state)
    except ValidationError as error:
        what = ": ".join(filter(None, first_error(error, "")))
        raise InputError(f"{where} is not a saved program (program.json of a run): {what}.") from error


def weighted(templates: Any, class_names: Sequence[str], clip: Clip) -> tuple[Weighted, ...]:
    """Check templates, and return them with their weights.

    Raises:
        InputError: these are no templates with weights, or a template cannot be used with these classes.
    """
    if isinstance(templates, str):
        templates = [(templates, 1.0)]
    given = list(templates) if isinstance(templates, Iterable) else [templates]
    if not given:
        raise InputError("a classifier needs at least one template.")
    if len(given) > MOST_TEMPLATES:
        raise InputError(f"a classifier takes {MOST_TEMPLATES:,} templates at most; {len(given):,} were given.")
    check_count(len(every_name(class_names)), len(given))
    for one in given:
        pair = isinstance(one, (tuple, list)) and len(one) == 2 and isinstance(one[0], str)
        if not pair or not in_range(one[1]):
            raise InputError(
                "a classifier takes a template, or pairs of a template and its weight, a number from "
                f"{RANGE[0]:g} to {RANGE[1]:g}, such as [({BASELINE!r}, 1.0)]; {repr(one)[:80]} is neither."
            )
        check_template(one[0], class_names, clip)
    return tuple((template, float(weight)) for template, weight in given)


def check_classes(saved: tuple[str, ...], given: tuple[str, ...]) -> None:
    """Refuse a saved program whose classes differ from those of the program that loads it.

    Raises:
        InputError: says how they differ.
    """
    if saved == given:
        return
    if sorted(saved) == sorted(given):
        raise InputError("this program was saved with the same classes in another order; give them in that order.")
    missing, new = ([name for name in one if name not in other] for one, other in ((given, saved), (saved, given)))
    parts = [f"{what} {', '.join(map(repr, names[:3]))}" for what, names in (("has", new), ("lacks", missing)) if names]
    raise InputError(
        f"this program was saved with other classes: it {' and '.join(parts)}; load it into a classifier of the "
        "same classes, or optimise again."
    )


def in_range(value: Any) -> bool:
    """Whether a value is a number in `RANGE`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and bool(RANGE[0] <= value <= RANGE[1])
