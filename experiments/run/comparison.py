"""Two templates on the same units: both scores, their difference, and what it shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.tasks.base import LABEL
from ipo_prompts.metrics.accuracy import score_interval
from ipo_prompts.metrics.evidence import SAME, Scopes, paired_difference
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict, judge, no_test

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.reward import Score

Label = Annotated[str, Field(pattern=LABEL)]


class RewardNames(Content):
    """What was maximised: the reward, the name of its measure, and what its n counts, in the plural."""

    name: str = Field("classification", pattern=r"^[\w.:-]{1,100}$")
    measure: Label = "accuracy"
    unit: Label = "pictures"


CLASSIFICATION = RewardNames()


PartName = Literal["search", "selection", "test", "new"]
AnyPart = PartName | Literal["fresh"]
"""A part of the pictures; `fresh` ones neither searched nor chose, and are there for the words of the template."""


class Measured(Content):
    """One template on one set of n units; `value` is a fraction, the loss of a classification is in nats."""

    value: Rounded
    loss: Rounded
    n: int
    ci95: Ends


class Comparison(Content):
    """Both templates on one set of units.

    Attributes:
        difference: optimised minus initial, with its verdict, for the classes as given.
        like_these: the same for classes like these; None where units have no classes, or too few.
    """

    initial: Measured
    optimised: Measured
    difference: Verdict
    like_these: Verdict | None = None


@dataclass(frozen=True)
class Compared:
    """The initial and the chosen template on one part of the data, n units.

    Attributes:
        items: the n labelled pictures; empty where units are not single pictures.
        units: what the reward made of them.
        labels: int64 (n,), the true label of each unit; None where it has none.
        class_names: the classes that competed, in label order.
        sampling: how the units were drawn.
        initial, optimised: the scores of the initial and of the chosen template.
    """

    items: Sequence[Item]
    units: Any
    labels: npt.NDArray[np.int64] | None
    class_names: Sequence[str]
    sampling: Sampling
    initial: Score
    optimised: Score

    @property
    def pair(self) -> tuple[Score, Score, Sampling]:
        """Both scores, and how their units were drawn."""
        return self.initial, self.optimised, self.sampling


Pair = tuple["Score", "Score", Sampling]
"""The initial and the optimised template on the same units in the same order, and how the units were drawn."""
FLATTERED = "these units shaped the template or chose it"
SEALED = "on sealed units in this run"


def compare(pairs: Mapping[str, Pair], sealed: Collection[str], family: str = SEALED) -> dict[str, Comparison]:
    """Compare two templates on several sets of units.

    Args:
        pairs: by the name of the set.
        sealed: the sets that neither searched nor chose; their comparisons are corrected together, the others are none.
        family: what these are called.
    """
    scopes = {name: _scopes(*pair) for name, pair in pairs.items()}
    tested = {name: scopes[name] for name in pairs if name in sealed}
    here = judge({name: scope.these for name, scope in tested.items()}, family)
    general = judge({name: scope.like_these for name, scope in tested.items() if scope.like_these}, family)
    return {
        name: Comparison(
            initial=measured(initial, sampling),
            optimised=measured(optimised, sampling),
            difference=here.get(name) or no_test(scopes[name].these, FLATTERED),
            like_these=general.get(name),
        )
        for name, (initial, optimised, sampling) in pairs.items()
    }


def _scopes(initial: Score, optimised: Score, sampling: Sampling) -> Scopes:
    if initial.template == optimised.template:
        return Scopes(SAME, None)  # nothing was measured, so nothing is uncertain
    return paired_difference(initial.hits, optimised.hits, sampling)


def measured(score: Score, sampling: Sampling) -> Measured:
    """Return a score with its interval."""
    ends = score_interval(score.hits, sampling)
    return Measured(value=score.value, loss=score.loss, n=score.n, ci95=(ends.low, ends.high))


def verdict(
    test: Comparison,
    unit: str,
    opened: int,
    *,
    chain: int = 1,
    new: Comparison | None = None,
    untried: str | None = None,
    numbers: bool = True,
) -> str:
    """Say in words what the sealed test shows; `result.json` keeps it, and everything that speaks of it prints that.

    Args:
        test: the two templates on the sealed units.
        unit: what they are called, in the plural.
        opened: how many runs in the folder opened them, or some of them.
        new: the same on classes that the search never saw; `test` is of base classes then.
        chain: how many of those that this run started from did, itself included.
        untried: why the search ended before any template was tried; None where one was.
        numbers: with the differences; the report page has these on cards of their own.
    """
    found = test.difference
    size = f": {found.numbers}" if numbers else ""
    tested = f"base-class {unit}" if new else unit
    if untried is not None:
        words = f"No template was tried ({untried}): the initial template stays."
    elif found.outcome == "same templates":
        words = "Nothing convincing was found: the initial template stays."
    elif found.outcome == "gain":
        words = f"A gain on {tested} that the search never saw{size}."
    elif found.outcome == "loss":
        words = f"A loss on {tested} that the search never saw{size}. Keep the initial template."
    else:
        words = f"No evidence of a gain on {tested} that the search never saw{size}; {found.limit}."
    if new and untried is None and found.outcome != "same templates":
        shown = {"gain": "a gain", "loss": "a loss"}.get(new.difference.outcome, "neither a gain nor a loss is shown")
        size = f", {new.difference.numbers}" if numbers else ""
        words += f" On {new.optimised.n:,} {unit} of new classes: {shown}{size}."
    seen = seen_before(test, unit, opened, chain)
    return f"{words} {seen}" if seen else words


def seen_before(test: Comparison, unit: str, opened: int, chain: int = 1) -> str | None:
    """Say that other runs opened the sealed units, with the arguments of `verdict`; None where there is no need to."""
    if chain > 1:
        beside = f", and {opened} in this folder," if opened > chain else ","
        return (
            f"The test is no first look: {chain} runs of this chain, this one included{beside} have opened the same "
            f"sealed {unit}, and what they showed may be why the search went on."
        )
    if opened > 1 and test.difference.outcome == "gain":
        return (
            f"{opened} runs in this folder were tested on these {unit} or some of them: do not pick the best of them "
            "by this test."
        )
    return None
