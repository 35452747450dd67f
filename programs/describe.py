"""Describe the train images once, with a multimodal model or any other describer, and record the descriptions."""

from __future__ import annotations

import base64
import inspect
import io
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dspy
import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.errors import InputError, did_you_mean, reason
from ipo_prompts.metrics.files import read_text
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.lm.ledger import explain
from ipo_prompts.programs.lm.replies import whole_characters
from ipo_prompts.programs.redaction import redact
from ipo_prompts.programs.trust import OWN_DESCRIPTIONS
from ipo_prompts.signatures.propose import DescribeAsInTheCode, DescribeAsInThePaper, DescribeImage

SIDE = 512
"""The most pixels of the longer side of an image that is sent. More pixels cost tokens and do not improve captions."""
SMALLEST_SIDE = 224
"""The least pixels of the longer side of an image that is sent. Smaller images are enlarged: several vision models
refuse tiny images."""
THREADS = 4
MOST_CHARACTERS = 5000
"""The most characters of all descriptions together in a question to the optimizer."""
FEWEST_CHARACTERS = 100
"""The least characters of a description that is cut."""


class ImageQuestion(NamedTuple):
    """The question that is asked about each image, and the greatest length of an answer."""

    signature: type[dspy.Signature]
    max_tokens: int
    max_characters: int


QUESTIONS = {
    "default": ImageQuestion(DescribeImage, 200, 400),
    "paper": ImageQuestion(DescribeAsInThePaper, 500, 2000),
    "code": ImageQuestion(DescribeAsInTheCode, 500, 2000),
}
"""The questions by name. `default` asks for one or two sentences on the kind of image. The published questions, those
of the paper and of its code, ask for details."""


class ImageDescriber(dspy.Module):
    """Describes images one by one with a multimodal language model, as the paper does for its captions.

    An image is sent as an RGB PNG whose longer side has 224 to 512 pixels. The model never sees the classes. If an
    image cannot be described, it is left out and its name is returned. If no image can be described, this is an
    error. Four images are sent at the same time. If a server refuses an image because requests come too fast, the
    image is sent again later, alone.

    Args:
        lm: the model to ask; None uses the model of `dspy.context`.
        limit: the most images to describe; they are spread evenly over the given images. None describes all.
        question: a key of `QUESTIONS`: our question (`default`), the paper's, or the one of the paper's code.

    Raises:
        InputError: `question` is not a key of `QUESTIONS`.
        BudgetReached: a limit would be passed; raised by a call, see `forward`.
        dspy.LMError: the model described none of the images; raised by a call.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.new("RGB", (48, 48), "navy").save("night.png")
        >>> describer = ImageDescriber(dspy.LM("openai/gpt-4o-mini"))
        >>> told = describer(images=[LazyImage.from_path(Path("night.png"))], task="pictures of pets")
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
        self.describe.lm = lm

    def forward(
        self,
        images: Sequence[LazyImage],
        task: str,
        labels: Sequence[int] = (),
        class_names: Sequence[str] = (),
        given_up: Collection[str] = (),
    ) -> dspy.Prediction:
        """Return descriptions of images. The model never sees the classes.

        Args:
            images: the images to describe.
            task: a sentence that says what the images are classified into; the published questions do not contain it.
            labels: not used; other describers need them.
            class_names: not used, as `labels`.
            given_up: the names of images that failed in an earlier session of the run. These images are left out.

        Returns:
            A prediction with two lists. `descriptions` holds one line for each image, in the order of the images.
            `failed` holds (image name, reason) for each image that failed.

        Raises:
            BudgetReached: a limit would be passed. The descriptions that were paid for are in the journal.
        """
        if self._limit is not None and len(images) > self._limit:
            images = [images[i * len(images) // self._limit] for i in range(self._limit)]
        images = [image for image in images if image.name not in given_up]
        told = {"task": task} if "task" in self._question.signature.input_fields else {}
        asked = [{"image": dspy.Image(data_uri(image)), **told} for image in images]
        with dspy.context(adapter=dspy.settings.adapter or dspy.ChatAdapter()):
            # timeout=0: DSPy would ask slow models a second time for the same image.
            parallel = dspy.Parallel(num_threads=THREADS, disable_progress_bar=True, timeout=0)
            found = parallel([(self._answer, inputs) for inputs in asked])
            for place, (_, cause) in enumerate(found):
                if isinstance(cause, dspy.LMRateLimitError):  # the server refused four at the same time, so send one
                    found[place] = self._answer(**asked[place])
                    if found[place][1]:
                        break
        causes = [cause for _, cause in found if cause]
        for cause in causes:
            if isinstance(cause, BudgetReached):
                raise cause
        if causes and len(causes) == len(found):
            raise causes[0]
        failed = [
            (image.name, redact(f"{type(cause).__name__}: {reason(cause)}"))
            for image, (_, cause) in zip(images, found, strict=True)
            if cause
        ]
        longest = self._question.max_characters
        descriptions = [
            " ".join(whole_characters(str(answer.description)).split())[:longest]
            for answer, cause in found
            if not cause
        ]
        return dspy.Prediction(descriptions=descriptions, failed=failed)

    def _answer(self, **inputs: Any) -> tuple[Any, BaseException | None]:
        """Return the answer about one image, and None; or None, and the error that came instead."""
        try:
            return self.describe(**inputs), None
        except Exception as error:
            return None, explain(error)


def data_uri(image: LazyImage) -> str:
    """Return an image as the data URI of an RGB PNG. Its longer side has 224 to 512 pixels.

    Raises:
        InputError: the image cannot be decoded.
    """
    rgb = image.rgb()
    longest = max(rgb.size)
    target = min(max(longest, SMALLEST_SIDE), SIDE)
    buffer = io.BytesIO()
    rgb.resize([max(1, round(side * target / longest)) for side in rgb.size]).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


# Describe the train images once. The descriptions, and the names of images that failed, are recorded before use.

logger = logging.getLogger(__name__)

CONTRACT = (
    "a describer is called with images=, labels=, class_names= and task=, and returns "
    "dspy.Prediction(descriptions=[…]), a list of texts; ipo docs dspy has an example."
)


def given_descriptions(describer: str) -> list[str] | None:
    """Return the descriptions in the file that the setting `describer=file:PATH` names, one a line.

    Return None if the setting names no file.

    Raises:
        InputError: the file cannot be read, or has no description.
    """
    if not describer.startswith(OWN_DESCRIPTIONS):
        return None
    file = Path(describer.removeprefix(OWN_DESCRIPTIONS)).expanduser()
    lines = read_text(file, "the file of descriptions", 2**20, "text").splitlines()
    if found := [" ".join(line.split()) for line in lines if line.strip()]:
        return found
    raise InputError(f"the file of descriptions {file} is empty; write one description a line, or describer=none.")


def describe(
    describer: Any,
    images: Sequence[LazyImage],
    labels: npt.NDArray[np.int64] | None,
    class_names: Sequence[str],
    task: str,
    journal: Journal | None,
) -> list[str]:
    """Describe images in one call of a describer; record the descriptions and return them.

    Args:
        describer: an `ImageDescriber`, or anything else that is called as `CONTRACT` says.
        images: the train images.
        labels: int64 (n,), the class of each image; None if the reward has no labels.
        class_names: the names of the classes, in label order.
        task: one sentence that says what the images are.
        journal: the journal into which the descriptions are written.

    Returns:
        The descriptions, cut as `cut` says, in the order in which the describer returned them.

    Raises:
        InputError: the describer takes other arguments, or returns something else, than `CONTRACT` says.
        BudgetReached, dspy.LMError: see `ImageDescriber`.
    """
    # When a run resumes, images that could not be described are not tried again. A further description would change
    # the questions to the optimizer, and all questions would have to be asked again.
    earlier = journal.find("descriptions") if journal else None
    given_up = [list(pair) for pair in earlier["failed"]] if earlier else []
    question: dict[str, Any] = {
        "images": list(images),
        "labels": None if labels is None else labels.tolist(),
        "class_names": list(class_names),
        "task": task,
        **({"given_up": [name for name, _ in given_up]} if given_up else {}),
    }
    _check_takes(describer, question)
    described = describer(**question)
    _check_returned(described, describer)
    failed = [*given_up, *(list(pair) for pair in described.get("failed", ()))]
    for name, why in failed:
        logger.warning("the image %s was not described: %s", name, why)
    descriptions = cut(described.descriptions)
    if journal:
        journal.note("descriptions", descriptions=descriptions, failed=failed)
    return descriptions


def cut(descriptions: Sequence[str]) -> list[str]:
    """Cut descriptions so that all together, one a line, have at most `MOST_CHARACTERS`.

    Longer descriptions are cut to the same number of characters, but not below `FEWEST_CHARACTERS`. Instead, some are
    left out, evenly over the order of the images, and so over the classes.

    >>> [len(text) for text in cut(["A red bus." * 900, "A red bus."])]
    [2499, 10]
    """
    if sum(len(text) + 1 for text in descriptions) <= MOST_CHARACTERS:
        return list(descriptions)
    shown = [descriptions[i] for i in spread(len(descriptions), MOST_CHARACTERS // (FEWEST_CHARACTERS + 1))]
    return [text[: MOST_CHARACTERS // len(shown) - 1] for text in shown]


def _check_takes(describer: Any, question: dict[str, Any]) -> None:
    """Raise an InputError if a describer does not accept the arguments in `question`. The describer is not called."""
    # `forward` is taken from the class: DSPy warns if the `forward` of a module is touched from outside.
    call = type(describer).forward if isinstance(describer, dspy.Module) else describer
    own = (describer,) if isinstance(describer, dspy.Module) else ()
    try:
        inspect.signature(call).bind(*own, **question)
    except TypeError as error:
        raise InputError(f"the describer {_name(describer)} cannot be called ({error}): {CONTRACT}") from error
    except ValueError:  # a callable written in C may have no signature to check
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
