"""Verdicts of comparisons and intervals of single scores.

A comparison has one verdict, which is made from the corrected p-value. The terminal, the page, JSON and the tables all
show this verdict.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, BaseModel, ConfigDict

from ipo_prompts.metrics.evidence import (
    ALPHA,
    EACH_CLASS_ALIKE,
    SAME,
    Crossed,
    Effect,
    effect_of,
    half_width,
    holm,
    joint_variance,
    over_seeds,
    split_variance,
)
from ipo_prompts.metrics.sampling import Interval, MeanOverClasses, Sampling, Variance, t_quantile, values_of, wilson

Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), 6) + 0.0)]
"""A number rounded to six decimals, never -0. Differences between processors are smaller, and intervals are wider."""
Ends = tuple[Rounded, Rounded]
"""The two ends of a 95 % interval."""
FOR_THE_FIRST = 0.85
"""The share of ALPHA that the first opening of sealed units may spend. Mostly there is no second opening."""
Outcome = Literal["gain", "loss", "not shown", "same templates", "no test"]
Name = TypeVar("Name", bound=Hashable)


class Verdict(BaseModel):
    """A difference of two templates or methods, and whether it is shown. See `ipo docs statistics`.

    Differences are fractions: 0.01 is one percentage point.

    Attributes:
        outcome: `gain` or `loss` if the corrected p-value is at most 0.05; else `not shown`, which does not mean that
            there is no difference. `same templates` if the same templates are compared. `no test` if the templates or
            methods were made, or may have been made, with these units.
        mean: the difference.
        ci95: the 95 % interval of the difference, not corrected for the number of comparisons.
        p: the two-sided p-value, not corrected; None if there is no test.
        p_corrected: the p-value after Holm's correction for `comparisons`, divided by the share of the 5 % that this
            opening may spend; None if there is no test.
        comparisons: the number of comparisons that are corrected together.
        opening: the number of this opening of the sealed units; None if openings are not counted.
        family: the comparisons that are corrected together, in words; the reason if there is no test.
        detectable: the true difference that would be shown four times in five, after the same correction; None if no
            difference could be shown.
        within: the margin m for which the difference is shown to lie between -m and m, after the same correction.
        covers: what was sampled: pictures of `these classes`, `classes like these`, and so on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    mean: Rounded
    ci95: Ends
    p: Rounded | None
    p_corrected: Rounded | None
    comparisons: int
    opening: int | None = None
    family: str
    detectable: Rounded | None
    within: Rounded
    covers: str

    @property
    def numbers(self) -> str:
        """The difference with its interval and its p-value: "+4.20 points [+1.00, +7.40], p = 0.012".

        An interval that excludes zero seems to contradict a corrected p-value above 5 %; then the text says why.
        """
        low, high = self.ci95
        size = f"{points(self.mean)} points [{points(low)}, {points(high)}]"
        size += " over classes that count the same" if self.covers == EACH_CLASS_ALIKE else ""
        if self.p_corrected is None:
            return size
        beside = ""
        if self._corrected and self.p_corrected > ALPHA and not low <= 0 <= high:
            beside = " (the interval is not corrected)"
        return f"{size}, {format_p(self.p_corrected)}{self._corrected}{beside}"

    @property
    def _corrected(self) -> str:
        """The corrections of the p-value in words, to follow it: " after correction for 3 comparisons"; "" if none.

        At the first opening, the correction for later openings is named only if it makes the p-value exceed 5 %.
        """
        found = [f"{self.comparisons} comparisons"] if self.comparisons > 1 else []
        if self.opening and self.opening > 1:
            found.append(f"{self.opening} openings")
        elif self.opening and (self.p or 0) <= ALPHA < (self.p_corrected or 0):
            found.append("openings to come")
        return f" after correction for {' and '.join(found)}" if found else ""

    def against(self, other: str) -> str:
        """Return the verdict in words, to follow "A shows": "a gain over the baseline template of +4.20 points …".

        `other` is the name of what A is compared with.
        """
        if self.outcome == "same templates":
            return f"the same templates as {other}, so no gain over it"
        if self.outcome == "gain":
            return f"a gain over {other} of {self.numbers}"
        if self.outcome == "loss":
            return f"a loss against {other} of {self.numbers}"
        if self.outcome == "no test":
            return f"a difference from {other} that is not tested: {self.numbers}"
        return f"no evidence of a gain over {other}: {self.numbers}; {self.limit}"

    @property
    def limit(self) -> str:
        """The difference that would have been shown, and the margin within which this difference lies, in words."""
        if self.detectable is None:
            return "no difference could have been shown with so few units, seeds or data sets"
        shown = f"a true difference of {100 * self.detectable:.1f} points would be shown four times in five"
        return f"{shown}, and this one is shown to be within ±{100 * self.within:.1f}"


def spends(opening: int | None) -> float:
    """Return the share of ALPHA that an opening of sealed units may spend; 1 if openings are not counted.

    `opening` is the number of the opening, from 1; None if openings are not counted. All openings together spend at
    most ALPHA. So a person who opens the same units again and again, and stops at the first claim, makes a false claim
    in at most 5 % of cases.

    >>> [round(spends(opening), 4) for opening in (None, 1, 2, 3, 20)]
    [1.0, 0.85, 0.075, 0.025, 0.0004]
    """
    if opening is None:
        return 1.0
    return FOR_THE_FIRST if opening == 1 else (1 - FOR_THE_FIRST) / (opening * (opening - 1))


def judge(effects: Mapping[Name, Effect], family: str, opening: int | None = None) -> dict[Name, Verdict]:
    """Return the verdict of each comparison. The p-values of all comparisons are corrected together.

    A comparison of a template with itself is not counted.

    Args:
        effects: the name of each comparison → its effect.
        family: the comparisons in words, such as "comparisons of IPO in this row".
        opening: the number of this opening of the sealed units; None if openings are not counted, because nobody would
            repeat the comparisons until a difference is shown.
    """
    tested = [name for name, effect in effects.items() if effect is not SAME]
    corrected = dict(zip(tested, holm([effects[name].p for name in tested]), strict=True))
    return {
        name: _verdict(effect, corrected.get(name, 1.0), max(1, len(tested)), family, opening)
        for name, effect in effects.items()
    }


def no_test(effect: Effect, why: str) -> Verdict:
    """Return a verdict without a p-value, because what is compared was made, or may have been made, with these units.

    `why` is the reason in words, which becomes the verdict's `family`.
    """
    return _verdict(effect, None, 1, why)


def _verdict(
    effect: Effect, corrected: float | None, comparisons: int, family: str, opening: int | None = None
) -> Verdict:
    """Return a verdict. `corrected` is the p-value after Holm's correction; None if there is no test."""
    share = spends(opening)
    if corrected is not None:
        corrected = min(1.0, corrected / share)
    outcome: Outcome = "not shown"
    if effect is SAME:
        outcome = "same templates"
    elif corrected is None:
        outcome = "no test"
    elif corrected <= ALPHA and effect.mean:
        outcome = "gain" if effect.mean > 0 else "loss"
    detectable = effect.detectable(comparisons / share)
    return Verdict(
        outcome=outcome,
        mean=effect.mean,
        ci95=(effect.low, effect.high),
        p=None if corrected is None else effect.p,
        p_corrected=corrected,
        comparisons=comparisons,
        opening=opening,
        family=family,
        detectable=detectable if math.isfinite(detectable) else None,
        within=effect.within(comparisons / share),
        covers=effect.covers,
    )


def share(found: Any) -> str:
    """Format a figure in percent, with its 95 % interval: "50.0 % [40.0, 60.0]".

    `found` has the attributes `value` and `ci95`, which are fractions.
    """
    low, high = found.ci95
    return f"{100 * found.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def between(found: Any) -> str:
    """Format the 95 % interval of a difference in percentage points: "[-1.23, +4.56]".

    `found` has the attribute `ci95`, whose ends are fractions.
    """
    return f"[{points(found.ci95[0])}, {points(found.ci95[1])}]"


def points(value: float) -> str:
    """Format a difference, given as a fraction, in percentage points. It has a sign, and is never -0.00.

    >>> points(-0.0123)
    '-1.23'
    """
    return f"{round(100 * value, 2) + 0.0:+.2f}"


def format_p(p: float) -> str:
    """Format a p-value: "p = 0.013", "p < 0.0001"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


# Intervals of a single score, which is an accuracy or another mean. The mean is over units or over classes, with one
# seed or several.


def score_interval(contributions: ArrayLike, sampling: Sampling, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Return the 95 % interval of one score on n units with one seed, for these classes.

    Args:
        contributions: the contribution of each unit, (n,). For bool (right or wrong), the interval is Wilson's. For
            other numbers it is a t interval, cut at the bounds.
        sampling: how the units were drawn.
        bounds: the bounds of the score; see `scale.Scale`.

    >>> low, high = score_interval([True] * 8 + [False] * 2, Sampling(10))
    >>> f"{low:.3f} to {high:.3f}"
    '0.490 to 0.943'
    """
    values = np.asarray(contributions)
    part = Crossed(values_of(values)[None], sampling)
    if values.dtype == bool:
        return accuracy_interval(part)
    found = split_variance([part], added=0)
    assert found is not None
    mean, variance = found.mean, found.units
    if not math.isfinite(variance.value):
        return Interval(*bounds)
    half = t_quantile(variance.degrees, 1 - ALPHA) * math.sqrt(variance.value)
    return Interval(max(bounds[0], mean - half), min(bounds[1], mean + half))


def accuracy_interval(part: Crossed) -> Interval:
    """Return the 95 % interval of an accuracy averaged over seeds: Wilson's (1927) for the effective sample size.

    The effective sample size is p(1-p)/variance. Variants of one picture make the interval wider (Korn & Graubard
    1998). The interval is never narrower than for independent pictures, whatever the differences between classes. With
    one seed the interval covers the choice of pictures alone. If no variance can be estimated, because all pictures are
    right equally often, the sample size is the number of draws.
    """
    averaged = part.values.mean(axis=0)
    p, draws = float(averaged.mean()), part.sampling.size
    units = Variance(float(averaged.var()) / len(averaged), 1e9)  # the variance for independent pictures
    if draws < len(averaged):
        clustered = replace(part.sampling, classes=None).these(averaged)
        if not math.isfinite(clustered.value):
            return Interval(0.0, 1.0)
        units = Variance(max(clustered.value, units.value), clustered.degrees)
    seeds = over_seeds(part.values.mean(axis=1), joint_variance(part, averaged, like_these=False))
    total = units.value + seeds.value
    if total < 1e-18 or p in (0.0, 1.0):
        return wilson(p, draws, t_quantile(units.degrees, 1 - ALPHA))
    return wilson(p, p * (1 - p) / total, half_width([units, seeds], ALPHA) / math.sqrt(total))


def class_mean_interval(contributions: ArrayLike, sampling: Sampling) -> MeanOverClasses:
    """Return the mean over classes that weigh the same, with Wilson's 95 % interval for the effective sample size.

    If the pictures of no class differ, the variance is 0. The sample size is then C² / Σ(1/n_c), for C classes with n_c
    draws each.

    Args:
        contributions: the contribution of each of n units, (n,), from 0 to 1.
        sampling: how the units were drawn; each unit has one class.

    >>> found = class_mean_interval([True] * 6 + [False] * 2, Sampling.of(8, classes=list("aaaaaabb")))
    >>> found.mean
    0.5
    """
    values = values_of(contributions)
    means = sampling.class_means(values)
    p, variance = float(means.mean()), sampling.over_classes(values)
    if not math.isfinite(variance.value):
        return MeanOverClasses(p, 0.0, 1.0)
    if variance.value < 1e-18 or p in (0.0, 1.0):
        variance = sampling.over_classes(values, added=2.0)
        n = max(1.0, len(means) ** 2 / float((1 / sampling.draws_of_classes).sum()))
    else:
        n = p * (1 - p) / variance.value
    return MeanOverClasses(p, *wilson(p, n, t_quantile(variance.degrees, 1 - ALPHA)))


def difference_over_classes(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Effect:
    """Return the effect of a comparison of two templates: the difference of their means over classes, after - before.

    All classes weigh the same, and the test is a t test. The variance gets two additional draws of the typical size,
    as in `split_variance`. Without them, a difference would look certain if the templates agree on all pictures.

    Args:
        before, after: the contribution of each unit under the first and the second template, (n,).
        sampling: how the units were drawn.

    Raises:
        ValueError: the units have no classes.
    """
    values = values_of(after) - values_of(before)
    differ = values[values != 0]
    square = float((differ**2).mean()) if len(differ) else 1.0
    variance = sampling.over_classes(values, 2 * square)
    # The change of the mean if one draw of a class of the median size changes.
    step = math.sqrt(square) / len(sampling.draws_of_classes) / float(np.median(sampling.draws_of_classes))
    return effect_of(float(sampling.class_means(values).mean()), [variance], EACH_CLASS_ALIKE, step=step)
