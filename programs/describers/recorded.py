"""Describe the search pictures once; descriptions, and pictures that failed, are recorded before they are used."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.describers.by_fit import FitInterrogator
from ipo_prompts.programs.describers.interrogator import Interrogator
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.phrases import BankName, PhraseBank
from ipo_prompts.programs.record.score_keeper import ScoreKeeper

logger = logging.getLogger(__name__)

CONTRACT = (
    "a describer is called with pictures=, labels=, class_names= and task=, and returns "
    "dspy.Prediction(descriptions=[…]), a list of texts; docs/dspy.md has an example."
)


@dataclass(frozen=True)
class Describing:
    """How the search pictures are described.

    Attributes:
        by: who does it, in words.
        pictures: what is shown.
        describer: makes the describer, see `describe`, from a recorder of what is asked, with the
            language model that is asked where it holds none.
    """

    by: str
    pictures: Sequence[Picture]
    describer: Callable[[Recorder], tuple[Any, dspy.LM | None]]


def by_clip(clip: Clip, name: str, pictures: Sequence[Picture], bank: BankName) -> Describing | None:
    """Have the CLIP describe pictures, by the describer of one of the names of `BY_CLIP`; None without phrases."""
    if bank == "none":
        return None
    phrases = PhraseBank.load(bank)
    by_fit = name == "fit"
    describer = FitInterrogator(clip, phrases) if by_fit else Interrogator(clip, phrases, greedy=name == "clip-greedy")
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
        describer: an `ImageDescriber`, an `Interrogator`, or anything else with the same call; `CONTRACT` says which.
        pictures: the search pictures.
        labels: int64, their classes; None where a reward has no labels.
        class_names: in label order.
        task: one sentence on what the pictures are.
        record: where the descriptions are written.

    Returns:
        One line a description.

    Raises:
        InputError: the describer takes or returns something else.
        BudgetReached, dspy.LMError: see `ImageDescriber`.
    """
    # Pictures that could not be described are not tried again when the run resumes: another description would be
    # another question to the optimizer, and all that was answered would be asked again.
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
    """Refuse a describer that cannot be called so; what it raises inside is its own affair."""
    # Of the class: a module's own `forward` is not to be touched from outside, DSPy warns.
    call = type(describer).forward if isinstance(describer, dspy.Module) else describer
    own = (describer,) if isinstance(describer, dspy.Module) else ()
    try:
        inspect.signature(call).bind(*own, **question)
    except TypeError as error:
        raise InputError(f"the describer {_name(describer)} cannot be called ({error}): {CONTRACT}") from error
    except ValueError:  # a callable of C says nothing of what it takes
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
