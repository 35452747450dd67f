"""Two templates on the same units: their scores, their difference, and the verdict in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.run.scores import AnyPart, Comparison, Measured, OverClasses, SealedPart
from ipo_prompts.metrics.classification import EncodedPictures, logits_of
from ipo_prompts.metrics.evidence import SAME, Effect, Scopes, paired_difference
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.sampling import MeanOverClasses, Sampling
from ipo_prompts.metrics.several import SeveralLabels, compare_precision
from ipo_prompts.metrics.verdict import (
    Verdict,
    class_mean_interval,
    difference_over_classes,
    judge,
    no_test,
    points,
    score_interval,
)

COPIES = "ipo_prompts.experiments.data.near_copies:told_copies"
"""Finds pictures that look like near copies."""
FLATTERED = "these units shaped the template or chose it"
SEALED = "on sealed units in this run"
RENAMED = "these sealed units were opened before with other classes or class names"
SEALED_PARTS: tuple[SealedPart, ...] = ("test", "new")


@dataclass(frozen=True)
class Compared:
    """The initial and the chosen template on one part of the data, n units.

    Attributes:
        items: the n labelled pictures; empty where units are not single pictures.
        units: the units that the reward made of the pictures.
        labels: int64 (n,), the true label of each unit; None where units have none.
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
        """The classes that competed, in label order."""
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
        pairs: both templates on each set, by the name of the set.
        sealed: the names of the sets that neither searched nor chose; only these are tested, and corrected together.
        family: the name of the tests that are corrected together.
        opening: the number of this opening of the sealed sets; None where openings are not counted.
        balanced: whether classes count the same, whatever their sizes; then each unit has one class.
        tests: whether sealed sets give a p; they do not if their units may have led to the classes of the run.
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
        return Scopes(SAME, None)  # nothing was measured, so nothing is uncertain
    if balanced and sampling.classes is not None:
        return Scopes(difference_over_classes(initial.hits, optimised.hits, sampling), None)
    return paired_difference(initial.hits, optimised.hits, sampling)


def measured(score: Score, sampling: Sampling) -> Measured:
    """Return a score with its interval."""
    ends = score_interval(score.hits, sampling)
    return Measured(value=score.value, loss=score.loss, n=score.n, ci95=(ends.low, ends.high))


def gained(without: Score, with_: Score, sampling: Sampling) -> dict[str, Any]:
    """Return `difference`, the second score less the first, and `ci95`, its interval; this is no test.

    Both scores may be of one template, with different offsets or class names. If all losses are equal, the difference
    is zero without uncertainty.
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
    new: Comparison | None = None,
    untried: str | None = None,
    numbers: bool = True,
    limit: bool = True,
) -> str:
    """Say in words what the sealed test shows; `result.json` keeps the words, and all other output repeats them.

    Args:
        test: the two templates on the sealed units.
        unit: the name of the units, in the plural.
        opened: the number of this opening of the sealed units or some of them.
        elsewhere: how many of the other openings were made elsewhere, by `opened=N`.
        new: the two templates on classes that the search never saw; `test` is about base classes then.
        untried: why the search ended before any template was tried; None where one was.
        numbers: whether to include the differences; the report page has them on separate cards.
        limit: whether to add what could have been shown, if nothing is shown.
    """
    found = test.difference
    size = f": {found.numbers}" if numbers else ""
    tested = f"base-class {unit}" if new else unit
    says = {
        "same templates": "Nothing convincing was found: the initial template stays.",
        "gain": f"A gain on {tested} that the search never saw{size}.",
        "loss": f"A loss on {tested} that the search never saw{size}. Keep the initial template.",
        "no test": f"No test: these sealed {unit} were opened before with other classes or class names, and what they "
        f"showed may have led to the classes or names of this run{size}. Only new {unit} can test it.",
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


def seen_before(test: Comparison, unit: str, opened: int, elsewhere: int = 0) -> str | None:
    """Say that the sealed units were opened before; None where no p depends on it. Args: see `verdict`."""
    if opened == 1 or test.difference.p is None or test.difference.outcome == "same templates":
        return None
    where = f", {elsewhere} of them elsewhere" if elsewhere else ""
    return (
        f"The test is not the first: it is opening {opened} of these sealed {unit} or some of them{where}. What the "
        "earlier ones showed may be the reason for this run, so p is corrected for that."
    )


def over_classes(parts: Mapping[AnyPart, Compared], balanced: bool = False) -> dict[SealedPart, OverClasses]:
    """Average both templates over the classes of each sealed part.

    Averaged are accuracies, if the largest class has more than twice the pictures of the smallest or with `balanced`;
    for pictures with several labels, average precisions.
    """
    found = {name: _over_classes(part, balanced) for name in SEALED_PARTS if (part := parts.get(name))}
    return {name: one for name, one in found.items() if one}


def _over_classes(part: Compared, balanced: bool) -> OverClasses | None:
    if isinstance(part.reward, SeveralLabels):
        sizes = part.units.shown.sum(axis=0)
        classes, single, means = int((sizes > 0).sum()), int((sizes == 1).sum()), _precisions(part, part.reward)
    elif part.sampling.classes is None:
        return None
    else:
        sizes = np.bincount(part.sampling.classes)
        if not balanced and sizes.max() <= 2 * sizes.min():
            return None
        classes, single, means = len(sizes), part.sampling.singles, _accuracies(part)
    initial, optimised, more = means
    return OverClasses(
        precision=isinstance(part.reward, SeveralLabels),
        classes=classes,
        single=single,
        initial=initial.mean,
        initial_ci95=initial[1:],
        optimised=optimised.mean,
        optimised_ci95=optimised[1:],
        difference=more.mean,
        ci95=more[1:],
    )


Means = tuple[MeanOverClasses, MeanOverClasses, MeanOverClasses]
"""The means of the initial template, of the optimised template, and of their difference."""


def _precisions(part: Compared, reward: SeveralLabels) -> Means:
    """Compare the mAP of both templates; with this reward no ensemble is searched for."""
    rows = reward.texts.encode([part.initial.template, part.optimised.template], reward.class_names)
    before, after = (logits_of(reward.clip, part.units.features, one) for one in rows)
    return compare_precision(before, after, part.units.shown, part.sampling)


def _accuracies(part: Compared) -> Means:
    initial, optimised = (class_mean_interval(score.hits, part.sampling) for score in (part.initial, part.optimised))
    more = _scopes(*part.pair, balanced=True).these
    return initial, optimised, MeanOverClasses(more.mean, more.low, more.high)


WIDER = 1.05
"""The interval must be so many times wider with near copies as one draw to be reported."""


def near_copies_in_words(test: Compared, balanced: bool = False) -> str:
    """Say how many test pictures look like near copies, and the interval of the difference if near copies are one draw.

    Empty if this makes the interval hardly wider, as for a single pair among hundreds; if both templates are the same;
    if pictures do not have one class each; and if there are many pictures.
    """
    units = test.units
    if not isinstance(units, EncodedPictures) or units.labels is None:
        return ""
    if len(test.items) != len(units) or test.initial.template == test.optimised.template:
        return ""
    told, groups = resolve_name(COPIES)(test.items, units.features)
    if not told:
        return ""
    grouped = Sampling.of(len(groups), units.labels.tolist(), groups)
    found, plain = (
        _scopes(test.initial, test.optimised, sampling, balanced).these for sampling in (grouped, test.sampling)
    )
    if found.high - found.low < WIDER * (plain.high - plain.low):
        return ""
    return f"{told}; grouped, the interval is [{points(found.low)}, {points(found.high)}]."
