"""Compare two templates on the same units: their scores, their difference, and the verdict in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.run.scores import AnyPart, Comparison, Measured, OverClasses, SealedPart
from ipo_prompts.metrics.errors import several
from ipo_prompts.metrics.evidence import SAME, Effect, Scopes, paired_difference
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import (
    Verdict,
    class_mean_interval,
    difference_over_classes,
    judge,
    no_test,
    score_interval,
)

FLATTERED = "these units shaped the template or chose it"
SEALED = "on sealed units in this run"
RENAMED = "these sealed units were opened before with other classes or class names"
NAMED = 3
"""The most runs that are named in a sentence."""
SEALED_PARTS: tuple[SealedPart, ...] = ("test", "new")


@dataclass(frozen=True)
class Compared:
    """The initial and the chosen template on one part of the data, n units.

    Attributes:
        items: the n labelled pictures; empty if units are not single pictures.
        units: the units that the reward made from the pictures.
        labels: int64 (n,), the true label of each unit; None if units have no labels.
        reward: the reward that scored both templates, with the classes that competed.
        sampling: how the units were drawn.
        initial, optimised: the scores of the initial and of the chosen template.
    """

    items: Sequence[Item]
    units: Any
    labels: npt.NDArray[np.int64] | None
    reward: Reward
    sampling: Sampling
    initial: Score
    optimised: Score

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes that competed, in label order."""
        return self.reward.class_names

    @property
    def pair(self) -> tuple[Score, Score, Sampling]:
        """Both scores, and how their units were drawn."""
        return self.initial, self.optimised, self.sampling


Pair = tuple["Score", "Score", Sampling]
"""The initial and the optimised template on the same units in the same order, and how the units were drawn."""


def compare(
    pairs: Mapping[str, Pair],
    sealed: Collection[str],
    family: str = SEALED,
    opening: int | None = None,
    balanced: bool = False,
    tests: bool = True,
) -> dict[str, Comparison]:
    """Compare two templates on several sets of units.

    Args:
        pairs: the scores of both templates on each set, by the name of the set.
        sealed: the names of the sets with which no template was searched or chosen. Only these sets are tested, and
            their p-values are corrected together.
        family: the name of the group of tests whose p-values are corrected together.
        opening: the number of this opening of the sealed sets; None if openings are not counted.
        balanced: whether each class counts the same, whatever its size; then each unit must have one class.
        tests: whether sealed sets get a p-value; False if their units may have led to the classes of the run.
    """
    scopes = {name: _scopes(*pair, balanced) for name, pair in pairs.items()}
    opened = {name: scopes[name] for name in pairs if name in sealed}

    def judged(effects: Mapping[str, Effect]) -> dict[str, Verdict]:
        if tests:
            return judge(effects, family, opening)
        return {name: no_test(effect, RENAMED) for name, effect in effects.items()}

    here = judged({name: scope.these for name, scope in opened.items()})
    general = judged({name: scope.like_these for name, scope in opened.items() if scope.like_these})
    return {
        name: Comparison(
            initial=measured(initial, sampling),
            optimised=measured(optimised, sampling),
            difference=here.get(name) or no_test(scopes[name].these, FLATTERED),
            like_these=general.get(name),
        )
        for name, (initial, optimised, sampling) in pairs.items()
    }


def _scopes(initial: Score, optimised: Score, sampling: Sampling, balanced: bool) -> Scopes:
    if initial.template == optimised.template:
        return Scopes(SAME, None)  # a template does not differ from itself, so there is no uncertainty
    if balanced and sampling.classes is not None:
        return Scopes(difference_over_classes(initial.hits, optimised.hits, sampling), None)
    return paired_difference(initial.hits, optimised.hits, sampling)


def measured(score: Score, sampling: Sampling) -> Measured:
    """Return the value and loss of a score, with the 95 % interval of the value."""
    ends = score_interval(score.hits, sampling)
    return Measured(value=score.value, loss=score.loss, n=score.n, ci95=(ends.low, ends.high))


def gained(without: Score, with_: Score, sampling: Sampling) -> dict[str, Any]:
    """Return `difference`, the second score less the first, and `ci95`, its 95 % interval; this is no test.

    Both scores may belong to the same template, with different class names. If all their losses are equal
    then, the difference is zero without uncertainty.
    """
    same = without.template == with_.template and np.array_equal(without.losses, with_.losses)
    found = SAME if same else paired_difference(without.hits, with_.hits, sampling).these
    return {"difference": found.mean, "ci95": (found.low, found.high)}


def verdict(
    test: Comparison,
    unit: str,
    opened: int,
    *,
    elsewhere: int = 0,
    renamed_in: Sequence[str] = (),
    new: Comparison | None = None,
    untried: str | None = None,
    numbers: bool = True,
    limit: bool = True,
) -> str:
    """Say in words what the sealed test shows; `result.json` stores this text.

    Args:
        test: both templates on the sealed units; if `new` is given, these are units of base classes.
        unit: the name of the units, in the plural.
        opened: the number of this opening of the sealed units, or of some of them.
        elsewhere: how many of the other openings were made elsewhere, as `opened=N` says.
        renamed_in: the names of the runs that opened the sealed units with other classes or class names.
        new: both templates on the sealed units of new classes; None if there are none.
        untried: why the search ended before any template was tried; None if a template was tried.
        numbers: whether to include the differences; the report page shows them on separate cards.
        limit: whether to add which difference could have been shown, if none is shown.
    """
    found = test.difference
    size = f": {found.numbers}" if numbers else ""
    tested = f"base-class {unit}" if new else unit
    says = {
        "same templates": "Nothing convincing was found: the initial template stays.",
        "gain": f"A gain on {tested} that the search never saw{size}.",
        "loss": f"A loss on {tested} that the search never saw{size}. Keep the initial template.",
        "no test": f"No test: these sealed {unit} were opened before with other classes or class names"
        f"{in_runs(renamed_in)}, and what they showed may have led to the classes or names of this run{size}. Only new "
        f"{unit} can test it.",
        "not shown": f"No evidence of a gain on {tested} that the search never saw{size}"
        f"{f'; {found.limit}' if limit else ''}.",
    }
    words = (
        says[found.outcome] if untried is None else f"No template was tried ({untried}): the initial template stays."
    )
    if new and untried is None and found.outcome != "same templates":
        known = {"gain": "a gain", "loss": "a loss", "no test": "no test either"}
        shown = known.get(new.difference.outcome, "neither a gain nor a loss is shown")
        size = f", {new.difference.numbers}" if numbers else ""
        words += f" On {new.optimised.n:,} {unit} of new classes: {shown}{size}."
    seen = seen_before(test, unit, opened, elsewhere)
    return f"{words} {seen}" if seen else words


def in_runs(names: Sequence[str]) -> str:
    """Name the runs that opened sealed units, as part of a sentence; empty if none is known.

    >>> in_runs([]), in_runs(["a"]), in_runs(["a", "b", "c", "d"])
    ('', ' (in the run a beside this one)', ' (in the runs a, b, c and 1 more beside this one)')
    """
    return f" (in the run{'s' * (len(names) > 1)} {several(names, NAMED)} beside this one)" if names else ""


def seen_before(test: Comparison, unit: str, opened: int, elsewhere: int) -> str | None:
    """Say that the sealed units were opened before; return None if they were not, or if no p depends on it.

    For the arguments see `verdict`.
    """
    if opened == 1 or test.difference.p is None or test.difference.outcome == "same templates":
        return None
    where = f", {elsewhere} of them elsewhere" if elsewhere else ""
    return (
        f"The test is not the first: it is opening {opened} of these sealed {unit} or some of them{where}. What the "
        "earlier openings showed may be the reason for this run, so p is corrected."
    )


def over_classes(parts: Mapping[AnyPart, Compared], balanced: bool = False) -> dict[SealedPart, OverClasses]:
    """Average both templates over the classes of each sealed part.

    The average is over the accuracies of classes. It is left out if units have no classes, and if the largest class has
    at most twice the pictures of the smallest, unless `balanced` is set.
    """
    found = {name: _over_classes(part, balanced) for name in SEALED_PARTS if (part := parts.get(name))}
    return {name: one for name, one in found.items() if one}


def _over_classes(part: Compared, balanced: bool) -> OverClasses | None:
    if part.sampling.classes is None:
        return None
    sizes = np.bincount(part.sampling.classes)
    if not balanced and sizes.max() <= 2 * sizes.min():
        return None
    initial, optimised = (class_mean_interval(score.hits, part.sampling) for score in (part.initial, part.optimised))
    more = _scopes(*part.pair, balanced=True).these
    return OverClasses(
        classes=len(sizes),
        single=part.sampling.singles,
        initial=initial.mean,
        initial_ci95=initial[1:],
        optimised=optimised.mean,
        optimised_ci95=optimised[1:],
        difference=more.mean,
        ci95=(more.low, more.high),
    )
