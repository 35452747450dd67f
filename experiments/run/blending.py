"""A run with `head=blend`: what labelled pictures and words do alone and together, on the sealed test."""

from __future__ import annotations

import numpy as np

from ipo_prompts.experiments.run.comparison import Compared, measured
from ipo_prompts.experiments.run.scores import HeadFound, Over
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.evidence import paired_difference
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.verdict import points, share
from ipo_prompts.programs.settling import Blended

MEANS = {"class mean": "the unit mean of each class", "discriminant": "a discriminant with one covariance for all"}
NAMED = 5
"""Classes without pictures that are named."""


def what_the_head_does(blended: Blended, test: Compared) -> HeadFound:
    """Measure words alone, pictures alone and both on the sealed test pictures."""
    reward, found = test.reward, blended.found
    assert isinstance(reward, ClipReward)
    alone = reward.score_logits("pictures", lambda rows: found.pictures.logits(rows).astype(np.float32), test.units)
    both = reward.score_logits("both", blended.program.logits, test.units)
    result = HeadFound(
        kept=found.weight > 0,
        way=found.way,
        weight=found.weight,
        alone=found.alone,
        labelled=float(blended.counts.mean()),
        without=tuple(str(blended.program.class_names[i]) for i in np.flatnonzero(blended.counts == 0)),
        left_out=0 if found.held is None else len(found.held[1]),
        words_alone=measured(test.optimised, test.sampling),
        pictures_alone=measured(alone, test.sampling),
        both=measured(both, test.sampling),
        over_words=_over(test.optimised, both, test),
        over_pictures=_over(alone, both, test),
        words="",
    )
    return result.model_copy(update={"words": _in_words(result)})


def _over(other: Score, both: Score, test: Compared) -> Over:
    difference = paired_difference(other.hits, both.hits, test.sampling).these
    return Over(difference=difference.mean, ci95=(difference.low, difference.high))


def _in_words(found: HeadFound) -> str:
    """Say what decides, how it was chosen, and what words and pictures do for each other."""
    size = f"{found.labelled:.3g} labelled pictures a class"
    alone = (
        f"On the sealed test pictures words alone name {share(found.words_alone)}, pictures alone "
        f"({MEANS[found.alone]}, {size}) {share(found.pictures_alone)}"
    )
    if not found.kept:
        return (
            f"head=blend was asked for, and words alone decide: they name {found.left_out:,} left-out pictures best. "
            f"{alone}."
        )
    how = (
        "a = 1, as nothing can be left out to choose it by"
        if not found.left_out
        else f"chosen by {found.left_out:,} pictures that were left out in turn"
    )
    text = (
        f"Words and {found.weight:g} times pictures ({MEANS[found.way]}) decide together, {how}. {alone}, both "
        f"{share(found.both)}: {_gain(found.over_words)} points over words, {_gain(found.over_pictures)} over pictures"
    )
    low, high = found.over_pictures.ci95
    if low <= 0 <= high:
        text += "; pictures alone are level, so that words add nothing that can be shown"
    elif high < 0:
        text += "; pictures alone are better, so that words do harm here"
    if found.without:
        more = f" and {len(found.without) - NAMED} more" if len(found.without) > NAMED else ""
        text += f". Without pictures, and so with words alone: {', '.join(found.without[:NAMED])}{more}"
    return f"{text}. The verdict is the template's alone."


def _gain(over: Over) -> str:
    return f"{points(over.difference)} [{points(over.ci95[0])}, {points(over.ci95[1])}]"
