"""The program that is optimised: a zero-shot CLIP classifier whose state is its templates."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Kept
from ipo_prompts.metrics.calibration import expected_accuracy, matched_temperature
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.decoding import Background
from ipo_prompts.metrics.device import AUTO
from ipo_prompts.metrics.errors import InputError, one_line, printable
from ipo_prompts.metrics.head import Head
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.template import (
    BASELINE,
    have_synonyms,
    names_of,
    problem,
    too_long,
    usable,
    written,
)
from ipo_prompts.programs.saved_program import (
    State,
    StateField,
    Weighted,
    as_json,
    check_classes,
    check_usable,
    read_program,
    read_state,
    weighted,
)
from ipo_prompts.programs.templates.for_dspy import KeptFeatures, signature_of, template_in

SHOWN_CLASSES = 5
"""The most class names that the `repr` lists."""


class Prediction(dspy.Prediction):
    """An answer, shown in one line: the label and its probability, not the scores of all classes."""

    def __repr__(self) -> str:
        told = self.problem if self.label is None else f"{self.scores[self.label]:.1%} of {len(self.scores)} classes"
        return one_line(f"Prediction(label={self.label!r}, {told})")


class TemplateClassifier(dspy.Predict):
    """Classifies a picture by comparing it with one sentence per class.

    It is a `dspy.Predict` that asks no language model. `signature.instructions` is its template, and DSPy's optimizers
    change the template as they change any instructions (ipo docs dspy-optimizers). If they assign instructions without
    a usable template, each answer has no label and states the `problem`, until other instructions are assigned.

    Args:
        clip: the frozen encoder.
        class_names: the class names, in label order. A class with synonyms is given as a `ClassName`.
        templates: one template, or several with weights. The class embedding is the weighted mean over the templates.

    Attributes:
        state: all attributes below, as one object.
        class_names: the class names, in label order.
        templates: the templates, each with its weight.
        temperature: a number > 0. Logits by words are divided by it before they become probabilities; see `calibrate`.
        background: how the pixels of pictures are read. A `Picture` is read by its own setting instead.
        pictures: labelled pictures that the program decides with, besides its words, and the temperature of both; see
            `metrics/blend.py`. None, the default, means words alone.

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

    class_names = StateField[tuple[str, ...]]()
    templates = StateField[tuple[Weighted, ...]]()
    temperature = StateField[float]()
    background = StateField[Background]()
    pictures = StateField[Kept | None]()

    def __init__(self, clip: Clip, class_names: Sequence[str], templates: str | Sequence[Weighted] = BASELINE) -> None:
        if isinstance(clip, str):
            raise InputError(f"a classifier takes a loaded CLIP; write load_clip({clip!r}) instead of its name.")
        self.clip = clip
        names = usable(class_names)
        self.state = State(names, weighted(templates, names, clip))
        self._features = KeptFeatures(clip)
        self._embeddings: tuple[object, object, Floats] | None = None
        super().__init__(self.signature)

    def set_templates(self, templates: str | Sequence[Weighted]) -> None:
        """Replace the templates.

        The temperature becomes 1. Pictures are removed: they were fitted to the former templates.

        Raises:
            InputError: see the class.
        """
        templates = weighted(templates, self.class_names, self.clip)
        self.state = State(self.class_names, templates, background=self.background, labels=self.state.labels)
        self._embeddings = None

    def rename(self, class_names: Sequence[str]) -> None:
        """Give the classes other names in prompts, in the same order. Answers keep their labels.

        The temperature becomes 1. Pictures are removed: they were fitted under the former names.

        Raises:
            InputError: there is not one name for each class, or a name is not usable.
        """
        names, labels = usable(class_names), self.labels
        if len(names) != len(labels):
            raise InputError(f"there are {len(labels)} classes and {len(names)} names; give one for each class.")
        templates = weighted(self.templates, names, self.clip)
        self.state = State(names, templates, background=self.background, labels=() if names == labels else labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names in answers: the names of the classes before any `rename`."""
        return self.state.labels or self.class_names

    @property
    def signature(self) -> Any:
        """The signature that DSPy's optimizers read and assign: `image -> label`, with the template as instructions.

        When instructions are assigned, their last line with a slot replaces the templates (see `template_in`).
        Assigning the same template changes nothing: an ensemble keeps its other templates and its weights, and the
        program keeps all that was fitted.
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
        """Always empty: a template has no examples. Assigned examples are dropped with a warning."""
        return []

    @demos.setter
    def demos(self, demos: Sequence[Any]) -> None:
        if demos:
            warnings.warn(
                "a TemplateClassifier takes no demos, because a template has no examples: the demos are dropped; use "
                "an optimizer of instructions (ipo docs dspy-optimizers).",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:SHOWN_CLASSES])
        more = f", … ({len(self.class_names)} in all)" if len(self.class_names) > SHOWN_CLASSES else ""
        templates = repr(list(self.templates)) if len(self.templates) > 1 else repr(self.template)
        return printable(f"TemplateClassifier({templates}, classes: {names}{more}, CLIP: {self.clip.name})")

    def words_alone(self) -> TemplateClassifier:
        """Return a copy of the program that decides without labelled pictures, at the temperature of its words."""
        found = copy(self)  # it shares the features of pictures that are known already
        found.pictures = None
        return found

    def calibrate(self, pictures: EncodedPictures, hits: float | None = None) -> float:
        """Fit the temperature of the words: the mean confidence becomes the expected accuracy. No label changes.

        Args:
            pictures: labelled pictures, not those of the test.
            hits: how many of the pictures a program would label rightly that was not chosen on them; None if this one
                was not.

        Returns:
            The temperature, see `calibration.matched_temperature`.
        """
        logits = self.words_alone().logits(pictures.features)
        if hits is None:
            hits = float((logits.argmax(axis=1) == pictures.labels).sum())
        self.temperature = matched_temperature(logits, expected_accuracy(hits, *logits.shape))
        return self.temperature

    @property
    def template(self) -> str:
        """The template with the highest weight, or the assigned text that cannot be used as a template."""
        refused = self.state.refused
        return refused[0] if refused else max(self.templates, key=lambda member: member[1])[0]

    def __call__(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture, see `forward`. (`dspy.Predict` takes no positional argument.)"""
        return super().__call__(image=image, **kwargs)

    async def acall(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture, see `aforward`."""
        return await super().acall(image=image, **kwargs)

    def forward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture.

        Args:
            image: a path, encoded bytes, a PIL image, a `Picture` or a `dspy.Image` that holds its data.
            **kwargs: not used; DSPy may give them to any `dspy.Predict`.

        Returns:
            `label`: the class, one of `labels`; `scores`: the probability of each label, softmax of logits /
            temperature. Classes with the same name have one score, the sum of their probabilities. If the assigned
            instructions cannot be used, the label is None, there are no scores, and `problem` says why.
        """
        if self.state.refused:  # not raised: a useless proposal must not end an optimizer's run
            problem = self.state.refused[1]
            self._trace(label=None, problem=problem)
            return Prediction(label=None, scores={}, problem=problem)
        probabilities = self.head().probabilities(self._features.of(image, self.background))[0]
        names = self.labels
        scores = dict(zip(names, probabilities.tolist(), strict=True))
        if len(scores) < len(names):
            scores = {name: float(sum(probabilities[[one == name for one in names]])) for name in scores}
        label = names[int(probabilities.argmax())]
        self._trace(label=label)
        return Prediction(label=label, scores=scores)

    def _trace(self, **answer: Any) -> None:
        """Add an answer to DSPy's trace, for its optimizers.

        Optimizers show the trace to language models. So the trace does not hold the picture, whose path may name the
        class, and holds no score for each class.
        """
        trace, most = dspy.settings.trace, dspy.settings.max_trace_size
        if trace is not None and most > 0:
            if len(trace) >= most:
                trace.pop(0)
            trace.append((self, {"image": "<picture>"}, dspy.Prediction(**answer)))

    async def aforward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one picture as `forward` does, in a thread. DSPy's `acall` awaits this method."""
        # `forward` is taken from the class: DSPy warns when the `forward` of an object is used outside of a call.
        return await asyncio.to_thread(type(self).forward, self, image)

    def probabilities(self, pictures: Sequence[Picture]) -> Floats:
        """Classify many pictures in one batch.

        Returns:
            The probability of each class for each picture: float32 (n, C). Each row sums to 1.
        """
        return self.head().probabilities(self.clip.encode_pictures(pictures))

    def logits(self, features: Floats) -> Floats:
        """Return the logits of pictures, float32 (n, C), from their features, float32 (n, D) with unit rows."""
        return self.head().logits(features)

    def head(self) -> Head:
        """Return the head, the object with which the program decides.

        Raises:
            InputError: there is no usable template.
        """
        classes = self.class_embeddings()
        bias = np.full(len(classes), self.clip.logit_bias, dtype=np.float32)
        kept = self.pictures
        rows = kept.matrix(*classes.shape) if kept else None
        if kept:
            bias += np.array(kept.bias, dtype=np.float32)
        return Head(
            class_names=self.class_names,
            classes=classes,
            scale=self.clip.logit_scale,
            bias=bias,
            temperature=kept.temperature if kept else self.temperature,
            fingerprint=self.clip.fingerprint,
            background=self.background,
            pictures=rows,
        )

    def class_embeddings(self) -> Floats:
        """Return the class embeddings: float32 (C, D), unit rows, in the order of the classes.

        Raises:
            InputError: there is no usable template.
        """
        state = self.state
        check_usable(state)
        with self._features.lock:
            known = self._embeddings
            if known is None or known[0] is not state.templates or known[1] is not state.class_names:
                made = class_embeddings(self.clip, state.templates, state.class_names)
                known = self._embeddings = (state.templates, state.class_names, made)
            return known[2]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the state, and the encoder's name and fingerprint, as plain JSON.

        Raises:
            InputError: there is no usable template.
        """
        check_usable(self.state)
        state = {name: part.dump_state(json_mode=json_mode) for name, part in self._parts()}
        return state | as_json(self.state, self.clip)

    def load_state(self, state: dict[str, Any], **kwargs: Any) -> None:
        """Take over the whole state of a saved program, from its templates to its pictures.

        Synonyms that the saved program lacks are removed, with a warning: it was searched and calibrated without them.

        Raises:
            InputError: the state belongs to another encoder or to other classes, where its templates may not help; or
                another version wrote it; or a part cannot be used. This program then stays as it was.
        """
        saved = read_program(state, "the given state")
        if saved.clip.fingerprint != self.clip.fingerprint:
            raise InputError(
                f"this program was optimised for the CLIP {saved.clip.name} and the loaded CLIP is {self.clip.name} "
                "with other weights or another picture transform; load the same CLIP, or optimise again."
            )
        check_classes(tuple(saved.labels or saved.class_names), self.labels)
        loaded = saved.state(self.clip)
        if have_synonyms(self.class_names) and written(loaded.class_names) != written(self.class_names):
            lost = next(name for name in self.class_names if have_synonyms([name]))
            warnings.warn(
                f"the saved program has other synonyms, which replace the given ones (such as {names_of(lost)[1]!r} of "
                f"{str(lost)!r}): it answers as when it was saved; to use your synonyms, optimise again with them.",
                stacklevel=2,
            )
        self.state = loaded
        for name, part in self._parts():
            part.load_state(state[name], **kwargs)

    def _parts(self) -> list[tuple[str, Any]]:
        """Return the DSPy parameters that a subclass holds, by name, without the program itself."""
        return [(name, part) for name, part in self.named_parameters() if part is not self]

    @classmethod
    def from_file(cls, path: str | Path, clip: Clip | None = None, device: str = AUTO) -> TemplateClassifier:
        """Load a saved program. If no encoder is given, the encoder that the program names is loaded, too.

        Args:
            path: the path of the file, or of the run directory that holds it as `program.json`.
            clip: the encoder, if it is loaded already.
            device: the device on which an encoder that is loaded here runs.

        Raises:
            InputError: the file is no saved program, or the encoder cannot be loaded.
        """
        path, state = read_state(path)
        saved = read_program(state, str(path))
        encoder = clip or load_clip(saved.clip.name, device, saved.clip.precision)
        program = cls(encoder, saved.labels or saved.class_names)
        program.load_state(state)
        return program
