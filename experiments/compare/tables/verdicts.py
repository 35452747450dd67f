"""What a table shows, in sentences: ours against each baseline and control, for better or worse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipo_prompts.experiments.compare.methods import METHODS, SUBJECT
from ipo_prompts.experiments.compare.tables.runs import Grid
from ipo_prompts.experiments.compare.tables.table import MethodGain, Scope


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
        others = dict.fromkeys([reference, *opponents(), *(grid.methods if len(grid.data) > 1 else ())])
        pairs = [(SUBJECT, other) for other in others if other in grid.methods and other != SUBJECT]
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
    verdict = gain.verdict
    verb = "ended with" if verdict.outcome == "same templates" else "shows"
    words = f"{_name(gain.method)} {verb} {verdict.against(_name(gain.other))}"
    if gain.like_these is not None:
        general = {"gain": "a gain", "loss": "a loss"}.get(gain.like_these.outcome, "no evidence of a gain")
        words = f"{words}. For {gain.like_these.covers}: {general}, {gain.like_these.numbers}"
    return words + (". One seed: the luck of the search is not covered." if gain.seeds == 1 else ".")


def _name(row: str) -> str:
    return METHODS[row].label if row in METHODS else f"“{row}”"


def _control(gain: MethodGain) -> str:
    subject, control, shows = _name(gain.method), _name(gain.other), METHODS[gain.other].shows
    if gain.verdict.outcome != "gain":
        return f"{subject} is not shown to beat its control, {control}: no evidence that {shows}."
    beats = f"{subject} beats its control, {control}"
    if gain.seeds == 1:
        return f"{beats}, with one seed, which may be the luck of either search."
    if gain.like_these is not None and gain.like_these.outcome != "gain":
        return f"{beats}, for {gain.verdict.covers}, not as a claim about {gain.like_these.covers}."
    return f"{beats}: {shows}."
