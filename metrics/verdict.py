"""What a comparison shows: one verdict, made from the corrected p, that terminal, page, JSON and tables all render."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from ipo_prompts.metrics.evidence import ALPHA, EACH_CLASS_ALIKE, SAME, Effect, holm

Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), 6) + 0.0)]
"""Six decimals: far below any interval, far above what differs between processors; never -0."""
Ends = tuple[Rounded, Rounded]
"""The two ends of a 95 % interval."""
FOR_THE_FIRST = 0.85
"""The share of ALPHA that is for the first opening of sealed units, which is mostly the only one."""
Outcome = Literal["gain", "loss", "not shown", "same templates", "no test"]
Name = TypeVar("Name", bound=Hashable)


class Verdict(BaseModel):
    """A difference of two templates or methods, and whether it is shown. Fractions; see `docs/statistics.md`.

    Attributes:
        outcome: `gain` or `loss` where the corrected p is at most 0.05; `not shown` is not `no difference`; `no test`
            where the units shaped what is compared.
        mean: the difference.
        ci95: its 95 % interval, not corrected for the number of comparisons.
        p: two-sided, not corrected; None where there is no test.
        p_corrected: Holm's, among `comparisons`, divided by what this opening may spend of the 5 %.
        comparisons: how many were made together; `family` says which.
        opening: the how many-th look at these sealed units this is; None where looks are not counted.
        detectable: the true difference that would be shown four times in five, after the same correction; None where
            no difference could be.
        within: the margin within which the difference is shown to lie either way, after the same correction.
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
        """The difference with its interval and p: "+4.20 points [+1.00, +7.40], p = 0.012"."""
        low, high = self.ci95
        size = f"{points(self.mean)} points [{points(low)}, {points(high)}]"
        size += " over classes that count the same" if self.covers == EACH_CLASS_ALIKE else ""
        if self.p_corrected is None:
            return size
        return f"{size}, {format_p(self.p_corrected)}{self._corrected}"

    @property
    def _corrected(self) -> str:
        """Say what p is corrected for; of what is kept for later openings only where the interval says otherwise."""
        found = [f"{self.comparisons} comparisons"] if self.comparisons > 1 else []
        if self.opening and self.opening > 1:
            found.append(f"{self.opening} openings")
        elif self.opening and (self.p or 0) <= ALPHA < (self.p_corrected or 0):
            found.append("openings to come")
        return f" after correction for {' and '.join(found)}" if found else ""

    def against(self, other: str) -> str:
        """Format it: "a gain over the anchor of +4.20 points …", after "A shows"."""
        if self.outcome == "same templates":
            return f"the same templates as {other}, so no gain over it"
        if self.outcome == "gain":
            return f"a gain over {other} of {self.numbers}"
        if self.outcome == "loss":
            return f"a loss against {other} of {self.numbers}"
        return f"no evidence of a gain over {other}: {self.numbers}; {self.limit}"

    @property
    def limit(self) -> str:
        """Say how large a difference would have been shown, and how small this one is shown to be."""
        if self.detectable is None:
            return "no difference could have been shown with so few units, seeds or data sets"
        shown = f"a true difference of {100 * self.detectable:.1f} points would be shown four times in five"
        return f"{shown}, and this one is shown to be within ±{100 * self.within:.1f}"


def spends(opening: int | None) -> float:
    """Return the share of ALPHA that the k-th opening of sealed units may spend: together all of it, however many.

    So whoever opens the same units again and again and stops at the first claim makes a false one in 5 % at most.

    >>> [round(spends(opening), 4) for opening in (None, 1, 2, 3, 20)]
    [1.0, 0.85, 0.075, 0.025, 0.0004]
    """
    if opening is None:
        return 1.0
    return FOR_THE_FIRST if opening == 1 else (1 - FOR_THE_FIRST) / (opening * (opening - 1))


def judge(effects: Mapping[Name, Effect], family: str, opening: int | None = None) -> dict[Name, Verdict]:
    """Make the verdicts of comparisons that are corrected together; those of equal templates test nothing.

    Args:
        effects: by any name.
        family: what they are, in words: "comparisons of IPO in this row".
        opening: the how many-th look at sealed units this is; None for comparisons that nobody repeats until one shows.
    """
    tested = [name for name, effect in effects.items() if effect is not SAME]
    corrected = dict(zip(tested, holm([effects[name].p for name in tested]), strict=True))
    return {
        name: _verdict(effect, corrected.get(name, 1.0), max(1, len(tested)), family, opening)
        for name, effect in effects.items()
    }


def no_test(effect: Effect, why: str) -> Verdict:
    """Report a difference on units that shaped what is compared, which no p can speak of."""
    return _verdict(effect, None, 1, why)


def _verdict(
    effect: Effect, corrected: float | None, comparisons: int, family: str, opening: int | None = None
) -> Verdict:
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


class Estimated(Protocol):
    """A fraction with its 95 % interval."""

    @property
    def value(self) -> float:
        """The fraction."""
        ...

    @property
    def ci95(self) -> tuple[float, float]:
        """Its interval."""
        ...


def share(found: Estimated) -> str:
    """Write it in percent: "50.0 % [40.0, 60.0]"."""
    low, high = found.ci95
    return f"{100 * found.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float) -> str:
    """Format a difference in percentage points, with its sign; never -0.00.

    >>> points(-0.0123)
    '-1.23'
    """
    return f"{round(100 * value, 2) + 0.0:+.2f}"


def format_p(p: float) -> str:
    """Format a p-value: "p = 0.013", "p < 0.0001"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
