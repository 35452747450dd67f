"""The program that is optimised: a zero-shot CLIP classifier whose state is its templates."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import dspy
import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Kept
from ipo_prompts.metrics.calibration import fit_temperature, softmax
from ipo_prompts.metrics.class_names import have_synonyms, names_of, usable, written
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.device import AUTO
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.head import Head
from ipo_prompts.metrics.offsets import Saved, from_state, state_of
from ipo_prompts.metrics.pictures import Background, Picture
from ipo_prompts.metrics.rejection import Calibrated
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.several import Sureness, native
from ipo_prompts.metrics.template import ANCHOR, check, problem, too_long
from ipo_prompts.programs.given_pictures import KeptFeatures
from ipo_prompts.programs.record.journal import FILE_NAME, last
from ipo_prompts.programs.record.resuming import resumed_by
from ipo_prompts.programs.record.trust import own_settings, refuse_foreign, trusting
from ipo_prompts.programs.saved_program import (
    FORMAT,
    MOST_TEMPLATES,
    RANGE,
    State,
    Weighted,
    from_hub,
    in_range,
    read_program,
)
from ipo_prompts.programs.templates_for_dspy import signature_of, template_in

SHOWN_CLASSES = 5
"""Class names in the `repr`."""


Value = TypeVar("Value")


class _Part(Generic[Value]):
    """A field of the program's `State`, read and assigned as an attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, program: TemplateClassifier, owner: type | None = None) -> Value:
        return cast("Value", getattr(program.state, self.name))

    def __set__(self, program: TemplateClassifier, value: Value) -> None:
        changed: dict[str, Any] = {self.name: value}
        program.state = replace(program.state, **changed)


class TemplateClassifier(dspy.Predict):
    """Classifies a picture by comparing it with one sentence per class.

    It is a `dspy.Predict` that asks no language model: `signature.instructions` is its template, which DSPy's
    optimizers change as they change any instructions (docs/dspy.md). Where they assign instructions without a template
    that can be used, each picture is answered with no label and the `problem`, until others are assigned.

    Args:
        clip: the frozen encoder.
        class_names: the classes, in label order; those with synonyms as `ClassName`.
        templates: one template, or several with weights: then the class embedding is their weighted mean.

    Attributes:
        state: all of the following, as one object.
        class_names: the classes, in label order.
        templates: each with its weight.
        temperature: what logits are divided by before they become probabilities, > 0; see `calibrate`.
        offsets: what is added to the logits; None, the default, adds nothing. See `metrics/offsets.py`.
        background: how the pixels of the pictures given to it are read; a `Picture` says that itself.
        rejection: the margins of known pictures, by which others are told to be none of the classes; see
            `metrics/rejection.py`. None, the default, tells of none.
        sureness: how sure each class is by itself, for pictures that may show several; see `metrics/several.py`. None,
            the default, says that they show one.
        pictures: what labelled pictures add to the words; see `metrics/blend.py`. None, the default, adds nothing.

    Raises:
        InputError: a template has no slot, or does not fit the encoder's context with these classes; or the classes or
            weights are not usable.

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

    class_names = _Part[tuple[str, ...]]()
    templates = _Part[tuple[Weighted, ...]]()
    temperature = _Part[float]()
    offsets = _Part[Saved | None]()
    background = _Part[Background]()
    rejection = _Part[Calibrated | None]()
    sureness = _Part[Sureness | None]()
    pictures = _Part[Kept | None]()

    def __init__(self, clip: Clip, class_names: Sequence[str], templates: str | Sequence[Weighted] = ANCHOR) -> None:
        if isinstance(clip, str):
            raise InputError(f"a classifier takes a loaded CLIP; write load_clip({clip!r}) instead of its name.")
        self.clip = clip
        names = usable(class_names)
        self.state = State(names, _weighted(templates, names, clip))
        self._features = KeptFeatures(clip)
        self._embeddings: tuple[object, object, Floats] | None = None
        super().__init__(self.signature)

    def set_templates(self, templates: str | Sequence[Weighted]) -> None:
        """Replace the templates; the temperature becomes 1, offsets, margins and pictures go: they were for the former.

        Raises:
            InputError: see the class.
        """
        templates = _weighted(templates, self.class_names, self.clip)
        self.state = State(self.class_names, templates, background=self.background, labels=self.state.labels)
        self._embeddings = None

    def rename(self, class_names: Sequence[str]) -> None:
        """Give the classes other names in prompts, in the same order; answers keep the labels that they had.

        The temperature becomes 1, offsets and pictures go: they were fitted under the former names.

        Raises:
            InputError: they are not one for each class, or not usable.
        """
        names, labels = usable(class_names), self.labels
        if len(names) != len(labels):
            raise InputError(f"there are {len(labels)} classes and {len(names)} names; give one for each class.")
        templates = _weighted(self.templates, names, self.clip)
        self.state = State(names, templates, background=self.background, labels=() if names == labels else labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """What answers call the classes: their names, or those that they had before `rename`."""
        return self.state.labels or self.class_names

    @property
    def signature(self) -> Any:
        """What DSPy's optimizers read and assign: `image -> label`, with the template as instructions.

        Assigned instructions replace the templates by the last of their lines with a slot (see `template_in`). The
        same template changes nothing: an ensemble keeps its other members, its weights and what was fitted.
        """
        return signature_of(self.template)

    @signature.setter
    def signature(self, signature: Any) -> None:
        template = template_in(signature.instructions)
        if signature.instructions == self.signature.instructions or template == self.template:
            return
        reason = problem(template) or too_long(template, self.class_names, self.clip)
        if reason is None:
            self.set_templates(template)
        else:
            refused = (signature.instructions, f"the template cannot be used: {reason}")
            state, background = self.state, self.background
            self.state = State(self.class_names, (), background=background, refused=refused, labels=state.labels)

    @property
    def demos(self) -> list[Any]:
        """None, ever: a template has no examples. Assigned ones are dropped with a warning."""
        return []

    @demos.setter
    def demos(self, demos: Sequence[Any]) -> None:
        if demos:
            warnings.warn(
                "a TemplateClassifier takes no demos, which have no meaning for a template: they are dropped; use an "
                "optimizer of instructions (docs/dspy.md).",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:SHOWN_CLASSES])
        more = f", … ({len(self.class_names)} in all)" if len(self.class_names) > SHOWN_CLASSES else ""
        templates = repr(list(self.templates)) if len(self.templates) > 1 else repr(self.template)
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
        """The template with the highest weight; or the text that cannot be used as one."""
        refused = self.state.refused
        return refused[0] if refused else max(self.templates, key=lambda member: member[1])[0]

    def __call__(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture, see `forward`; `dspy.Predict` would take no positional argument."""
        return super().__call__(image=image, **kwargs)

    async def acall(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture, see `aforward`."""
        return await super().acall(image=image, **kwargs)

    def forward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture.

        Args:
            image: a path, encoded bytes, a PIL image, a `Picture` or a `dspy.Image` that holds its data.
            **kwargs: not used; what DSPy may give any `dspy.Predict`.

        Returns:
            `label`: the class, one of `labels`; `scores`: probability of each of them, softmax of logits / temperature.
            Classes with one name have one score, the sum of theirs. Where instructions were assigned that cannot be
            used, the label is None, there are no scores, and `problem` says why.
        """
        if self.state.refused:  # said and not raised: a proposal of an optimizer that is of no use must not end it
            problem = self.state.refused[1]
            self._trace(label=None, problem=problem)
            return dspy.Prediction(label=None, scores={}, problem=problem)
        probabilities = softmax(self.logits(self._features.of(image, self.background)), self.temperature)[0]
        names = self.labels
        scores = dict(zip(names, probabilities.tolist(), strict=True))
        if len(scores) < len(names):
            scores = {name: float(sum(probabilities[[one == name for one in names]])) for name in scores}
        label = names[int(probabilities.argmax())]
        self._trace(label=label)
        return dspy.Prediction(label=label, scores=scores)

    def _trace(self, **answer: Any) -> None:
        """Tell DSPy's optimizers what was answered.

        They show it to language models: neither the picture, whose path may name its class, nor a score for each class.
        """
        trace, most = dspy.settings.trace, dspy.settings.max_trace_size
        if trace is not None and most > 0:
            if len(trace) >= most:
                trace.pop(0)
            trace.append((self, {"image": "<picture>"}, dspy.Prediction(**answer)))

    async def aforward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture as `forward` does, in a thread: what DSPy's `acall` awaits."""
        # Of the class: DSPy warns when a program's own `forward` is touched outside of a call, and this is one.
        return await asyncio.to_thread(type(self).forward, self, image)

    def probabilities(self, pictures: Sequence[Picture]) -> Floats:
        """Classify many pictures in one batch.

        Returns:
            float32 (n, C), rows that sum to 1.
        """
        return self.head().probabilities(self.clip.encode_pictures(pictures))

    def logits(self, features: Floats) -> Floats:
        """Return the logits of pictures by their features, float32 (n, D) with unit rows: float32 (n, C)."""
        return self.head().logits(features)

    def head(self) -> Head:
        """Return what it decides with, as one object.

        Raises:
            InputError: there is no template that can be used, or the offsets are for other classes.
        """
        classes, offsets = self.class_embeddings(), self.class_offsets()
        bias = np.full(len(classes), self.clip.logit_bias, dtype=np.float32)
        kept = self.pictures
        rows = kept.matrix(*classes.shape) if kept else None
        if kept:
            bias += np.array(kept.bias, dtype=np.float32)
        return Head(
            class_names=self.class_names,
            classes=classes,
            scale=self.clip.logit_scale,
            bias=bias if offsets is None else bias + offsets,
            temperature=self.temperature,
            fingerprint=self.clip.fingerprint,
            background=self.background,
            rejection=self.rejection,
            pictures=rows,
        )

    def each_by_itself(self) -> Head:
        """Return what it decides with where a picture may show several of the classes.

        Raises:
            InputError: nothing says how sure a class is by itself.
        """
        sureness = self.sureness
        if sureness is None and self.clip.logit_bias:  # trained with sigmoids: it says so itself
            sureness = native(len(self.class_names))
        if sureness is None:
            raise InputError(
                "this program was made for pictures that show one class, and says of none by itself how probable it "
                "is; optimise with labels=several."
            )
        return replace(self.head(), sureness=sureness)

    def class_offsets(self) -> Floats | None:
        """Return what is added to the logit of each class, float32 (C,); None without offsets.

        Raises:
            InputError: the offsets are for other classes.
        """
        return self.offsets.of(self.clip, self.class_embeddings()) if self.offsets else None

    def class_embeddings(self) -> Floats:
        """Return what a picture is compared with: float32 (C, D), unit rows, in the order of the classes.

        Raises:
            InputError: there is no template that can be used.
        """
        state = self.state
        if state.refused:
            raise InputError(self._no_template(state.refused))
        with self._features.lock:
            known = self._embeddings
            if known is None or known[0] is not state.templates or known[1] is not state.class_names:
                made = class_embeddings(self.clip, state.templates, state.class_names)
                known = self._embeddings = (state.templates, state.class_names, made)
            return known[2]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return templates, classes, temperature, offsets and the encoder's name; plain JSON.

        Raises:
            InputError: there is no template that can be used.
        """
        if self.state.refused:
            raise InputError(self._no_template(self.state.refused))
        state = {name: part.dump_state(json_mode=json_mode) for name, part in self._parts()}
        return state | {
            "format": FORMAT,
            "templates": [{"template": template, "weight": weight} for template, weight in self.templates],
            "class_names": [str(name) for name in self.class_names],
            "synonyms": [list(names_of(name)[1:]) for name in self.class_names],
            "temperature": self.temperature,
            "offsets": state_of(self.offsets) if self.offsets else None,
            "background": self.background,
            "rejection": self.rejection.model_dump(mode="json") if self.rejection else None,
            "pictures": self.pictures.model_dump(mode="json") if self.pictures else None,
            "clip": {"name": self.clip.name, "fingerprint": self.clip.fingerprint},
            **({"labels": list(self.state.labels)} if self.state.labels else {}),
            **({"sureness": self.sureness.model_dump(mode="json")} if self.sureness else {}),
        }

    def load_state(self, state: dict[str, Any], **kwargs: Any) -> None:
        """Become the program that was saved: templates, synonyms, temperature, offsets, margins, background, pictures.

        Synonyms that this program has and the saved one has not go, with a warning: what was saved was searched and
        calibrated without them.

        Raises:
            InputError: the state belongs to another encoder or to other classes, where its templates may not help, or
                another version wrote it, or a part of it is missing or cannot be used. Then nothing of it is taken.
        """
        saved = read_program(state, "the given state")
        if saved.clip.fingerprint != self.clip.fingerprint:
            raise InputError(
                f"this program was optimised for the CLIP {saved.clip.name} and the one loaded is {self.clip.name} "
                "with other weights or another picture transform; load the same one, or optimise again."
            )
        classes, labels = saved.classes, tuple(saved.labels)
        if (labels or classes) != self.labels:
            raise InputError(_other_classes(labels or classes, self.labels))
        offsets = from_state(saved.offsets, self.clip.width, len(classes)) if saved.offsets is not None else None
        if saved.pictures:
            saved.pictures.matrix(len(classes), self.clip.width)
        templates = _weighted(saved.weighted, classes, self.clip)
        missing = next((name for name, _ in self._parts() if name not in state), None)
        if missing:
            raise InputError(f"this program was saved without {missing!r}; save it again.")
        if have_synonyms(self.class_names) and written(classes) != written(self.class_names):
            lost = next(name for name in self.class_names if have_synonyms([name]))
            warnings.warn(
                f"the saved program has other synonyms, which replace those given (such as {names_of(lost)[1]!r} of "
                f"{str(lost)!r}): it answers as when it was saved; to use yours, optimise again with them.",
                stacklevel=2,
            )
        temperature, background = float(saved.temperature), saved.background
        self.state = State(
            classes,
            templates,
            temperature,
            offsets,
            background,
            saved.rejection,
            labels=labels,
            sureness=saved.sureness,
            pictures=saved.pictures,
        )
        for name, part in self._parts():
            part.load_state(state[name], **kwargs)

    @staticmethod
    def _no_template(refused: tuple[str, str]) -> str:
        """Say that there is nothing to classify with, or to save."""
        text, problem = refused
        return f"{problem} ({printable(text[:80])!r} was assigned as instructions); assign others, or set_templates(…)."

    def _parts(self) -> list[tuple[str, Any]]:
        """Return what a subclass may hold of DSPy's: its parameters but itself, by name."""
        return [(name, part) for name, part in self.named_parameters() if part is not self]

    @classmethod
    def from_file(
        cls, path: str | Path, clip: Clip | None = None, device: str = AUTO, *, trust: bool = False
    ) -> TemplateClassifier:
        """Load a saved program, with the encoder that it names, on a device, unless one is given.

        Args:
            path: of the file, or of the run directory that holds it as `program.json`; or `hf://USER/NAME`, a
                repository on the Hugging Face hub that does.
            clip: the encoder, if it is loaded already.
            device: where one that is not runs.
            trust: load an encoder that open_clip does not list, and that no run which was begun here had.

        Raises:
            InputError: the file is no saved program, its encoder cannot be loaded, or it needs `trust`.
        """
        if str(path).startswith("hf:/"):
            path = from_hub(str(path))
        if os.path.isdir(path):  # noqa: PTH112 - pathlib raises where a name is too long
            path = Path(path, "program.json")
            if not path.exists():
                if path.with_name(FILE_NAME).exists():
                    raise InputError(
                        f"the run in {path.parent} has no program.json yet; resume it with {resumed_by(path.parent)}."
                    )
                raise InputError(f"{path.parent} has no program.json; name a finished run, or a saved program.")
        elif not os.path.lexists(path):
            raise InputError(f"there is no run or file {path}; name a run directory, or its program.json.")
        state = read_json(Path(path), "the program", "name a run or its program.json")
        if inside := _classifier_in(state):
            raise InputError(
                f"{path} is a larger program with a classifier as {inside!r}; load it into a program of that form "
                f"(program.load({str(path)!r})), which then has the classifier."
            )
        saved = read_program(state, str(path))
        if clip is None:
            with trusting(trust):
                refuse_foreign({"clip": saved.clip.name}, own_settings(last(Path(path).parent, "start")), str(path))
        program = cls(clip or load_clip(saved.clip.name, device), saved.labels or saved.class_names)
        program.load_state(state)
        return program


def _classifier_in(state: Any) -> str | None:
    """Return the name of a classifier in the state of a larger program."""
    parts = state.items() if isinstance(state, dict) and "class_names" not in state else ()
    return next((name for name, part in parts if isinstance(part, dict) and {"class_names", "clip"} <= {*part}), None)


def _weighted(templates: Any, class_names: Sequence[str], clip: Clip) -> tuple[Weighted, ...]:
    """Check templates with their weights."""
    if isinstance(templates, str):
        templates = [(templates, 1.0)]
    given = list(templates) if isinstance(templates, Iterable) else [templates]
    if not given:
        raise InputError("a classifier needs at least one template.")
    if len(given) > MOST_TEMPLATES:
        raise InputError(f"a classifier takes {MOST_TEMPLATES:,} templates at most; {len(given):,} were given.")
    for one in given:
        pair = isinstance(one, (tuple, list)) and len(one) == 2 and isinstance(one[0], str)
        if not pair or not in_range(one[1]):
            raise InputError(
                "a classifier takes a template, or pairs of a template and its weight, a number from "
                f"{RANGE[0]:g} to {RANGE[1]:g}, such as [({ANCHOR!r}, 1.0)]; {repr(one)[:80]} is none."
            )
        check(one[0], class_names, clip)
    return tuple((template, float(weight)) for template, weight in given)


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
