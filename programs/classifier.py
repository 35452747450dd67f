"""The program that is optimised: a zero-shot CLIP classifier whose state is its templates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dspy
from dspy.predict.parameter import Parameter

from ipo.metrics.arrays import Floats
from ipo.metrics.calibration import fit_temperature, softmax
from ipo.metrics.class_names import have_synonyms, named, names_of, written
from ipo.metrics.clip import Clip, load_clip
from ipo.metrics.decoding import AS_STORED, AS_VIEWED, Background, to_rgb
from ipo.metrics.device import AUTO
from ipo.metrics.errors import InputError
from ipo.metrics.offsets import Saved, from_state, state_of
from ipo.metrics.pictures import Picture
from ipo.metrics.printable import printable
from ipo.metrics.reward import EncodedPictures, class_embeddings, logits_of
from ipo.metrics.template import ANCHOR, check

Weighted = tuple[str, float]
"""A template and its weight in the ensemble, > 0."""

TEMPERATURES = (1e-6, 1e6)
"""The range of temperatures that are read: wider than any that are fitted, far from where float32 ends."""

SHOWN_CLASSES = 5
"""Class names in the `repr`."""

WITH_OFFSETS, WITH_SYNONYMS = 2, 3
"""Formats of a saved program; the latter may have offsets too. One with neither has no number: every version reads it.
"""
IN_WEIGHTS = "in weights: a program with offsets, which needs a newer version of ipo"
"""Stands for each weight in a program with offsets. Older versions ignore keys that they do not know, and would leave
the offsets out without a word; that a weight is no number stops all of them, and they print it."""
NAMES_IN_WEIGHTS = "in weights: a program with synonyms of classes, which needs a newer version of ipo"
"""As `IN_WEIGHTS`, for a program with synonyms."""


class TemplateClassifier(dspy.Module, Parameter):
    """Classifies a picture by comparing it with one sentence per class.

    It is a `Parameter` as `dspy.Predict` is, so that a program that holds it saves and loads it.

    Args:
        clip: the frozen encoder.
        class_names: the classes, in label order; those with synonyms as `ClassName`.
        templates: one template, or several with weights: then the class embedding is their weighted mean.

    Attributes:
        temperature: what logits are divided by before they become probabilities, > 0; see `calibrate`.
        offsets: what is added to the logits; None, the default, adds nothing. See `metrics/offsets.py`.
        background: how the pixels of the pictures given to it are read; a `Picture` says that itself.

    Raises:
        InputError: a template has no slot, or does not fit the encoder's context with these classes.

    Example:
        >>> from PIL import Image
        >>> Image.new("RGB", (48, 48), "navy").save("night.png")
        >>> program = TemplateClassifier(load_clip("embedded"), ["cat", "fish", "moon"])
        >>> answer = program(image="night.png")
        >>> answer.label in program.class_names, round(sum(answer.scores.values()), 3)
        (True, 1.0)
        >>> program.set_templates([("a sketch of a <CLASS>.", 2.0), ("a photo of a <CLASS>.", 1.0)])
        >>> program.save("program.json")
        >>> loaded = TemplateClassifier.from_file("program.json")
        >>> loaded.template, loaded.templates == program.templates
        ('a sketch of a <CLASS>.', True)
    """

    lm: Any = None
    """Not asked. DSPy's `set_lm` and `get_lm` expect it of every parameter that is a module."""

    def __init__(self, clip: Clip, class_names: Sequence[str], templates: str | Sequence[Weighted] = ANCHOR) -> None:
        super().__init__()
        self.clip = clip
        self.class_names = tuple(class_names)
        self.background: Background = AS_VIEWED
        self._embeddings: tuple[object, Floats] | None = None
        self.set_templates(templates)

    def set_templates(self, templates: str | Sequence[Weighted]) -> None:
        """Replace the templates; the temperature becomes 1 and offsets go: they were fitted to the former templates.

        Raises:
            InputError: see the class.
        """
        weighted = [(templates, 1.0)] if isinstance(templates, str) else [(t, float(w)) for t, w in templates]
        if not weighted or not all(0 < weight < float("inf") for _, weight in weighted):
            raise InputError("a classifier needs at least one template, each with a finite weight above 0.")
        for template, _ in weighted:
            check(template, self.class_names, self.clip)
        self.templates: tuple[Weighted, ...] = tuple(weighted)
        self.temperature = 1.0
        self.offsets: Saved | None = None

    def reset(self) -> None:
        """Keep the templates; part of DSPy's contract.

        Its optimizers reset a copy of a program before they begin, and a `dspy.Predict` keeps its instructions then.
        """

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:SHOWN_CLASSES])
        more = f", … ({len(self.class_names)} in all)" if len(self.class_names) > SHOWN_CLASSES else ""
        templates = repr(self.template) if len(self.templates) == 1 else repr(list(self.templates))
        return printable(f"TemplateClassifier({templates}, classes: {names}{more}, CLIP: {self.clip.name})")

    def calibrate(self, pictures: EncodedPictures) -> float:
        """Fit the temperature, so that probabilities match how often labels are right; the labels stay the same.

        Args:
            pictures: with labels; pictures of neither the search nor the test.

        Returns:
            The temperature; 1.0 where the pictures cannot tell, see `calibration.fit_temperature`.
        """
        self.temperature = fit_temperature(self.logits(pictures.features), pictures.labels, pictures.groups)
        return self.temperature

    @property
    def template(self) -> str:
        """The template with the highest weight."""
        return max(self.templates, key=lambda member: member[1])[0]

    def forward(self, image: Any) -> dspy.Prediction:
        """Classify one picture.

        Args:
            image: a path, encoded bytes, a PIL image, a `Picture` or a `dspy.Image` that holds its data.

        Returns:
            `label`: the class name; `scores`: probability of each class name, softmax of logits / temperature.
        """
        probabilities = self.probabilities([to_picture(image, self.background)])[0]
        scores = {name: float(p) for name, p in zip(self.class_names, probabilities, strict=True)}
        return dspy.Prediction(label=self.class_names[int(probabilities.argmax())], scores=scores)

    def probabilities(self, pictures: Sequence[Picture]) -> Floats:
        """Classify many pictures in one batch.

        Returns:
            float32 (n, C), rows that sum to 1.
        """
        return softmax(self.logits(self.clip.encode_pictures(pictures)), self.temperature)

    def logits(self, features: Floats) -> Floats:
        """Return the logits of pictures by their features, float32 (n, D) with unit rows: float32 (n, C)."""
        return logits_of(self.clip, features, self.class_embeddings(), self.class_offsets())

    def class_offsets(self) -> Floats | None:
        """Return what is added to the logit of each class, float32 (C,); None without offsets.

        Raises:
            InputError: the offsets are for other classes.
        """
        return self.offsets.of(self.clip, self.class_embeddings()) if self.offsets else None

    def class_embeddings(self) -> Floats:
        """Return what a picture is compared with: float32 (C, D), unit rows, in the order of the classes."""
        state = (self.templates, written(self.class_names))
        if self._embeddings is None or self._embeddings[0] != state:
            self._embeddings = (state, class_embeddings(self.clip, self.templates, self.class_names))
        return self._embeddings[1]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return templates, classes, temperature, offsets and the encoder's name, beside DSPy's own; plain JSON."""
        state = {name: part.dump_state(json_mode=json_mode) for name, part in self._parts()}
        state |= {
            "templates": [{"template": template, "weight": weight} for template, weight in self.templates],
            "class_names": [str(name) for name in self.class_names],
            "temperature": self.temperature,
            "background": self.background,
            "clip": {"name": self.clip.name, "fingerprint": self.clip.fingerprint},
        }
        several = have_synonyms(self.class_names)
        if self.offsets is None and not several:
            return state
        instead = NAMES_IN_WEIGHTS if several else IN_WEIGHTS
        state["templates"] = [{"template": template, "weight": instead} for template, _ in self.templates]
        state["weights"] = [weight for _, weight in self.templates]
        if self.offsets:
            state["offsets"] = state_of(self.offsets)
        if several:
            state["synonyms"] = [list(names_of(name)[1:]) for name in self.class_names]
        return state | {"format": WITH_SYNONYMS if several else WITH_OFFSETS}

    def load_state(self, state: dict[str, Any], **kwargs: Any) -> None:
        """Take templates, synonyms, temperature and offsets from a saved state; one without a temperature has 1.

        Raises:
            InputError: the state belongs to another encoder or to other classes, where its templates may not help, or a
                newer version wrote it, or its temperature, offsets, synonyms or templates cannot be used.
        """
        saved = state["clip"]
        if saved["fingerprint"] != self.clip.fingerprint:
            raise InputError(
                f"this program was optimised for the CLIP {saved['name']} and the one loaded is {self.clip.name} with "
                "other weights or another picture transform; load the same one, or optimise again."
            )
        if (form := state.get("format", 1)) not in (1, WITH_OFFSETS, WITH_SYNONYMS):
            raise InputError(f"this program has the format {str(form)[:40]}; load it with a newer version of ipo.")
        if (names := tuple(state["class_names"])) != self.class_names:
            raise InputError(_other_classes(names, self.class_names))
        temperature = _temperature(state.get("temperature", 1.0))
        has_offsets = form == WITH_OFFSETS or (form == WITH_SYNONYMS and "offsets" in state)
        offsets = from_state(state["offsets"], self.clip.width, len(names)) if has_offsets else None
        members = state["templates"]
        weights = [member["weight"] for member in members] if form == 1 else state["weights"]
        self.class_names = _with_synonyms(names, state["synonyms"]) if form == WITH_SYNONYMS else names
        self.set_templates([(one["template"], weight) for one, weight in zip(members, weights, strict=True)])
        self.temperature, self.offsets = temperature, offsets
        # A state without this key is from before transparency was read on white.
        self.background = AS_VIEWED if state.get("background") == AS_VIEWED else AS_STORED
        for name, part in self._parts():
            part.load_state(state[name], **kwargs)

    def _parts(self) -> list[tuple[str, Any]]:
        """Return what a subclass may hold of DSPy's: its parameters but itself, by name."""
        return [(name, part) for name, part in self.named_parameters() if part is not self]

    @classmethod
    def from_file(cls, path: str | Path, clip: Clip | None = None, device: str = AUTO) -> TemplateClassifier:
        """Load a saved program, with the encoder that it names, on a device, unless one is given.

        Raises:
            InputError: the file is no saved program, or its encoder cannot be loaded.
        """
        import json

        path = Path(path)
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            names, name = state["class_names"], state["clip"]["name"]
            if not isinstance(names, list) or not names or not all(isinstance(class_name, str) for class_name in names):
                raise ValueError("its class_names are not a list of names")
            if not isinstance(name, str):
                raise ValueError(f"its CLIP has no name but {name!r}")
        except OSError as error:
            raise InputError(
                f"cannot read the program {path}: {error.strerror}; name a run or its program.json."
            ) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path} is not a saved program (program.json of a run): {error}.") from error
        program = cls(clip or load_clip(name, device), names)
        try:
            program.load_state(state)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is not a saved program (program.json of a run): {error!r}.") from error
        return program


def _other_classes(saved: tuple[str, ...], given: tuple[str, ...]) -> str:
    """Say how the classes of a saved program differ from those it is loaded into."""
    if sorted(saved) == sorted(given):
        return "this program was saved with the same classes in another order; give them in that order."
    missing, new = ([name for name in one if name not in other] for one, other in ((given, saved), (saved, given)))
    parts = [f"{what} {', '.join(map(repr, names[:3]))}" for what, names in (("has", new), ("lacks", missing)) if names]
    return (
        f"this program was saved with other classes: it {' and '.join(parts)}; load it into a classifier of the "
        "same classes, or optimise again."
    )


def _with_synonyms(names: tuple[str, ...], saved: Any) -> tuple[str, ...]:
    lists = isinstance(saved, list) and len(saved) == len(names) and all(isinstance(of, list) for of in saved)
    if not lists or not all(isinstance(name, str) for of in saved for name in of):
        raise InputError(
            f"the synonyms of a saved program are one list of names for each of its {len(names)} classes, and these "
            "are not; save it again."
        )
    return tuple(named([name, *of]) for name, of in zip(names, saved, strict=True))


def _temperature(value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not TEMPERATURES[0] <= value <= TEMPERATURES[1]:
        raise InputError(
            f"the temperature of a saved program is a number above 0, from {TEMPERATURES[0]:g} to {TEMPERATURES[1]:g}, "
            f"not {str(value)[:40]}; 1 changes nothing."
        )
    return float(value)


def to_picture(image: Any, background: Background = AS_VIEWED) -> Picture:
    """Read a picture from any form in which DSPy users have it; a `Picture` is returned as it is.

    Raises:
        InputError: it is none of them, or a `dspy.Image` that points to the network.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, dspy.Image):
        import base64

        head, _, data = image.url.partition(";base64,")
        if not head.startswith("data:"):
            raise InputError(f"the picture {image.url[:80]} is a web address; load it first (dspy.Image.from_url).")
        return Picture.from_bytes("the given dspy.Image", base64.b64decode(data)).on(background)
    if isinstance(image, (str, Path)):
        return Picture.from_path(Path(image)).on(background)
    if isinstance(image, bytes):
        return Picture.from_bytes("the given picture", image).on(background)
    if hasattr(image, "save") and hasattr(image, "convert"):  # a PIL image
        buffer = io.BytesIO()
        to_rgb(image, background).save(buffer, format="PNG")
        return Picture.from_bytes("the given PIL image", buffer.getvalue()).on(background)
    raise InputError(
        f"cannot take a picture from {type(image).__name__}; give a path, bytes, a PIL image or a dspy.Image."
    )
