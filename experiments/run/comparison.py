"""Two templates on the same units: their scores, their difference, what it shows; and what stands beside the gain.

Beside it are baselines (guessing, the nearest class mean, CLIP's 80 templates together). They say when no template can
be the answer: where the CLIP is near guessing, or where the mean picture of a class tells far more than its name in any
sentence.

The gain that a run reports is the words' alone: both templates are measured with the offsets of the run, or both
without. Several templates together are words, so that the gain is theirs where they are taken. What offsets and the
others add is said either way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.data.near_copies import MOST, near_copies
from ipo_prompts.experiments.data.near_copies import in_words as copies_in_words
from ipo_prompts.experiments.run.plan import Prepared
from ipo_prompts.experiments.run.result import (
    Added,
    AnyPart,
    Baselines,
    Comparison,
    EnsembleFound,
    Measured,
    OffsetsFound,
    OverClasses,
    SealedPart,
    WithAndWithout,
)
from ipo_prompts.metrics.accuracy import class_mean_interval, difference_over_classes, score_interval
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import (
    ClipReward,
    EncodedPictures,
    class_means,
    fitted_on,
    logits_of,
    scores_accuracy,
)
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import SAME, Scopes, paired_difference
from ipo_prompts.metrics.headroom import SLIGHT, guessed
from ipo_prompts.metrics.offsets import Kind, class_weights
from ipo_prompts.metrics.reward import Reward, Score, by_embeddings, class_embeddings
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.several import SeveralLabels, compare_precision
from ipo_prompts.metrics.template import imagenet_templates
from ipo_prompts.metrics.verdict import judge, no_test, points, share
from ipo_prompts.programs.ensemble import Ensembled, scored_as_one
from ipo_prompts.programs.offsets import Settled

FLATTERED = "these units shaped the template or chose it"
SEALED = "on sealed units in this run"
FAR = 0.2
"""A class mean that is better by this is far better than the best template."""
MOST_TEXTS = 8000
"""Templates times classes of the ensemble, which is left out where there are more: a minute with a ViT-B/16."""
WHAT = "(no labels, no words)"
LABELLED = "(no words, but labels)"
WEIGHED = "(no words, and of the labels only that classes weigh the same)"
SEALED_PARTS: tuple[SealedPart, ...] = ("test", "new")


@dataclass(frozen=True)
class Compared:
    """The initial and the chosen template on one part of the data, n units.

    Attributes:
        items: the n labelled pictures; empty where units are not single pictures.
        units: what the reward made of them.
        labels: int64 (n,), the true label of each unit; None where it has none.
        reward: what scored them, with the classes that competed.
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
) -> dict[str, Comparison]:
    """Compare two templates on several sets of units.

    Args:
        pairs: by the name of the set.
        sealed: the sets that neither searched nor chose; their comparisons are corrected together, the others are none.
        family: what these are called.
        opening: the how many-th look at the sealed sets this is; None where looks are not counted.
        balanced: whether classes count the same, whatever their sizes; units have one class each then.
    """
    scopes = {name: _scopes(*pair, balanced) for name, pair in pairs.items()}
    tested = {name: scopes[name] for name in pairs if name in sealed}
    here = judge({name: scope.these for name, scope in tested.items()}, family, opening)
    wider = {name: scope.like_these for name, scope in tested.items() if scope.like_these}
    general = judge(wider, family, opening)
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


def verdict(
    test: Comparison,
    unit: str,
    opened: int,
    *,
    elsewhere: int = 0,
    new: Comparison | None = None,
    untried: str | None = None,
    numbers: bool = True,
) -> str:
    """Say in words what the sealed test shows; `result.json` keeps it, and everything that speaks of it prints that.

    Args:
        test: the two templates on the sealed units.
        unit: what they are called, in the plural.
        opened: the how many-th opening of them, or of some of them, this is.
        elsewhere: how many of the others `opened=N` says were made elsewhere.
        new: the same on classes that the search never saw; `test` is of base classes then.
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
    seen = seen_before(test, unit, opened, elsewhere)
    return f"{words} {seen}" if seen else words


def seen_before(test: Comparison, unit: str, opened: int, elsewhere: int = 0) -> str | None:
    """Say that the sealed units were opened before, with the arguments of `verdict`; None where no p depends on it."""
    if opened == 1 or test.difference.outcome == "same templates":
        return None
    where = f", {elsewhere} of them elsewhere" if elsewhere else ""
    return (
        f"The test is no first look: it is opening {opened} of these sealed {unit} or some of them{where}. What the "
        "others showed may be why this one was made, so p is corrected for that."
    )


def baselines(prepared: Prepared, parts: Mapping[AnyPart, Compared]) -> Baselines | None:
    """Measure them on the test pictures as they are, without offsets; None where no labelled pictures are classified
    by class embeddings.
    """
    test = parts["test"]
    reward = by_embeddings(test.reward)
    if not isinstance(test.units, EncodedPictures) or test.units.labels is None or not isinstance(reward, ClipReward):
        return None
    pictures = replace(test.units, offsets=None)

    def scored(name: str, classes: Floats) -> Measured:
        return measured(reward.score_embeddings([name], [classes], pictures)[0], test.sampling)

    shown = prepared.shown
    means = means_of_classes([units for units in shown if isinstance(units, EncodedPictures)], len(test.class_names))
    class_mean = None if means is None else scored("class mean", means)
    ensemble = None
    if len(weighted := [(template, 1.0) for template in imagenet_templates()]) * len(test.class_names) <= MOST_TEXTS:
        ensemble = scored("ensemble", class_embeddings(prepared.clip, weighted, test.class_names))
    guessing = guessed(reward, pictures)
    labelled = sum(len(units.labels) for units in shown if units.labels is not None) / len(test.class_names)
    best = max(test.initial.value, test.optimised.value)
    weak = how_weak(best, guessing, class_mean.value if class_mean else None) if scores_accuracy(reward) else None
    found = Baselines(
        guessing=guessing,
        class_mean=class_mean,
        labelled=labelled,
        ensemble=ensemble,
        weak=weak,
        words="",
        warning="",
    )
    return in_words(found, best)


def over_classes(parts: Mapping[AnyPart, Compared], balanced: bool = False) -> dict[SealedPart, OverClasses]:
    """Average both templates over the classes of each sealed part: of its classes differing in size by more than twice
    the accuracies, of pictures with several labels the average precisions. With `balanced` those of any sizes.
    """
    found: dict[SealedPart, OverClasses] = {}
    for name in SEALED_PARTS:
        if (part := parts.get(name)) and isinstance(part.reward, SeveralLabels):
            found[name] = _mean_precision(part, part.reward)
        elif (part := parts.get(name)) and (classes := part.sampling.classes) is not None:
            sizes = np.bincount(classes)
            if balanced or sizes.max() > 2 * sizes.min():
                found[name] = _over_classes(part, len(sizes))
    return found


def _mean_precision(part: Compared, reward: SeveralLabels) -> OverClasses:
    """Compare the mAP of both templates; one with several members is not looked for with this reward."""

    def logits(score: Score) -> Floats:
        return logits_of(reward.clip, part.units.features, reward.texts.encode([score.template], reward.class_names)[0])

    found = compare_precision(logits(part.initial), logits(part.optimised), part.units.shown, part.sampling)
    (low, high), (first, last) = found.after_ci95, found.ci95
    return OverClasses(
        classes=found.classes,
        single=int((part.units.shown.sum(axis=0) == 1).sum()),
        initial=found.before,
        initial_ci95=found.before_ci95,
        optimised=found.after,
        optimised_ci95=found.after_ci95,
        difference=found.difference,
        ci95=found.ci95,
        words=(
            f"mAP, the mean over {found.classes} classes of the average precision with which each finds its pictures: "
            f"{100 * found.after:.1f} % [{100 * low:.1f}, {100 * high:.1f}], a difference of "
            f"{points(found.difference)} points [{points(first)}, {points(last)}] (bootstrap over pictures)."
        ),
    )


def _over_classes(part: Compared, classes: int) -> OverClasses:
    initial, optimised = (class_mean_interval(score.hits, part.sampling) for score in (part.initial, part.optimised))
    gained = difference_over_classes(part.initial.hits, part.optimised.hits, part.sampling)
    single = part.sampling.singles
    of_one = (
        f", {single} of them with one picture, which {'are' if single > 1 else 'is'} taken to vary as the others do"
    )
    found = OverClasses(
        classes=classes,
        single=single,
        initial=initial.mean,
        initial_ci95=(initial.low, initial.high),
        optimised=optimised.mean,
        optimised_ci95=(optimised.low, optimised.high),
        difference=gained.mean,
        ci95=(gained.low, gained.high),
        words="",
    )
    (low, high), (first, last) = found.optimised_ci95, found.ci95
    words = (
        f"Each of the {classes} tested classes counting the same{of_one if single else ''}, the "
        f"template has {100 * found.optimised:.1f} % [{100 * low:.1f}, {100 * high:.1f}], a difference of "
        f"{points(found.difference)} points [{points(first)}, {points(last)}]."
    )
    return found.model_copy(update={"words": words})


WIDER = 1.05
"""So many times wider must an interval be with near copies as one draw, for people to be told."""


def near_copies_in_words(test: Compared, balanced: bool = False) -> str:
    """Say how many test pictures look like near copies, and the interval of the difference with these as one draw each.

    Empty where that makes the interval hardly wider, as a pair among hundreds that only looks so; where there is no
    difference, or no one class a picture; and where there are many pictures.
    """
    units = test.units
    if not isinstance(units, EncodedPictures) or units.labels is None or not 0 < len(test.items) <= MOST:
        return ""
    if len(test.items) != len(units) or test.initial.template == test.optimised.template:
        return ""
    try:
        groups = near_copies(test.items, units.features)
    except InputError:
        return ""  # a file that is gone by now, whose features were read before, takes no result away
    if not (told := copies_in_words(test.items, groups)):
        return ""
    grouped = Sampling.of(len(groups), units.labels.tolist(), groups)
    found, plain = (
        _scopes(test.initial, test.optimised, sampling, balanced).these for sampling in (grouped, test.sampling)
    )
    if found.high - found.low < WIDER * (plain.high - plain.low):
        return ""
    return f"{told}; grouped, the interval is [{points(found.low)}, {points(found.high)}]."


def left_out(prepared: Prepared) -> str:
    """Say that nothing is known without a search, where pictures are classified and `score` is the reward's own."""
    if not isinstance(prepared.search.units, EncodedPictures) or by_embeddings(prepared.reward):
        return ""
    return (
        "Left out: guessing, class means, CLIP's 80 templates and whether words can help need class embeddings, and "
        f"score() of {type(prepared.reward).__name__} takes templates alone."
    )


def how_weak(
    best: float, guessing: float, class_mean: float | None
) -> Literal["near guessing", "far below the class mean"] | None:
    """Say what makes any template a poor answer, from accuracies.

    Twice guessing is much where classes are few, so that agreement beyond chance has to be slight as well.

    >>> how_weak(0.09, 0.05, None), how_weak(0.9, 0.5, None), how_weak(0.4, 0.05, 0.65)
    ('near guessing', None, 'far below the class mean')
    """
    if best < 2 * guessing and (best - guessing) / (1 - guessing) < SLIGHT:
        return "near guessing"
    return "far below the class mean" if class_mean is not None and class_mean - best >= FAR else None


def means_of_classes(pictures: list[EncodedPictures], classes: int) -> Floats | None:
    """Return the unit mean of each class: float32 (C, D); None where a class has no picture."""
    features = np.concatenate([part.features for part in pictures])
    labels = np.concatenate([part.labels for part in pictures])
    if len(set(labels.tolist())) < classes:
        return None
    return class_means(features, labels, classes)


def in_words(found: Baselines, best: float) -> Baselines:
    """Fill in `words` and `warning`; `best` is the accuracy of the better template."""
    return found.model_copy(update={"words": _words(found, best), "warning": _warning(found, best)})


def _words(found: Baselines, best: float) -> str:
    told = [f"guessing, always the class with the most of them, {100 * found.guessing:.1f} %"]
    if found.class_mean:
        told.append(f"the nearest class mean of {found.labelled:.3g} pictures a class {share(found.class_mean)}")
    if found.ensemble:
        told.append(f"CLIP's 80 templates together {share(found.ensemble)}")
    words = f"Known without a search, on the same test pictures: {', '.join(told)}."
    if found.class_mean and found.class_mean.value - best >= FAR:
        words += (
            " Class names that this CLIP knows better, or another CLIP, are likely to help more than words around them."
        )
    elif found.weak:
        words += " Another CLIP is likely to help more than words."
    return words


def _warning(found: Baselines, best: float) -> str:
    says = f"templates name {100 * best:.1f} % at best"
    if found.weak == "near guessing":
        return f"This CLIP is near guessing on these pictures: {says}, guessing {100 * found.guessing:.1f} %."
    if found.weak and found.class_mean:
        mean = f"class means {100 * found.class_mean.value:.1f} %"
        return f"This CLIP sees far more here than words tell it: {says}, {mean}."
    return ""


def what_they_add(
    prepared: Prepared, settled: Settled | None, members: Sequence[str], parts: Mapping[AnyPart, Compared]
) -> OffsetsFound | None:
    """Measure both templates the other way on the sealed pictures; None for a reward without classes that compete.

    Args:
        prepared, settled: of the run.
        members: the chosen template; several for an ensemble.
        parts: with both scores as the run has them.
    """
    if not isinstance(prepared.search.units, EncodedPictures):
        return None
    kind: Kind = "mean" if prepared.config.offsets == "none" else prepared.config.offsets
    kept = settled.kept if settled else None
    other = None if kept else fitted_on(kind, *prepared.shown)
    sealed: dict[SealedPart, Added] = {}
    for name in SEALED_PARTS:
        if part := parts.get(name):
            units = replace(part.units, offsets=other)
            again = [scored_as_one(part.reward, names, units) for names in ([part.initial.template], members)]
            pairs = zip((part.initial, part.optimised), again, strict=True)
            initial, template = (effect(*(pair if other else pair[::-1]), part) for pair in pairs)
            sealed[name] = Added(initial=initial, template=template)
    gain, error = (settled.gain, settled.standard_error) if settled else (None, None)
    found = OffsetsFound(kind=kind, kept=kept is not None, gain=gain, standard_error=error, sealed=sealed, words="")
    labels = [units.labels for units in prepared.shown if units.labels is not None]
    weighed = bool(labels) and class_weights(np.concatenate(labels)) is not None
    how = LABELLED if kind == "fitted" else WEIGHED if weighed else WHAT
    same = parts["test"].initial.template == parts["test"].optimised.template
    return found.model_copy(
        update={"words": _offsets_in_words(found, same, "template" if len(members) == 1 else "templates", how)}
    )


def effect(without: Score, with_: Score, part: Compared) -> WithAndWithout:
    """Compare two scores on one part of the pictures."""
    difference = paired_difference(without.hits, with_.hits, part.sampling).these
    return WithAndWithout(
        without=measured(without, part.sampling),
        with_=measured(with_, part.sampling),
        difference=difference.mean,
        ci95=(difference.low, difference.high),
    )


def _offsets_in_words(found: OffsetsFound, same: bool, what: str, how: str) -> str:
    """Say what they add; `same`: the template is the initial one; `how` they are made."""
    would = "; on new classes ".join(_added(added, found.kept, same) for added in found.sealed.values())
    error = "" if found.standard_error is None else f" (standard error {100 * found.standard_error:.1f})"
    for_ = ""
    if found.gain is not None:
        for_ = f"{points(found.gain)} points{error} on selection pictures left out of the choice"
    if found.kept:
        return (
            f"Every score is with {found.kind} offsets {how}, kept for {for_}; without them the same {what} would "
            f"have {would}."
        )
    asked = f" They were asked for and not kept, for {for_}." if for_ else ""
    return f"With {found.kind} offsets {how} the same {what} would have {would}.{asked}"


def _added(added: Added, kept: bool, same: bool) -> str:
    here, initial = ((one.without if kept else one.with_) for one in (added.template, added.initial))
    gain = points(added.template.difference)
    added_by = f"they add {gain}" if kept else f"{gain} over it without"
    beside = "" if same else f", the initial template {100 * initial.value:.1f} %"
    return f"{share(here)} ({added_by}){beside}"


def what_it_adds(
    prepared: Prepared, ensembled: Ensembled | None, parts: Mapping[AnyPart, Compared]
) -> EnsembleFound | None:
    """Measure what the run has not, the one template or the ensemble, on the sealed pictures; None where none is asked.

    Args:
        prepared, ensembled: of the run.
        parts: with the scores as the run has them.
    """
    if ensembled is None:
        return None
    kept, sealed = ensembled.kept, dict[SealedPart, WithAndWithout]()
    other = (ensembled.one,) if kept else ensembled.members
    for name in SEALED_PARTS:
        if part := parts.get(name):
            scores = scored_as_one(part.reward, other, part.units), part.optimised
            sealed[name] = effect(*(scores if kept else scores[::-1]), part)
    found = EnsembleFound(**vars(ensembled), sealed=sealed, words="")
    return found.model_copy(update={"words": _ensemble_in_words(found, prepared.config.ensemble)})


def _ensemble_in_words(found: EnsembleFound, asked: int) -> str:
    count = len(found.members)
    if count == 1:
        return f"ensemble={asked} was asked for, and the search has no second template that the CLIP reads otherwise."
    error = "" if found.standard_error is None else f" (standard error {100 * found.standard_error:.1f})"
    for_ = f"{points(found.gain)} points{error} on selection pictures left out of the choice"
    measured = "; on new classes ".join(map(_both if found.kept else _together, found.sealed.values()))
    if found.kept:
        return f"{count} templates are taken together, for {for_}; on the sealed test pictures {measured}."
    return (
        f"One template is taken, for the {count} best together gained {for_}; on the sealed test pictures {measured}."
    )


def _both(added: WithAndWithout) -> str:
    return (
        f"they have {share(added.with_)}, the one template {share(added.without)}, a difference of {_difference(added)}"
    )


def _together(added: WithAndWithout) -> str:
    return f"they would have {share(added.with_)}, a difference of {_difference(added)}"


def _difference(added: WithAndWithout) -> str:
    low, high = added.ci95
    return f"{points(added.difference)} points [{points(low)}, {points(high)}], n = {added.with_.n:,}"
