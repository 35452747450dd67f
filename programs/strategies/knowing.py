"""Strategies that ask as `history` does and may know something else: `feedback`, and the controls.

A list of templates with scores says which one was good, not why. Told what failed, a language model sees few templates,
and beside them what can be read from all: how much each part of a template ("upside down") added, the others of its
templates taken into account, and which classes are most often taken for each other. A reward without labels has no such
pairs, and they are left out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, Field

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.strategies.asking import HistorySettings
from ipo_prompts.programs.strategies.base import Expected, Forecast, Knowing, Known, Models, Strategy
from ipo_prompts.programs.strategies.history import HistoryStrategy
from ipo_prompts.programs.templates.history import PromptHistory
from ipo_prompts.programs.templates.wording import Part, Wording

HELPFUL, HARMFUL, CONFUSED = 6, 3, 4
"""Parts that helped, parts that did not, and pairs of classes: how many are told."""
RIDGE = 1.0
"""The penalty on what a part is worth: one that was tried once gets half the credit."""
LONGEST_FINDING = 300
"""Characters of a line."""


class FeedbackSettings(HistorySettings):
    """Which part of the history is shown beside the findings."""

    size: int = Field(4, ge=0, description="scored templates that the language model sees; 0 for none")


class Feedback(Knowing):
    """Asks as `history` does, with few templates and what all of them taught."""

    Settings: ClassVar[type[BaseModel]] = FeedbackSettings

    @classmethod
    def build(cls, settings: FeedbackSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(settings, models), taught)

    def forecast(self, expected: Expected) -> Forecast:
        """Estimate as `history` does, with three lines more in each question; a character has at most four bytes,
        and hardly more than one token."""
        found = super().forecast(expected)
        longest = found.longest + 3 * LONGEST_FINDING
        return replace(found, tokens_in=found.tokens_in + found.calls * 3 * 4 * LONGEST_FINDING, longest=longest)


def taught(known: Known) -> Known:
    """Add the findings to what is known."""
    return replace(known, findings=findings(known))


class Worth(NamedTuple):
    """What a part is estimated to add to the value, a fraction, and how many templates say so."""

    part: Part
    gain: float
    templates: int


def findings(known: Known) -> list[str]:
    """Return what the history teaches, at most three lines of text."""
    parts = worth_of_parts(known.history)
    helpful = [one for one in parts if one.gain > 0][:HELPFUL]
    harmful = [one for one in reversed(parts) if one.gain <= 0][:HARMFUL]
    lines = []
    if helpful:
        lines.append(f"Words that helped, with the points they added: {_told(helpful, known.scale)}")
    if harmful:
        lines.append(f"Words that did not help: {_told(harmful, known.scale)}")
    if pairs := confused(known):
        told = [f"{true} taken for {taken} ({count} times)" for (true, taken), count in pairs]
        lines.append(f"What the best template still confuses: {', '.join(told)}")
    return [line[:LONGEST_FINDING] for line in lines]


def worth_of_parts(history: PromptHistory) -> list[Worth]:
    """Estimate what each part adds to the initial template's value, best first, by ridge regression on all templates.

    Templates that cannot be taken apart (`Wording.of`) say nothing; nor do the parts of the initial one.
    """
    import numpy as np

    tried = [(wording, entry.value) for entry in history if (wording := Wording.of(entry.template))]
    start = Wording.of(history.initial.template)
    counts = Counter(part for wording, _ in tried for part in wording.parts)
    parts = [part for part in counts if start is None or part not in start.parts]
    if not parts:
        return []
    has = np.array([[part in wording.parts for part in parts] for wording, _ in tried], dtype=np.float64)  # (n, parts)
    gains = np.array([value for _, value in tried]) - history.initial.value
    worth = np.linalg.solve(has.T @ has + RIDGE * np.eye(len(parts)), has.T @ gains)
    found = [Worth(part, float(gain), counts[part]) for part, gain in zip(parts, worth, strict=True)]
    return sorted(found, key=lambda one: -one.gain)


def confused(known: Known) -> list[tuple[tuple[str, str], int]]:
    """Return the pairs (true class, predicted class) that the best template confuses most, with how often."""
    predictions = known.history.best.score.predictions
    if known.labels is None or len(predictions) != len(known.labels):
        return []
    names = known.class_names
    wrong = [(names[t], names[p]) for t, p in zip(known.labels, predictions, strict=True) if t != p]
    return Counter(wrong).most_common(CONFUSED)


def _told(parts: Sequence[Worth], scale: Scale) -> str:
    return ", ".join(f'"{one.part.text}" {scale.gained(one.gain)}' for one in parts)


# The controls: each asks as another strategy does, and is a function that changes what that one may know.
#
# What a search gains with shuffled scores, it gains without knowing which template was good; what it gains without a
# history is the best of as many proposals.


def no_history(known: Known) -> Known:
    """Leave out every template and score but for the initial one, and what they teach."""
    return replace(known, history=PromptHistory(known.history.initial), looked=(), findings=())


def shuffled(known: Known) -> Known:
    """Give each template another's score, and each picture another's class.

    All of them, before the best are chosen: the choice must not reveal which they are.
    """
    import numpy as np

    rng = random.Random(known.seed)
    history = known.history.shuffled(rng)
    labels = known.labels
    if labels is not None:
        labels = np.array(rng.sample(labels.tolist(), len(labels)))
        labels.setflags(write=False)
    scores = rng.sample(known.looked, len(known.looked))
    pairs = zip(known.looked, scores, strict=True)
    looked = tuple(replace(one, value=giver.value, loss=giver.loss) for one, giver in pairs)
    return replace(known, history=history, labels=labels, looked=looked, findings=())


class NoHistory(Knowing):
    """Asks the same questions as `history` in every step, without any template or score."""

    Settings: ClassVar[type[BaseModel]] = NoSettings

    @classmethod
    def build(cls, settings: NoSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(HistorySettings(size=0), models), no_history)


class Shuffled(Knowing):
    """Asks as `history` does, and shows each template with another's score."""

    Settings: ClassVar[type[BaseModel]] = HistorySettings

    @classmethod
    def build(cls, settings: HistorySettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(HistoryStrategy.build(settings, models), shuffled)


class ShuffledFeedback(Knowing):
    """Asks as `feedback` does, with findings from shuffled scores and shuffled classes."""

    Settings: ClassVar[type[BaseModel]] = FeedbackSettings

    @classmethod
    def build(cls, settings: FeedbackSettings, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(Feedback.build(settings, models), shuffled)
