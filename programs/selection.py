"""Choose the winner: the best template on train and validation images together, if its gain is more than luck.

The highest of many scores on a few dozen images is too high. So two questions are kept apart. Which template is best?
All images help to answer this, so the winner is chosen on train and validation units together. How much does the
choice gain? Only images that had no part in the choice can tell. So the reported gain is the gain of the procedure:
each fold of the validation units measures the template that the procedure chooses without that fold (cross-fitting).

The initial template stays unless a gain is larger than luck makes the largest of all gains. Suppose that no candidate
differs from the initial template. Then the gain of each base image could as well be a loss, for all candidates alike.
So the signs of base images are flipped at random, many times, and each time the largest gain of all candidates is
noted, in units of its own spread (max-T: Westfall & Young 1993). The winner replaces the initial template if at most
one in ten of these largest gains reaches the largest real gain. So fewer than four base images never replace it. The
share is no p-value, since the search has shaped the candidates on most of these images; it is shown nowhere.

This rule was compared with the rule before it, by which a gain shrunk towards the mean gain had to exceed one standard
error. In a trial (125 searches, demo CLIP and a control CLIP, mostly ten classes) the mean gain was the same with right
labels (0.0 points, 95 % interval -0.5 to 0.5). With shuffled labels the initial template stayed in 95 % of searches on
embedded images instead of 38 %, and in 65 % instead of 30 % on a small badly named set.

For accuracy, templates are not compared by their hits. For each image the classes are ordered by their logits, and
the right class has a place in this order. Templates are compared by the mean of minus the logarithm of the place. A
place tells a right class that came second from a right class that came last, which a hit does not; so few images say
more. And places do not depend on how sure a CLIP is: a template that only makes it less sure of everything gains
nothing. Compared by a loss, such a template would gain.

At the end the shortest of the good templates is taken: among all candidates within half a standard error of the best
candidate, the candidate with the fewest words with meaning (after the one-standard-error rule: Breiman, Friedman,
Olshen & Stone 1984, section 3.4.3; a whole error costs more accuracy than it saves words).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.reward import Score, Units
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import words
from ipo_prompts.programs.history import History

FOLDS = 5
"""The number of folds of the validation units. Each fold measures the template that is chosen without this fold."""
FLIPS = 999
"""How many times the signs are flipped. All signs are held at once: 16,000 images take a quarter of a gigabyte."""
LUCK = 0.1
"""The largest share of flips whose largest gain may reach the largest real gain."""
ROUNDING = 1e-9
AS_GOOD = 0.5
"""The number of standard errors by which a shorter candidate may be worse than the best."""

BEST_SEARCHED = "train images, the highest score"
SEARCHED = "train images, which also shaped the candidates"
POOLED = "train and validation images, the first of which also shaped the candidates"


@dataclass(frozen=True)
class Choice:
    """The chosen template.

    Attributes:
        template: the winner.
        kept_initial: whether the initial template was kept, because no candidate was convincing.
        gain: the gain of the procedure over the initial template, a fraction: each fold of the validation units
            measures the choice made without that fold. It is not the gain of the winner. None without validation units.
        standard_error: the standard error of the gain, for the given classes; None if the units do not determine it.
        how: the images on which the template was chosen; one of the three constants above.
    """

    template: str
    kept_initial: bool
    gain: float | None
    standard_error: float | None
    how: str


def why_not_best(choice: Choice, history: History) -> str:
    """Return why the chosen template is not the template with the highest search score; "" if it is."""
    if choice.template == history.best.template:
        return ""
    if choice.kept_initial:
        return "the initial template stays: no other template gains enough to replace it"
    return (
        f"another template is chosen: of those that are good on {choice.how.partition(',')[0]}, it has the fewest words"
    )


@dataclass(frozen=True)
class ScoreTable:
    """The scores of the initial template (row 0) and T candidates on n units.

    Attributes:
        hits: (1 + T, n), the contribution of each unit to the value.
        losses: (1 + T, n), the loss of each unit; the mean losses break ties.
        evidence: (1 + T, n), the numbers by which templates are compared: minus the logarithm of the right class's
            place; the hits if there are no places.
        words: (1 + T,), the length of each template: its words with meaning (`metrics.template.words`).
        classes: the class of each unit; None for each unit if units do not have one class each.
        draws: the draw of each unit, equal for variants of one base image.
    """

    hits: Doubles
    losses: Doubles
    evidence: Doubles
    words: NDArray[np.int64]
    classes: Sequence[Hashable]
    draws: Sequence[Hashable]

    @classmethod
    def of(cls, part: str, scores: Sequence[Score], units: Units) -> ScoreTable:
        """Return the table of scores on one part of the units. Parts with different names share no draw."""
        hits = np.stack([score.hits for score in scores]).astype(np.float64)
        losses = np.stack([score.losses for score in scores])
        places = [score.places for score in scores if score.places is not None]
        evidence = -np.log(np.stack(places)) if len(places) == len(scores) else hits
        n = hits.shape[1]
        labels = [None] * n if units.labels is None or len(units.labels) != n else units.labels.tolist()
        length = np.array([words(score.template) for score in scores])
        return cls(hits, losses, evidence, length, labels, [(part, name) for name in units.groups or range(n)])

    def take(self, units: NDArray[np.bool_]) -> ScoreTable:
        """Return the table of the units in a mask, (n,)."""
        chosen = np.flatnonzero(units).tolist()
        hits, losses, evidence = (rows[:, chosen] for rows in (self.hits, self.losses, self.evidence))
        classes, draws = ([names[i] for i in chosen] for names in (self.classes, self.draws))
        return ScoreTable(hits, losses, evidence, self.words, classes, draws)

    def pooled(self, other: ScoreTable) -> ScoreTable:
        """Return one table with the units of both tables. The templates of both are the same."""
        both = ((self.hits, other.hits), (self.losses, other.losses), (self.evidence, other.evidence))
        hits, losses, evidence = map(np.hstack, both)
        classes, draws = [*self.classes, *other.classes], [*self.draws, *other.draws]
        return ScoreTable(hits, losses, evidence, self.words, classes, draws)

    @cached_property
    def sampling(self) -> Sampling:
        """How the units were drawn."""
        return Sampling.of(self.hits.shape[1], self.classes, self.draws)


def choose_winner(
    how: str,
    history: History,
    train_units: Units,
    held_back: Units | None,
    score: Callable[[Sequence[str], Units], list[Score]],
) -> Choice:
    """Choose among all templates of a search.

    Args:
        how: `train` takes the best template on the train units, as the paper does. `validation` uses the rule that the
            head of this file describes.
        history: the proposed templates, with their scores on the train units.
        train_units: the units on which these templates were scored.
        held_back: the validation units. Without them the train units choose, and no gain is reported.
        score: a function that scores templates on the validation units.
    """
    initial, best = history.initial, history.best
    if how == "train":
        return Choice(best.template, best is initial, None, None, BEST_SEARCHED)
    entries = [initial, *(entry for entry in history.ranked() if entry is not initial)]
    searched = ScoreTable.of("train", entries, train_units)
    if held_back is None:
        winner = choose(searched)
        return Choice(entries[winner].template, winner == 0, None, None, SEARCHED)
    scores = score([entry.template for entry in entries], held_back)
    selection = ScoreTable.of("val", scores, held_back)
    winner = choose(searched.pooled(selection))
    return Choice(entries[winner].template, winner == 0, *cross_fitted(searched, selection), POOLED)


def choose(table: ScoreTable) -> int:
    """Return the row of the winner; 0, the initial template, unless a gain is larger than luck (`beats_luck`)."""
    if not beats_luck(table):
        return 0
    values, losses = table.evidence[1:].mean(axis=1), table.losses[1:].mean(axis=1)
    best = int(np.lexsort((losses, -values))[0])  # of equal rows the first: it is better on the train units
    return shortest(table, best + 1)


def beats_luck(table: ScoreTable) -> bool:
    """Return whether the largest gain of the candidates is rarely reached when signs are flipped; see the head."""
    draws = [table.sampling.draw_sums(row - table.evidence[0]) for row in table.evidence[1:]]
    gains = np.array([sums / np.linalg.norm(sums) for sums in draws if sums.any()])  # flips leave the norm as it is
    if not len(gains):
        return False
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (gains.shape[1], FLIPS))
    reached = (gains @ signs).max(axis=0) >= gains.sum(axis=1).max() - ROUNDING
    return bool(1 + np.count_nonzero(reached) <= LUCK * (1 + FLIPS))


def shortest(table: ScoreTable, best: int) -> int:
    """Return the row of the shortest candidate that is not clearly worse than the best candidate.

    If several candidates are equally short, return the best of them.

    A candidate is clearly worse if it is worse by more than `AS_GOOD` standard errors of the difference on these units.
    A candidate that is not better than the initial template is not taken, however short it is.
    """
    values = table.evidence.mean(axis=1)

    def is_as_good(row: int) -> bool:
        difference = table.evidence[best] - table.evidence[row]
        return float(difference.mean()) <= AS_GOOD * math.sqrt(table.sampling.these(difference).value)

    better = np.flatnonzero(values > values[0]).tolist()
    # By rounding, a sum of gains can be above 0 though no mean is higher: then it is the initial template.
    return min(filter(is_as_good, better), key=lambda row: (table.words[row], -values[row], row != best), default=0)


def cross_fitted(searched: ScoreTable, selection: ScoreTable) -> tuple[float, float | None]:
    """Return the gain of the procedure over the initial template on the validation units, and its standard error."""
    gained = chosen_without(searched, selection) - selection.hits[0]
    error = math.sqrt(selection.sampling.these(gained).value)
    return float(gained.mean()), error if 0 < error < math.inf else None


def chosen_without(searched: ScoreTable, selection: ScoreTable) -> Doubles:
    """Return the hit of each validation unit under a template that was chosen without that unit: float64 (n,).

    Each fold measures the template that the same rule chooses on the train units and the other folds.
    """
    fold = folds(selection)
    found = np.zeros(len(fold))
    for k in range(int(fold.max()) + 1):
        held = fold == k
        found[held] = selection.hits[choose(searched.pooled(selection.take(~held))), held]
    return found


def folds(table: ScoreTable) -> NDArray[np.int64]:
    """Return the fold of each unit, (n,). The draws are dealt into the folds, class after class."""
    of_draw = dict(zip(reversed(table.draws), reversed(table.classes), strict=True))  # the class of its first unit
    place = {name: i for i, name in enumerate(dict.fromkeys(table.classes))}
    dealt = sorted(dict.fromkeys(table.draws), key=lambda draw: place[of_draw[draw]])
    fold = {draw: i % FOLDS for i, draw in enumerate(dealt)}
    return np.array([fold[draw] for draw in table.draws], dtype=np.int64)
