"""Descriptions of training pictures: by a multimodal model or any other describer, made once and recorded."""

from __future__ import annotations

import base64
import inspect
import io
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import dspy
import numpy as np
import numpy.typing as npt
from dspy.utils.exceptions import LMRateLimitError

from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.errors import InputError, did_you_mean, silent
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.describers.interrogator import FitInterrogator, Interrogator
from ipo_prompts.programs.lm.ledger import explain
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.lm.replies import BoundedChatAdapter
from ipo_prompts.programs.record.redaction import redact
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.templates.phrases import Vocabulary, VocabularyName
from ipo_prompts.signatures.propose import DescribeAsInTheCode, DescribeAsInThePaper, DescribeImage

if TYPE_CHECKING:
    from PIL.Image import Image


SIDE = 512
"""The longest side of a picture that is sent, in pixels. More costs tokens and adds nothing that a caption can use."""
SMALLEST_SIDE = 224
"""Smaller pictures are enlarged to this side; several vision models refuse tiny ones."""
THREADS = 4


class Question(NamedTuple):
    """What is asked about each picture, and how long an answer may be."""

    signature: type[dspy.Signature]
    max_tokens: int
    max_characters: int


QUESTIONS = {
    "default": Question(DescribeImage, 200, 400),
    "paper": Question(DescribeAsInThePaper, 500, 2000),
    "code": Question(DescribeAsInTheCode, 500, 2000),
}
"""The questions. Ours asks for one or two sentences on the kind of picture; the published questions ask for details."""


class ImageDescriber(dspy.Module):
    """Describes pictures one by one with a multimodal language model, as the paper does for its captions.

    A picture is sent as an RGB PNG whose long side has 224 to 512 pixels; the classes are never shown. A picture that
    fails is left out and named; it is an error only if all pictures fail. Four pictures are sent at a time. Pictures
    that a server refused for coming too fast are sent again one by one.

    Args:
        lm: the model to ask; None uses the model of `dspy.context`.
        limit: the most pictures to describe, spread evenly over the given ones; None describes all.
        question: a key of `QUESTIONS`: our question (`default`), the paper's, or the one of the paper's code.

    Raises:
        InputError: there is no such question.
        BudgetReached: when called, see `forward`.
        dspy.LMError: when called: the model answered for none of the pictures.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.new("RGB", (48, 48), "navy").save("night.png")
        >>> describer = ImageDescriber(dspy.LM("openai/gpt-4o-mini"))
        >>> told = describer(pictures=[Picture.from_path(Path("night.png"))], task="pictures of pets")
        >>> len(told.descriptions), told.failed
        (1, [])
    """

    def __init__(self, lm: dspy.LM | None = None, limit: int | None = None, question: str = "default") -> None:
        super().__init__()
        if question not in QUESTIONS:
            known = ", ".join(QUESTIONS)
            raise InputError(
                f"there is no question {question!r}{did_you_mean(question, QUESTIONS)}; there are: {known}."
            )
        self._limit = limit
        self._question = QUESTIONS[question]
        self.describe = dspy.Predict(self._question.signature)
        self._lm = lm

    def forward(
        self,
        pictures: Sequence[Picture],
        task: str,
        labels: Sequence[int] = (),
        class_names: Sequence[str] = (),
        given_up: Collection[str] = (),
    ) -> dspy.Prediction:
        """Describe pictures; the classes are never shown to the model.

        Args:
            pictures: the pictures to describe.
            task: what the pictures are classified into; the published questions leave it out.
            labels, class_names: not used; other describers need them.
            given_up: the names of pictures that failed in an earlier session of the run. They are left out again.

        Returns:
            A prediction with `descriptions`, one line a picture, in order, and `failed`, the (picture name, reason) of
            each picture that was left out.

        Raises:
            BudgetReached: a limit would be passed. Descriptions that were paid for are in the journal.
        """
        if self._limit is not None and len(pictures) > self._limit:
            pictures = [pictures[i * len(pictures) // self._limit] for i in range(self._limit)]
        pictures = [picture for picture in pictures if picture.name not in given_up]
        adapter = dspy.settings.adapter or BoundedChatAdapter()
        with dspy.context(adapter=adapter, **({"lm": self._lm} if self._lm else {})):
            inputs = self._question.signature.input_fields
            told = {"task": task} if "task" in inputs else {}
            examples = [
                dspy.Example(image=dspy.Image(data_uri(picture)), **told).with_inputs(*inputs) for picture in pictures
            ]
            # timeout=0: DSPy would ask slow models a second time for the same picture.
            parallel = dspy.Parallel(
                num_threads=THREADS,
                max_errors=len(examples) + 1,
                return_failed_examples=True,
                disable_progress_bar=True,
                timeout=0,
            )
            with silent("dspy.utils.parallelizer"):  # it logs what `failed` says
                results, failures, errors = parallel([(self.describe, example) for example in examples])
            # Failures come in the order in which they happened, not in the order of the pictures.
            cause_of = {id(one): explain(error) for one, error in zip(failures, errors, strict=True)}
            for place, example in enumerate(examples):
                if not isinstance(cause_of.get(id(example)), LMRateLimitError):
                    continue
                try:  # four at a time were too many
                    results[place] = self.describe(**example.inputs())
                except dspy.LMError as error:
                    cause_of[id(example)] = explain(error)
                    break
                del cause_of[id(example)]
        causes = list(cause_of.values())
        for cause in causes:
            if isinstance(cause, BudgetReached):
                raise cause
        if causes and not any(results):
            raise causes[0]
        failed = [
            (picture.name, redact(" ".join(f"{type(reason).__name__}: {reason}".split()))[:300])
            for picture, example in zip(pictures, examples, strict=True)
            if (reason := cause_of.get(id(example))) is not None
        ]
        longest = self._question.max_characters
        descriptions = [" ".join(str(one.description).split())[:longest] for one in results if one is not None]
        return dspy.Prediction(descriptions=descriptions, failed=failed)


def data_uri(picture: Picture) -> str:
    """Return a picture as the data URI of an RGB PNG, with 224 to 512 pixels on its long side.

    Raises:
        InputError: the picture cannot be decoded.
    """
    buffer = io.BytesIO()
    _fit(picture.image()).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _fit(image: Image) -> Image:
    from PIL.Image import Resampling

    longest = max(image.size)
    target = min(max(longest, SMALLEST_SIDE), SIDE)
    if target == longest:
        return image
    size = (max(1, round(image.width * target / longest)), max(1, round(image.height * target / longest)))
    return image.resize(size, Resampling.BICUBIC)


# Describe the search pictures once. Descriptions, and the pictures that failed, are recorded before they are used.

logger = logging.getLogger(__name__)

CONTRACT = (
    "a describer is called with pictures=, labels=, class_names= and task=, and returns "
    "dspy.Prediction(descriptions=[…]), a list of texts; docs/dspy.md has an example."
)


@dataclass(frozen=True)
class Describing:
    """How the search pictures are described.

    Attributes:
        by: who describes the pictures, in words.
        pictures: the pictures that are shown.
        describer: a function that takes a recorder of what is asked. It returns the describer, see `describe`, and the
            language model to ask if the describer holds none.
    """

    by: str
    pictures: Sequence[Picture]
    describer: Callable[[Recorder], tuple[Any, dspy.LM | None]]


def by_clip(
    store: FeatureStore, name: str, pictures: Sequence[Picture], vocabulary: VocabularyName
) -> Describing | None:
    """Return how the CLIP of a store describes pictures, with one of the describers `BY_CLIP`; None without phrases."""
    if vocabulary == "none":
        return None
    clip, phrases = store.clip, Vocabulary.load(vocabulary)
    kind = FitInterrogator if name == "fit" else partial(Interrogator, greedy=name == "clip-greedy")
    describer = kind(clip, phrases, store=store)
    return Describing("the CLIP", pictures, lambda recorder: (describer, None))


def describe(
    describer: Any,
    pictures: Sequence[Picture],
    labels: npt.NDArray[np.int64] | None,
    class_names: Sequence[str],
    task: str,
    record: ScoreKeeper,
) -> list[str]:
    """Describe pictures in one call of a describer.

    Args:
        describer: an `ImageDescriber`, an `Interrogator`, or anything else that is called as `CONTRACT` says.
        pictures: the search pictures.
        labels: int64, the classes of the pictures; None where a reward has no labels.
        class_names: the names of the classes, in label order.
        task: one sentence that says what the pictures are.
        record: the record that the descriptions are written to.

    Returns:
        The descriptions, one line each.

    Raises:
        InputError: the describer takes or returns something else.
        BudgetReached, dspy.LMError: see `ImageDescriber`.
    """
    # Pictures that could not be described are not tried again when the run resumes. One more description would change
    # the questions to the optimizer, and all answered questions would be asked again.
    earlier = record.find("descriptions")
    given_up = [list(pair) for pair in earlier["failed"]] if earlier else []
    question: dict[str, Any] = {
        "pictures": list(pictures),
        "labels": None if labels is None else labels.tolist(),
        "class_names": list(class_names),
        "task": task,
        **({"given_up": [name for name, _ in given_up]} if given_up else {}),
    }
    _check_takes(describer, question)
    described = describer(**question)
    _check_returned(described, describer)
    failed = [*given_up, *(list(pair) for pair in described.get("failed", ()))]
    for name, reason in failed:
        logger.warning("the picture %s was not described: %s", name, reason)
    record.note("descriptions", descriptions=list(described.descriptions), failed=failed)
    return list(described.descriptions)


def _check_takes(describer: Any, question: dict[str, Any]) -> None:
    """Refuse a describer that cannot be called with these arguments; errors that it raises inside are not caught."""
    # `forward` is taken from the class: DSPy warns if the `forward` of a module is touched from outside.
    call = type(describer).forward if isinstance(describer, dspy.Module) else describer
    own = (describer,) if isinstance(describer, dspy.Module) else ()
    try:
        inspect.signature(call).bind(*own, **question)
    except TypeError as error:
        raise InputError(f"the describer {_name(describer)} cannot be called ({error}): {CONTRACT}") from error
    except ValueError:  # a callable written in C does not say what it takes
        return


def _check_returned(described: Any, describer: Any) -> None:
    found, what = described, "gave"
    if isinstance(described, dspy.Prediction):
        found, what = described.get("descriptions"), "gave the descriptions"
        if isinstance(found, (list, tuple)) and all(isinstance(text, str) for text in found):
            return
    raise InputError(f"the describer {_name(describer)} {what} {repr(found)[:80]}: {CONTRACT}")


def _name(describer: Any) -> str:
    return str(getattr(describer, "__name__", type(describer).__name__))
