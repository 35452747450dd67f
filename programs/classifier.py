"""The program that is optimised: a zero-shot CLIP classifier whose state is its templates."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Kept
from ipo_prompts.metrics.calibration import fit_temperature, softmax
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.device import AUTO
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.head import Calibrated, Head
from ipo_prompts.metrics.offsets import Saved
from ipo_prompts.metrics.pictures import Background, Picture
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.several import Sureness, native
from ipo_prompts.metrics.template import (
    BASELINE,
    have_synonyms,
    names_of,
    problem,
    too_long,
    usable,
    written,
)
from ipo_prompts.programs.record.trust import refuse_foreign_run, trusting
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
"""Class names in the `repr`."""


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
            `metrics/head.py`. None, the default, tells of none.
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

    class_names = StateField[tuple[str, ...]]()
    templates = StateField[tuple[Weighted, ...]]()
    temperature = StateField[float]()
    offsets = StateField[Saved | None]()
    background = StateField[Background]()
    rejection = StateField[Calibrated | None]()
    sureness = StateField[Sureness | None]()
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
        """Replace the templates; the temperature becomes 1, offsets, margins and pictures go: they were for the former.

        Raises:
            InputError: see the class.
        """
        templates = weighted(templates, self.class_names, self.clip)
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
        templates = weighted(self.templates, names, self.clip)
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
        check_usable(state)
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
        check_usable(self.state)
        state = {name: part.dump_state(json_mode=json_mode) for name, part in self._parts()}
        return state | as_json(self.state, self.clip)

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
        check_classes(tuple(saved.labels or saved.class_names), self.labels)
        loaded = saved.state(self.clip)
        missing = next((name for name, _ in self._parts() if name not in state), None)
        if missing:
            raise InputError(f"this program was saved without {missing!r}; save it again.")
        if have_synonyms(self.class_names) and written(loaded.class_names) != written(self.class_names):
            lost = next(name for name in self.class_names if have_synonyms([name]))
            warnings.warn(
                f"the saved program has other synonyms, which replace those given (such as {names_of(lost)[1]!r} of "
                f"{str(lost)!r}): it answers as when it was saved; to use yours, optimise again with them.",
                stacklevel=2,
            )
        self.state = loaded
        for name, part in self._parts():
            part.load_state(state[name], **kwargs)

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
        path, state = read_state(path)
        saved = read_program(state, str(path))
        if clip is None:
            with trusting(trust):
                refuse_foreign_run({"clip": saved.clip.name}, path.parent, str(path))
        program = cls(clip or load_clip(saved.clip.name, device), saved.labels or saved.class_names)
        program.load_state(state)
        return program
