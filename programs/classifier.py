"""The program that is optimised: a zero-shot CLIP classifier whose state is its template."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import dspy
import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Blend
from ipo_prompts.metrics.calibration import Head, expected_accuracy, matched_temperature
from ipo_prompts.metrics.classification import EncodedImages
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.device import AUTO
from ipo_prompts.metrics.errors import InputError, one_line, printable, several
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.template import BASELINE, check_template, every_name, problem, too_long
from ipo_prompts.programs.for_dspy import KeptFeatures, signature_of, template_in
from ipo_prompts.programs.state import Images, State, read_file


class Answer(NamedTuple):
    """One possible answer: a label, the name of this class that the CLIP reads, and the probability of the label."""

    label: str
    name: str
    probability: float


class Prediction(dspy.Prediction):
    """An answer, shown in one line: the label and its probability, not the scores of all classes."""

    def __repr__(self) -> str:
        told = self.problem if self.label is None else f"{self.scores[self.label]:.1%} of {len(self.scores)} classes"
        return one_line(f"Prediction(label={self.label!r}, {told})")


class TemplateClassifier(dspy.Predict):
    """Classifies an image by comparing it with one sentence per class.

    It is a `dspy.Predict` that asks no language model. `signature.instructions` is its template, and DSPy's optimizers
    change the template as they change any instructions (ipo docs dspy). If they assign instructions without
    a usable template, each answer has no label and states the `problem`, until other instructions are assigned. Demos
    change nothing: a template has no examples.

    Args:
        clip: the frozen encoder.
        class_names: the class names that prompts have, in label order. A class with synonyms is given as a `ClassName`.
        template: the template.
        labels: the labels of the same classes in answers; None: the `class_names`.

    Attributes:
        state: all attributes below, as they are saved.
        class_names, labels, template: see above.
        temperature: a number > 0. Logits by words are divided by it before they become probabilities; see `calibrate`.
        images: what labelled images add to the logits by text, see `add`. None, the default, means text alone.

    Raises:
        InputError: the template has no slot, or does not fit the encoder's context with these classes; or the classes
            are not usable.

    Example:
        >>> from PIL import Image
        >>> Image.new("RGB", (48, 48), "navy").save("night.png")
        >>> program = TemplateClassifier(load_clip("embedded"), ["cat", "fish", "moon"], "a sketch of a <CLASS>.")
        >>> answer = program(image="night.png")
        >>> answer.label in program.class_names, round(sum(answer.scores.values()), 3)
        (True, 1.0)
        >>> program.save("program.json")
        >>> TemplateClassifier.from_file("program.json").template
        'a sketch of a <CLASS>.'
    """

    def __init__(
        self, clip: Clip, class_names: Sequence[str], template: str = BASELINE, labels: Sequence[str] | None = None
    ) -> None:
        if isinstance(clip, str):
            raise InputError(f"a classifier takes a loaded CLIP; write load_clip({clip!r}) instead of its name.")
        self.clip = clip
        self.state = State.of(clip, class_names, labels, template)
        self._problem: str | None = None
        self._features = KeptFeatures(clip)
        self._embeddings: tuple[object, Floats] | None = None
        super().__init__(self.signature)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names that prompts have, in label order."""
        return self.state.class_names

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the classes in answers, in label order. Two classes may share a label."""
        return self.state.labels

    @property
    def template(self) -> str:
        """The template, or the assigned text that cannot be used as a template."""
        return self.state.template

    @property
    def temperature(self) -> float:
        """The number that logits by text are divided by before they become probabilities."""
        return self.state.temperature

    @property
    def images(self) -> Images | None:
        """What labelled images add to the logits by text; None if words decide alone."""
        return self.state.images

    def set_template(self, template: str) -> None:
        """Replace the template.

        The temperature becomes 1. Images are removed: they were fitted to the former template.

        Raises:
            InputError: see the class.
        """
        check_template(template, self.class_names, self.clip)
        self._problem = None
        self.state = self.state.model_copy(update={"template": template, "temperature": 1.0, "images": None})

    def rename(self, class_names: Sequence[str]) -> None:
        """Give the classes other names in prompts, in the same order. Answers keep their labels.

        The temperature becomes 1. Images are removed: they were fitted under the former names.

        Raises:
            InputError: there is not one name for each class, or a name is not usable.
        """
        self.state = State.of(self.clip, class_names, self.labels, self.template)

    @property
    def signature(self) -> Any:
        """The signature that DSPy's optimizers read and assign: `image -> label`, with the template as instructions.

        When instructions are assigned, their last line with a slot replaces the template (see `template_in`). Assigning
        the same template changes nothing: the program keeps all that was fitted.
        """
        return signature_of(self.template)

    @signature.setter
    def signature(self, signature: Any) -> None:
        template = template_in(signature.instructions)
        if self.template in (template, signature.instructions):
            return
        reason = problem(template) or too_long(template, self.class_names, self.clip)
        if reason is None:
            self.set_template(template)
        else:
            self._problem = f"the template cannot be used: {reason}"
            self.state = self.state.model_copy(update={"template": signature.instructions})

    def __repr__(self) -> str:
        names = several(self.class_names)
        return printable(f"TemplateClassifier({self.template!r}, classes: {names}, CLIP: {self.clip.name})")

    def text_only(self) -> TemplateClassifier:
        """Return a copy of the program that decides without labelled images, at the temperature of its words."""
        found = copy(self)  # it shares the features of images that are known already
        found.state = self.state.model_copy(update={"images": None})
        return found

    def add(self, images: Blend) -> None:
        """Decide with labelled images, too; they were fitted to the logits of these words."""
        rows = (images.added.rows / self.clip.logit_scale).astype(np.float32)
        fitted = Images(rows=rows, bias=images.added.bias, temperature=images.temperature)
        self.state = self.state.model_copy(update={"images": fitted})

    def calibrate(self, images: EncodedImages, hits: float | None = None) -> float:
        """Fit the temperature of the words: the mean confidence becomes the expected accuracy. No label changes.

        Args:
            images: labelled images, not those of the test.
            hits: how many of the images a program would label rightly that was not chosen on them; None if this one
                was not.

        Returns:
            The temperature, see `calibration.matched_temperature`.
        """
        logits = self.text_only().logits(images.features)
        if hits is None:
            hits = float((logits.argmax(axis=1) == images.labels).sum())
        temperature = matched_temperature(logits, expected_accuracy(hits, *logits.shape))
        self.state = self.state.model_copy(update={"temperature": temperature})
        return temperature

    def __call__(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one image, see `forward`. (`dspy.Predict` takes no positional argument.)"""
        return super().__call__(image=image, **kwargs)

    async def acall(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one image, see `aforward`."""
        return await super().acall(image=image, **kwargs)

    def forward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one image.

        Args:
            image: an image in any form that `to_image` takes, such as a path, a PIL image or an array.
            **kwargs: not used; DSPy may give them to any `dspy.Predict`.

        Returns:
            `label`: the most probable label; `name`: the name of its class that the CLIP reads; `scores`: the
            probability of each label, see `answers`. If the assigned instructions cannot be used, the label is None,
            there are no scores, and `problem` says why.
        """
        if self._problem:  # not raised: a useless proposal must not end an optimizer's run
            self._trace(label=None, problem=self._problem)
            return Prediction(label=None, scores={}, problem=self._problem)
        probabilities = self.head().probabilities(self._features.of(image))[0]
        best = self.answers(probabilities)[0]
        self._trace(label=best.label)
        return Prediction(label=best.label, name=best.name, scores=self.by_label(probabilities))

    def by_label(self, probabilities: Floats) -> dict[str, float]:
        """Return the probability of each label, in label order, from those of the classes, float32 (C,).

        Classes with the same label count as one: their probabilities are summed.
        """
        sums = dict.fromkeys(self.labels, 0.0)
        for label, probability in zip(self.labels, probabilities.tolist(), strict=True):
            sums[label] += probability
        return sums

    def answers(self, probabilities: Floats) -> list[Answer]:
        """Return an answer for each label, the most probable first, from the probabilities of classes, float32 (C,).

        If several classes have one label, see `by_label`, the name is that of the most probable of these classes.
        """
        names: dict[str, str] = {}
        for number in (-probabilities).argsort(kind="stable"):
            names.setdefault(self.labels[number], str(self.class_names[number]))
        found = [Answer(label, names[label], one) for label, one in self.by_label(probabilities).items()]
        return sorted(found, key=lambda answer: -answer.probability)

    def _trace(self, **answer: Any) -> None:
        """Add an answer to DSPy's trace, for its optimizers.

        Optimizers show the trace to language models. So the trace does not hold the image, whose path may name the
        class, and holds no score for each class.
        """
        trace, most = dspy.settings.trace, dspy.settings.max_trace_size
        if trace is not None and most > 0:
            if len(trace) >= most:
                trace.pop(0)
            trace.append((self, {"image": "<image>"}, dspy.Prediction(**answer)))

    async def aforward(self, image: Any, **kwargs: Any) -> dspy.Prediction:
        """Classify one image as `forward` does, in a thread. DSPy's `acall` awaits this method."""
        # `forward` is taken from the class: DSPy warns when the `forward` of an object is used outside of a call.
        return await asyncio.to_thread(type(self).forward, self, image)

    def probabilities(self, images: Sequence[Any]) -> Floats:
        """Classify many images in one batch.

        Returns:
            The probability of each class for each image: float32 (n, C). Each row sums to 1.
        """
        return self.head().probabilities(self.clip.encode_images(images))

    def logits(self, features: Floats) -> Floats:
        """Return the logits of images, float32 (n, C), from their features, float32 (n, D) with unit rows."""
        return self.head().logits(features)

    def head(self) -> Head:
        """Return the head, the object with which the program decides.

        Raises:
            InputError: there is no usable template.
        """
        rows, fitted = self.class_embeddings(), self.images
        bias = np.full(len(rows), self.clip.logit_bias, dtype=np.float32)
        if fitted:
            rows = rows + fitted.rows.reshape(rows.shape)
            bias += fitted.bias
        return Head(rows, self.clip.logit_scale, bias, fitted.temperature if fitted else self.temperature)

    def class_embeddings(self) -> Floats:
        """Return the class embeddings: float32 (C, D), unit rows, in the order of the classes.

        Raises:
            InputError: there is no usable template.
        """
        self._check_usable()
        key = (self.template, every_name(self.class_names))
        with self._features.lock:
            if self._embeddings is None or self._embeddings[0] != key:
                self._embeddings = key, class_embeddings(self.clip, [self.template], self.class_names)
            return self._embeddings[1]

    def _check_usable(self) -> None:
        """Refuse a program without a template, which can neither classify nor be saved.

        Raises:
            InputError: says which text was assigned as instructions.
        """
        if self._problem:
            raise InputError(
                f"{self._problem} ({printable(self.template[:80])!r} was assigned as instructions); assign other "
                "instructions, or call set_template(…)."
            )

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the state as plain JSON.

        Raises:
            InputError: there is no usable template.
        """
        self._check_usable()
        return self.state.model_dump(mode="json")

    def load_state(self, state: dict[str, Any], **kwargs: Any) -> None:
        """Take over the whole state of a saved program, also its class names in prompts, with their synonyms.

        Raises:
            InputError: the state belongs to another encoder or to other classes, where its template may not help; or
                another version wrote it; or a part cannot be used. This program then stays as it was.
        """
        saved = State.read(state, "the given state")
        saved.check(self.clip, self.labels)
        self.state, self._problem = saved, None

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
        saved = read_file(path)
        encoder = clip or load_clip(saved.clip.name, device, saved.clip.precision)
        saved.check(encoder, saved.labels)
        program = cls(encoder, saved.class_names, saved.template, saved.labels)
        program.state = saved
        return program
