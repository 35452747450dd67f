"""The sentences that report a finished run, as one ordered list: each sentence with the places where it is shown.

The terminal, the page and a notebook take their sentences from this list. Each capability with something to report has
one function here, and `told` calls these functions in order. Sentences are not stored: each is made from the numbers of
the result when it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import yaml

from ipo_prompts.experiments.run.advice import (
    advice,
    commands_to_use,
    weak,
)
from ipo_prompts.experiments.run.comparison import seen_before, verdict
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.scores import (
    Baselines,
    Comparison,
    HeadFound,
    NamesFound,
    OverClasses,
)
from ipo_prompts.metrics.classification import FAR
from ipo_prompts.metrics.errors import money, several
from ipo_prompts.metrics.verdict import between, points, share
from ipo_prompts.programs.strategies.compose import kept_whole
from ipo_prompts.programs.templates.domain_words import SOURCES, domain_in_words, words_said

REPORT = "report.html"
Place = Literal["terminal", "quiet", "notebook", "headline", "verdict", "warning", "rows", "sure", "compared"]
"""The place where a sentence is shown.

`terminal` is the terminal at the end of a run, `quiet` is the terminal with `--quiet`, and `notebook` is a notebook.

The other places are on the page. A `headline` stands in place of the template, and a `verdict` stands below it. A
`warning` is shown as a warning, and `rows` are rows with a label. Further down on the page, `sure` says how sure the
numbers are, and `compared` says what the template is compared with.
"""


@dataclass(frozen=True)
class Line:
    """One line of the report on a run.

    Attributes:
        at: the places where the line is shown.
        text: a sentence or a number; empty if there is only a command.
        label: what the line is about, such as `test`; empty for a sentence that needs none.
        command: the command to type, in parts; a long line may be broken between parts. Empty if there is no command.
    """

    at: tuple[Place, ...]
    text: str
    label: str = ""
    command: tuple[str, ...] = ()


def told_at(place: Place, result: RunResult, config: RunConfig | None, folder: Path) -> list[Line]:
    """Return the lines that are shown in one place; see `told`."""
    return [line for line in told(result, config, folder) if place in line.at]


def told(result: RunResult, config: RunConfig | None, folder: Path) -> Iterator[Line]:
    """Yield all lines of a finished run, in order: the verdict, the numbers, one piece of advice, the next commands.

    Args:
        result: the result of the run.
        config: the configuration of the run; None if only a result is at hand: then no run is repeated.
        folder: the run directory, as it stands in commands.
    """
    yield from _verdict(result)
    yield from _sure(result)
    for capability in (_baselines, _names, _head):
        yield from capability(result)
    text, command = advice(result, config, folder)
    yield Line(("terminal", "rows"), text, "advice", command)
    yield from _domain(result)
    if result.stopped:
        yield Line(("warning", "notebook"), f"The search was stopped early: {result.stopped}.")
    if result.strategy.name == "compose" and (whole := kept_whole(result.initial_template)):
        yield Line(("compared", "notebook"), whole)
    yield Line(("terminal",), _cost(result, config), "cost")
    yield Line(("terminal",), f"{folder}   (open {REPORT} in it)", "run directory")
    for label, parts in commands_to_use(result, folder).items():
        yield Line(("terminal", "rows"), "", label, parts)


def _verdict(result: RunResult) -> Iterator[Line]:
    """Yield the verdict, and the values of both templates.

    In the terminal, the verdict includes the interval and p. On the page it does not: separate cards show them there. A
    quiet run and a notebook show the whole stored verdict.
    """
    test, new = result.scores["test"], result.scores.get("new")
    untried = result.ended if result.templates_scored == 1 else None
    runs = result.sealed.renamed_in
    short = partial(verdict, test, result.reward.unit, 1, new=new, untried=untried, limit=False, renamed_in=runs)
    answers = weak(result) == "near guessing" or test.difference.outcome == "gain"
    yield Line(("terminal",), short())
    yield Line(("verdict" if answers else "headline",), short(numbers=False))
    yield Line(("quiet", "notebook"), result.verdict)
    yield Line(("terminal", "notebook"), f"{_before_and_after(result, test)} (95 % intervals)", "test")
    if new:
        yield Line(("terminal", "notebook"), _before_and_after(result, new), "new classes")
    if general := test.like_these:
        yield Line(("quiet",), f"For {general.covers}{' (the base ones)' if new else ''}: {general.numbers}.")


def _before_and_after(result: RunResult, score: Comparison) -> str:
    measure, n = result.reward.measure, f"n = {score.optimised.n:,}"
    after = "" if score.difference.outcome == "same templates" else f" → {share(score.optimised)}"
    return f"{measure} {share(score.initial)}{after}, {n}"


def _sure(result: RunResult) -> Iterator[Line]:
    """Yield further sentences about how sure the numbers are, beside their intervals."""
    test, data, unit = result.scores["test"], result.data, result.reward.unit
    if test.difference.outcome == "not shown":
        yield Line(("sure",), _sentence(test.difference.limit))
    for part, found in result.over_classes.items():
        yield Line(("sure",), f"{'New classes: ' if part == 'new' else ''}{over_classes_in_words(found)}")
    if data.untested:
        they, their = ("It", "its") if len(data.untested) == 1 else ("They", "their")
        names = several([repr(name) for name in data.untested])
        unknown = f"{they} competed with the others; how well {their} pictures are named is not known."
        yield Line(("sure",), f"Untested, with no picture in the test: {names}. {unknown}")
    if before := seen_before(test, unit, result.sealed.opened, result.sealed.elsewhere):
        yield Line(("sure",), before)
    if data.short:
        yield Line(("sure",), _sentence(data.short))


def over_classes_in_words(found: OverClasses) -> str:
    """Say the mean over classes of the chosen template, and how much it differs from that of the initial template."""
    low, high = found.optimised_ci95
    value = f"{100 * found.optimised:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    over = f"a difference of {points(found.difference)} points {between(found)}"
    is_one = "are" if found.single > 1 else "is"
    of_one = f" ({found.single} of them with one picture, which {is_one} taken to vary as the others do)"
    every = f"If each of the {found.classes} tested classes counts the same{of_one if found.single else ''}"
    return f"{every}, the template has {value}, {over}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _baselines(result: RunResult) -> Iterator[Line]:
    """Yield the baselines, the warnings that follow from them, and a sentence about measurements that are left out."""
    if known := result.baselines:
        test = result.scores["test"]
        best = max(test.initial.value, test.optimised.value)
        if known.class_mean:
            labelled = f"no words: {known.labelled:.3g} labelled pictures a class"
            yield Line(("terminal",), f"{share(known.class_mean)}, {labelled}", "nearest class mean")
        if warning := warning_of(known, best):
            yield Line(("headline" if known.weak == "near guessing" else "warning", "quiet"), warning)
        yield Line(("compared",), baselines_in_words(known, best))


def warning_of(found: Baselines, best: float) -> str:
    """Say why no template can be a good answer; return an empty text if a template can be one.

    `best` is the larger of the accuracies of the initial and the chosen template.
    """
    says = f"templates are right on {100 * best:.1f} % at best"
    if found.weak == "near guessing":
        return f"This CLIP is near guessing on these pictures: {says}, guessing on {100 * found.guessing:.1f} %."
    if found.weak and found.class_mean:
        mean = f"the nearest class mean on {100 * found.class_mean.value:.1f} %"
        return f"This CLIP sees far more here than words tell it: {says}, {mean}."
    return ""


def baselines_in_words(found: Baselines, best: float) -> str:
    """Say the accuracies of the baselines on the test pictures, and what may help; for `best` see `warning_of`."""
    known = [f"guessing, always the most frequent class, {100 * found.guessing:.1f} %"]
    if found.class_mean:
        known.append(f"the nearest class mean of {found.labelled:.3g} pictures a class {share(found.class_mean)}")
    if found.ensemble:
        known.append(f"CLIP's 80 templates together {share(found.ensemble)}")
    words = f"Known without a search, on the same test pictures: {', '.join(known)}."
    if found.class_mean and found.class_mean.value - best >= FAR:
        words += (
            " Class names that this CLIP knows better, or another CLIP, are likely to help more than words around them."
        )
    elif found.weak:
        words += " Another CLIP is likely to help more than words."
    return words


def _domain(result: RunResult) -> Iterator[Line]:
    """Yield which domain word the template says; if it says none, the best template with one."""
    words, best = result.strategy.domain, result.strategy.best_of_domain
    if not words or best is None:
        return
    places: tuple[Place, ...] = ("rows", "notebook")
    if taken := words_said(result.template, words):
        told = several([f"{word.text!r}, from {SOURCES[word.source]}" for word in taken])
        yield Line(places, f"the template says {told}", "domain words")
        return
    told = f"{domain_in_words(words)}; none is in the template, and the best template with one is {best}"
    yield Line(places, told, "domain words")


def _names(result: RunResult) -> Iterator[Line]:
    if found := result.names:
        short = "all classes keep theirs"
        if added := found.sealed:
            short = f"{len(found.renamed)} have another name: {points(added.difference)} points {between(added)}"
        yield Line(("terminal", "rows"), short, "names")
        yield Line(("compared",), names_in_words(found))


def names_in_words(found: NamesFound) -> str:
    """Say how many other class names were tried, and how much the new names add."""
    if not found.candidates:
        return f"No other names of the classes are known. {_to_type(found.alone)}"
    tried = f"{found.candidates:,} other names of the {found.classes} classes were tried in the template"
    held = f"{_gained(found.gain, found.standard_error)} on pictures left out of the choice"
    more = ""
    if found.alone:
        more = f" None is known for {several([repr(name) for name in found.alone])}. {_to_type(found.alone)}"
    if found.sealed is None:
        return f"{tried}, and all classes keep their names: not shown to help, {held}.{more}"
    table = found.sealed
    have = f"{len(found.renamed)} classes have" if len(found.renamed) > 1 else "one class has"
    return (
        f"{tried}, and {have} another name. The new names gained {held}; names of other classes gained "
        f"{points(found.permuted)}. On the sealed test pictures the template has {share(table.template_found)} with "
        f"these names and {share(table.template_given)} with the given names, a difference of "
        f"{points(table.difference)} points {between(table)}, n = {table.template_found.n:,}; the "
        f"initial template has {share(table.initial_found)} and {share(table.initial_given)}. The verdict is about the "
        f"template alone, with the names found.{more}"
    )


def _to_type(names: tuple[str, ...]) -> str:
    """Say where to write names to try; the example is the line for the first of the classes `names`."""
    line = yaml.safe_dump({names[0]: "…"}, allow_unicode=True, width=1000).strip().removesuffix("…")
    return f"Write names to try into a file, as in `{line}[NAME, NAME]`, and give it as name_candidates=FILE."


def _gained(gain: float, error: float | None) -> str:
    return f"{points(gain)} points{'' if error is None else f' (standard error {100 * error:.1f})'}"


def _head(result: RunResult) -> Iterator[Line]:
    if head := result.head:
        over = f"{points(head.over_words.difference)} points {between(head.over_words)} over words"
        yield Line(("terminal", "rows"), f"{share(head.both)}, {over}", "with pictures")
        yield Line(("compared",), head_in_words(head))


MEANS = {"class mean": "the unit mean of each class", "discriminant": "a discriminant with one covariance for all"}
NAMED = 5
"""The most classes without pictures that are named."""


def head_in_words(found: HeadFound) -> str:
    """Say how words and pictures decide together, how their weight was chosen, and how much pictures add to words."""
    how = (
        f"a weight chosen with {found.left_out:,} pictures that were left out in turn"
        if found.left_out
        else "a = 1, because no pictures can be left out to choose the weight"
    )
    text = (
        f"Words and {found.weight:g} times pictures ({MEANS[found.way]}, {found.labelled:.3g} labelled pictures a "
        f"class) decide together, {how}. On the sealed test pictures both name {share(found.both)}: "
        f"{points(found.over_words.difference)} {between(found.over_words)} points over words"
    )
    if found.without:
        more = f" and {len(found.without) - NAMED} more" if len(found.without) > NAMED else ""
        text += f". Words alone decide for classes without labelled pictures: {', '.join(found.without[:NAMED])}{more}"
    return f"{text}. The verdict is about the template alone."


def _cost(result: RunResult, config: RunConfig | None) -> str:
    """Say how many templates were scored, how long the run took, and how often which language model was asked."""
    from ipo_prompts.programs.lm.connect import REPLAY  # imports DSPy, which tables do not need

    scored = result.templates_scored + result.scored_only
    tried = f"{scored:,} template{'s' * (scored != 1)} in {result.seconds['total']:.0f} s"
    used = result.lm.optimizer
    asked = "no language model"
    if used:
        calls = "recorded calls" if config and config.lm.startswith(REPLAY) else "calls"
        asked = f"{used.name}: {used.calls} {calls}, {used.tokens_in + used.tokens_out:,} tokens, {money(used.usd)}"
    return f"{tried}; {asked}"
