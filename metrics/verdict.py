"""Verdicts of comparisons.

A comparison has one verdict, which is made from the corrected p-value. The terminal, the page, JSON and the tables all
show this verdict.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from ipo_prompts.metrics.evidence import ALPHA, EACH_CLASS_ALIKE, SAME, Effect, holm

Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), 6) + 0.0)]
"""A number rounded to six decimals, never -0. Differences between processors are smaller, and intervals are wider."""
Ends = tuple[Rounded, Rounded]
"""The two ends of a 95 % interval."""
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
        p_corrected: the p-value after Holm's correction for `comparisons`; None if there is no test.
        comparisons: the number of comparisons that are corrected together.
        family: the comparisons that are corrected together, in words; the reason if there is no test.
        covers: what was sampled: images of `these classes`, and so on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    mean: Rounded
    ci95: Ends
    p: Rounded | None
    p_corrected: Rounded | None
    comparisons: int
    family: str
    covers: str

    @property
    def over_classes(self) -> bool:
        """Whether each class counts the same in the difference, whatever its size."""
        return self.covers == EACH_CLASS_ALIKE

    @property
    def numbers(self) -> str:
        """The difference with its interval and its p-value: "+4.20 points [+1.00, +7.40], p = 0.012".

        An interval that excludes zero seems to contradict a corrected p-value above 5 %; then the text says why.
        """
        low, high = self.ci95
        size = f"{points(self.mean)} points [{points(low)}, {points(high)}]"
        size += " over classes that count the same" if self.over_classes else ""
        if self.p_corrected is None:
            return size
        corrected = f" after correction for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        beside = ""
        if self.p_corrected > ALPHA and not low <= 0 <= high:
            beside = " (the interval is not corrected)"
        return f"{size}, {format_p(self.p_corrected)}{corrected}{beside}"

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
        return f"no evidence of a gain over {other}: {self.numbers}"


def judge(effects: Mapping[Name, Effect], family: str) -> dict[Name, Verdict]:
    """Return the verdict of each comparison. The p-values of all comparisons are corrected together.

    A comparison of a template with itself is not counted.

    Args:
        effects: the name of each comparison → its effect.
        family: the comparisons in words, such as "comparisons of IPO in this row".
    """
    tested = [name for name, effect in effects.items() if effect is not SAME]
    corrected = dict(zip(tested, holm([effects[name].p for name in tested]), strict=True))
    return {
        name: _verdict(effect, corrected.get(name, 1.0), max(1, len(tested)), family)
        for name, effect in effects.items()
    }


def no_test(effect: Effect, why: str) -> Verdict:
    """Return a verdict without a p-value, because what is compared was made, or may have been made, with these units.

    `why` is the reason in words, which becomes the verdict's `family`.
    """
    return _verdict(effect, None, 1, why)


def _verdict(effect: Effect, corrected: float | None, comparisons: int, family: str) -> Verdict:
    """Return a verdict. `corrected` is the p-value after Holm's correction; None if there is no test."""
    outcome: Outcome = "not shown"
    if effect is SAME:
        outcome = "same templates"
    elif corrected is None:
        outcome = "no test"
    elif corrected <= ALPHA and effect.mean:
        outcome = "gain" if effect.mean > 0 else "loss"
    return Verdict(
        outcome=outcome,
        mean=effect.mean,
        ci95=(effect.low, effect.high),
        p=None if corrected is None else effect.p,
        p_corrected=corrected,
        comparisons=comparisons,
        family=family,
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


def points(value: float, decimals: int = 2) -> str:
    """Format a difference, given as a fraction, in percentage points. It has a sign, and is never -0.00.

    >>> points(-0.0123), points(-0.0001, 1)
    ('-1.23', '+0.0')
    """
    return f"{round(100 * value, decimals) + 0.0:+.{decimals}f}"


def format_p(p: float) -> str:
    """Format a p-value: "p = 0.013", "p < 0.0001"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
