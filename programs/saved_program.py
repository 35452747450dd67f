"""The state of a `TemplateClassifier`; a saved one is read and checked as a whole before anything of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from ipo_prompts.metrics.blend import Kept
from ipo_prompts.metrics.class_names import named, usable
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Saved
from ipo_prompts.metrics.pictures import AS_VIEWED, Background
from ipo_prompts.metrics.rejection import Calibrated
from ipo_prompts.metrics.several import Sureness

Weighted = tuple[str, float]
"""A template and its weight in the ensemble, > 0."""

FORMAT = 1
RANGE = (1e-6, 1e6)
"""Of temperatures and weights: wider than any that are fitted, far from where float32 ends."""
MOST_TEMPLATES = 1_000
"""Of a saved program: each is a text pass over all classes."""


@dataclass(frozen=True)
class State:
    """What a program is beside its CLIP; replaced as a whole, so that new templates leave nothing fitted to others.

    Attributes:
        class_names, templates, temperature, offsets, background, rejection, pictures: see `TemplateClassifier`.
        sureness: how sure each class is by itself, where pictures may show several.
        labels: what answers call the classes where prompts have other names; else empty.
        refused: a text that was assigned as instructions and why it cannot be used; there are no templates then.
    """

    class_names: tuple[str, ...]
    templates: tuple[Weighted, ...]
    temperature: float = 1.0
    offsets: Saved | None = None
    background: Background = AS_VIEWED
    rejection: Calibrated | None = None
    refused: tuple[str, str] | None = None
    labels: tuple[str, ...] = ()
    sureness: Sureness | None = None
    pictures: Kept | None = None


class _Clip(BaseModel):
    name: str
    fingerprint: str


class _Member(BaseModel):
    template: str
    weight: float


class SavedProgram(BaseModel):
    """What `TemplateClassifier.dump_state` returned; what DSPy adds to it is ignored."""

    format: int
    clip: _Clip
    class_names: list[str] = Field(min_length=1)
    templates: list[_Member] = Field(min_length=1, max_length=MOST_TEMPLATES)
    synonyms: list[list[str]]
    """Of each class, in the order of `class_names`."""
    temperature: Any
    background: Background
    offsets: Any
    labels: list[str] = []
    rejection: Calibrated | None
    pictures: Kept | None
    sureness: Sureness | None = None

    @model_validator(mode="after")
    def _whole(self) -> SavedProgram:
        if len(self.synonyms) != len(self.class_names):
            raise ValueError(f"synonyms has {len(self.synonyms)} entries and there are {len(self.class_names)} classes")
        if len(self.labels) not in (0, len(self.class_names)):
            raise ValueError(f"labels has {len(self.labels)} entries and there are {len(self.class_names)} classes")
        if self.sureness and len(self.sureness.intercepts) != len(self.class_names):
            raise ValueError(f"sureness is for {len(self.sureness.intercepts)} classes, not {len(self.class_names)}")
        if not in_range(self.temperature):
            raise InputError(
                f"the temperature of a saved program is a number above 0, from {RANGE[0]:g} to {RANGE[1]:g}, "
                f"not {str(self.temperature)[:40]}; 1 changes nothing."
            )
        return self

    @property
    def weighted(self) -> list[tuple[str, float]]:
        """The templates with their weights."""
        return [(member.template, member.weight) for member in self.templates]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, with their synonyms."""
        return usable(named([name, *of]) for name, of in zip(self.class_names, self.synonyms, strict=True))


def read_program(state: Any, where: str) -> SavedProgram:
    """Check a state; `where` names it in messages.

    Raises:
        InputError: it is no such state, or another version wrote it.
    """
    if isinstance(state, dict) and state.get("format", FORMAT) != FORMAT:
        raise InputError(f"{where} was written by another version of ipo; load it with that one, or optimise again.")
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


def from_hub(address: str) -> Path:
    """Fetch the `program.json` of `hf://USER/NAME`, and nothing else; a `Path` has turned `//` into `/`.

    Raises:
        InputError: there is none, or the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = address.removeprefix("hf:").strip("/")
    try:
        return Path(hf_hub_download(name, "program.json"))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot fetch program.json of hf://{name} ({reason}); check its name, your access and the network."
        ) from error
