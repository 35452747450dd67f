"""The state of a `TemplateClassifier`; a saved one is read and checked as a whole before anything of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from ipo_prompts.metrics.class_names import named, usable
from ipo_prompts.metrics.decoding import AS_STORED, AS_VIEWED, Background
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Saved

Weighted = tuple[str, float]
"""A template and its weight in the ensemble, > 0."""

WITH_OFFSETS, WITH_SYNONYMS = 2, 3
"""Formats of a saved program; the latter may have offsets too. One with neither has no number: every version reads it.
"""
OWN_KEYS = {WITH_OFFSETS: ("weights", "offsets"), WITH_SYNONYMS: ("weights", "synonyms")}
RANGE = (1e-6, 1e6)
"""Of temperatures and weights: wider than any that are fitted, far from where float32 ends."""


@dataclass(frozen=True)
class State:
    """What a program is beside its CLIP; replaced as a whole, so that new templates leave nothing fitted to others.

    Attributes:
        class_names, templates, temperature, offsets, background: see `TemplateClassifier`.
        refused: a text that was assigned as instructions and why it cannot be used; there are no templates then.
    """

    class_names: tuple[str, ...]
    templates: tuple[Weighted, ...]
    temperature: float = 1.0
    offsets: Saved | None = None
    background: Background = AS_VIEWED
    refused: tuple[str, str] | None = None


class _Clip(BaseModel):
    name: str
    fingerprint: str


class _Member(BaseModel):
    template: str
    weight: float | str
    """A text where the weights stand elsewhere, see `classifier.IN_WEIGHTS`."""


class SavedProgram(BaseModel):
    """What `TemplateClassifier.dump_state` returned, in any version; what DSPy adds to it is ignored."""

    format: int = 1
    clip: _Clip
    class_names: list[str] = Field(min_length=1)
    templates: list[_Member] = Field(min_length=1)
    weights: list[float] | None = None
    temperature: Any = 1.0
    background: Background = AS_STORED
    """One without this key is from before transparency was read on white."""
    offsets: Any = None
    synonyms: list[list[str]] | None = None

    @model_validator(mode="after")
    def _whole(self) -> SavedProgram:
        for key in OWN_KEYS.get(self.format, ()):
            if getattr(self, key) is None:
                raise ValueError(f"a program of the format {self.format} needs {key}")
        for key, of in (("weights", self.templates), ("synonyms", self.class_names)):
            value = getattr(self, key)
            if key in OWN_KEYS.get(self.format, ()) and len(value) != len(of):
                raise ValueError(f"{key} has {len(value)} entries and there are {len(of)}")
        if self.format == 1 and any(isinstance(member.weight, str) for member in self.templates):
            raise ValueError("a weight is a number")
        if not in_range(self.temperature):
            raise InputError(
                f"the temperature of a saved program is a number above 0, from {RANGE[0]:g} to {RANGE[1]:g}, "
                f"not {str(self.temperature)[:40]}; 1 changes nothing."
            )
        return self

    @property
    def weighted(self) -> list[tuple[str, Any]]:
        """The templates with their weights."""
        weights = [member.weight for member in self.templates] if self.format == 1 else self.weights or []
        return [(member.template, weight) for member, weight in zip(self.templates, weights, strict=True)]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, with their synonyms."""
        others = self.synonyms if self.format == WITH_SYNONYMS and self.synonyms else [[]] * len(self.class_names)
        return usable(named([name, *of]) for name, of in zip(self.class_names, others, strict=True))

    @property
    def has_offsets(self) -> bool:
        """Whether it has offsets that this format reads."""
        return self.format != 1 and self.offsets is not None


def read_program(state: Any, where: str) -> SavedProgram:
    """Check a state; `where` names it in messages.

    Raises:
        InputError: it is no such state, or a newer version wrote it.
    """
    form = state.get("format", 1) if isinstance(state, dict) else 1
    if form not in (1, *OWN_KEYS):
        raise InputError(f"this program has the format {str(form)[:40]}; load it with a newer version of ipo.")
    try:
        return SavedProgram.model_validate(state)
    except ValidationError as error:
        first = error.errors()[0]
        ours = first.get("ctx", {}).get("error")
        if isinstance(ours, InputError):
            raise ours from error
        key = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        what = f"{key}: {said[:1].lower()}{said[1:]}" if key else said
        raise InputError(f"{where} is not a saved program (program.json of a run): {what}.") from error


def in_range(value: Any) -> bool:
    """Whether it is a number in `RANGE`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and bool(RANGE[0] <= value <= RANGE[1])
