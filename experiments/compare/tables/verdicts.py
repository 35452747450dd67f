"""What a table shows, in sentences: ours against each baseline and control, for better or worse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipo.experiments.compare.methods import METHODS, SUBJECT
from ipo.experiments.compare.tables.runs import Grid
from ipo.experiments.compare.tables.table import MethodGain, Scope
from ipo.metrics.evidence import ALPHA, SAME, format_p, points, verdict


def opponents() -> list[str]:
    """Return the methods that IPO is held against, in the order of a table."""
    return [name for name, method in METHODS.items() if method.is_opponent and name != SUBJECT]


def verdicts(
    grid: Grid, scopes: Sequence[Scope], headline: str, gains: Iterable[MethodGain], reference: str
) -> list[str]:
    """Format IPO's comparisons, on the averages where there are any, else on each data set.

    A table without IPO (an ablation, whose rows are variants) has each row's comparison with the reference.
    """
    found = {(gain.scope, gain.method, gain.other): gain for gain in gains if gain.column == headline}
    if SUBJECT in grid.methods and reference != SUBJECT:
        pairs = [(SUBJECT, other) for other in dict.fromkeys([reference, *opponents()]) if other in grid.methods]
    else:
        pairs = [(method, reference) for method in grid.methods if method != reference]
    averages = [scope for scope in scopes if scope.is_average]
    sentences = []
    for scope in averages or scopes:
        number = f" of {len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}" if scope.is_average else ""
        start = f"{scope.name}{number}, {headline}: "
        for method, other in pairs:
            gain = found.get((scope.name, method, other))
            if gain is None:
                sentences.append(f"{start}{_name(method)} and {_name(other)} are not compared; one of them is absent.")
            else:
                sentences.append(start + _sentence(gain))
        controls = [found.get((scope.name, SUBJECT, name)) for name, method in METHODS.items() if method.is_control]
        sentences += [start + _control(gain) for gain in controls if gain is not None]
    return sentences


def _sentence(gain: MethodGain) -> str:
    here, corrected = gain.here
    words = verdict(_name(gain.other), here, corrected, gain.comparisons)
    verb = "is" if words.startswith("worse") else "ended with" if words.startswith("the same") else "shows"
    words = f"{_name(gain.method)} {verb} {words}"
    if gain.these is not None and gain.effect.test != SAME.test:
        general = "a gain" if gain.effect.mean > 0 else "worse"
        if gain.corrected > ALPHA:
            general = "no evidence of a gain"
        interval = f"[{points(gain.effect.low)}, {points(gain.effect.high)}], {format_p(gain.corrected)}"
        words = f"{words}. For data sets like these: {general}, {interval}"
    return words + (". One seed: the luck of the search is not covered." if gain.seeds == 1 else ".")


def _name(row: str) -> str:
    return METHODS[row].label if row in METHODS else f"“{row}”"


def _control(gain: MethodGain) -> str:
    subject, control, shows = _name(gain.method), _name(gain.other), METHODS[gain.other].shows
    general, here = (p <= ALPHA and effect.mean > 0 for effect, p in ((gain.effect, gain.corrected), gain.here))
    if not (general or here):
        return f"{subject} does not beat its control, {control}: no evidence that {shows}."
    beats = f"{subject} beats its control, {control}"
    if gain.seeds == 1:
        return f"{beats}, with one seed, which may be the luck of either search."
    return (
        f"{beats}: {shows}." if general else f"{beats}, on these data sets, not as a claim about data sets like these."
    )
