"""Which of several names of each class a CLIP reads best, learnt from few labelled pictures.

All classes are named together, one after the other in two rounds: each takes the name with the lowest loss of all
pictures, and a nat is the price for leaving the name as given. The logits are first divided by a temperature that fits
them under the names as given. Without it vaguer names, which make a CLIP less sure of everything, lower the loss of
anything; a gate that looked at such a loss opened on labels that were shuffled.

Nothing is renamed unless held-back pictures open a gate: names are chosen on each half of the pictures and looked at on
the other, and there the loss has to fall by more than its standard error, and the hits to rise. The same with the
candidates of one class given to another says how much of that any other text would have done.

Without labels nothing is chosen: `suggest` lists names that a person may look at.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import best_temperature, cross_entropies
from ipo_prompts.metrics.sampling import Numbers, Sampling

PRICE = 1.0
"""Of leaving the name as given, in nats over all pictures."""
ROUNDS = 2
FEWEST = 2
"""Base pictures of a class, below which it keeps its name."""
HIGHEST = 500.0
"""Of a logit over the highest one under the names as given: where exp would end."""
TINY = 1e-300
BLOCK = 1024
FREE_RISE = 0.3
"""A name is suggested if it raises the mean fit by this many nats divided by the number of classes."""
SUGGESTED = 5
SHOWN = 3
"""Pictures of a suggestion."""


class LabelledPictures(NamedTuple):
    """Pictures that choose names.

    Attributes:
        features: float32 (n, D), unit rows times the CLIP's logit scale.
        labels: int64 (n,), the class of each.
        draws: (n,), equal for variants of one base picture.
    """

    features: Floats
    labels: Numbers
    draws: Sequence[Hashable]

    def take(self, chosen: Numbers) -> LabelledPictures:
        """Return some of them, by their numbers."""
        return LabelledPictures(self.features[chosen], self.labels[chosen], [self.draws[i] for i in chosen.tolist()])

    @property
    def sampling(self) -> Sampling:
        """How they were drawn."""
        return Sampling.of(len(self.labels), self.labels.tolist(), self.draws)


class Held(NamedTuple):
    """What names gain over those as given on pictures that did not choose them: means and standard errors.

    `hits` are fractions, `loss` is by how much the loss fell, in nats.
    """

    hits: float
    hits_error: float
    loss: float
    loss_error: float

    @property
    def opens(self) -> bool:
        """Whether that is enough to rename."""
        return self.loss > self.loss_error and self.hits > 0


@dataclass(frozen=True)
class Found:
    """Names for all classes.

    Attributes:
        chosen: int64 (C,), for each class the row of its text; that of the name as given where it keeps it.
        held: what choosing so gains on held-back pictures.
        permuted: the same with each class choosing among the candidates of another one.
        temperature: what logits were divided by.
    """

    chosen: Numbers
    held: Held
    permuted: Held
    temperature: float


def find_names(texts: Floats, candidates: Sequence[Sequence[int]], pictures: LabelledPictures, seed: int = 0) -> Found:
    """Choose a text for each class.

    Args:
        texts: float32 (T, D), the embeddings of all texts, unit rows.
        candidates: for each of C classes the rows of its texts, the name as given first.
        pictures: of any of the classes.
        seed: of the order of the classes.
    """
    open_to = _free(candidates, pictures)
    given = np.array([own[0] for own in open_to], dtype=np.int64)
    halves = _halves(pictures)
    held = held_back_gain(texts, open_to, pictures, halves, seed)
    chosen, temperature = choose_names(texts, open_to, pictures, seed)
    permuted = held_back_gain(texts, exchanged(open_to), pictures, halves, seed)
    return Found(chosen if held.opens else given, held, permuted, temperature)


def _free(candidates: Sequence[Sequence[int]], pictures: LabelledPictures) -> list[Sequence[int]]:
    """Leave classes of too few base pictures their name alone."""
    many = np.zeros(len(candidates), dtype=np.int64)
    for label, _ in {*zip(pictures.labels.tolist(), pictures.draws, strict=True)}:
        many[label] += 1
    return [own if count >= FEWEST else own[:1] for own, count in zip(candidates, many.tolist(), strict=True)]


def exchanged(candidates: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Give each class that has candidates those of the next one that has some; all keep their own name.

    >>> exchanged([[0, 3], [1], [2, 4, 5]])
    [[0, 4, 5], [1], [2, 3]]
    """
    having = [label for label, own in enumerate(candidates) if len(own) > 1]
    found = list(candidates)
    for place, label in enumerate(having):
        found[label] = [candidates[label][0], *candidates[having[(place + 1) % len(having)]][1:]]
    return found


def _halves(pictures: LabelledPictures) -> Numbers:
    """Deal the base pictures of one class after the other into two halves: (n,), 0 or 1."""
    class_of = dict(zip(pictures.draws, pictures.labels.tolist(), strict=True))
    half = {draw: place % 2 for place, draw in enumerate(sorted(class_of, key=lambda draw: class_of[draw]))}
    return np.array([half[draw] for draw in pictures.draws], dtype=np.int64)


def held_back_gain(
    texts: Floats, candidates: Sequence[Sequence[int]], pictures: LabelledPictures, halves: Numbers, seed: int
) -> Held:
    """Choose names on each half, and measure them on the other, under the temperature of the half that chose."""
    given = np.array([own[0] for own in candidates], dtype=np.int64)
    hits, losses = np.zeros(len(halves)), np.zeros(len(halves))
    for half in (0, 1):
        chose, other = (np.flatnonzero(halves == one) for one in (half, 1 - half))
        if len(chose) and len(other):
            found, temperature = choose_names(texts, candidates, pictures.take(chose), seed)
            before, after = (_judged(texts[of], pictures.take(other), temperature) for of in (given, found))
            hits[other], losses[other] = after[0] - before[0], before[1] - after[1]
    errors = [math.sqrt(pictures.sampling.these(gained).value) for gained in (hits, losses)]
    return Held(float(hits.mean()), errors[0], float(losses.mean()), errors[1])


def _judged(classes: Floats, pictures: LabelledPictures, temperature: float) -> tuple[Doubles, Doubles]:
    """Return the hits and the losses of pictures among classes, float32 (C, D)."""
    hits, losses = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, len(pictures.labels), BLOCK):
        labels = pictures.labels[start : start + BLOCK]
        logits = pictures.features[start : start + BLOCK] @ classes.T
        hits.append((logits.argmax(axis=1) == labels).astype(np.float64))
        losses.append(cross_entropies(logits, labels, temperature))
    return np.concatenate(hits), np.concatenate(losses)


def choose_names(
    texts: Floats, candidates: Sequence[Sequence[int]], pictures: LabelledPictures, seed: int
) -> tuple[Numbers, float]:
    """Choose without a gate: the row of each class's text, int64 (C,), and the temperature.

    For each picture the sum over classes of exp(logit) is kept, so that a class that tries a text takes its own term
    out and puts another in: work grows as pictures times texts. A text that another class has is not taken.
    """
    chosen = np.array([own[0] for own in candidates], dtype=np.int64)
    logits = pictures.features @ texts[chosen].T
    temperature = best_temperature(logits, pictures.labels)
    highest = logits.max(axis=1).astype(np.float64) / temperature
    del logits  # of a thousand classes they fill memory
    own = [np.flatnonzero(pictures.labels == label) for label in range(len(candidates))]
    order = np.random.default_rng(seed)

    def scaled(rows: Numbers | Sequence[int]) -> Doubles:
        """Logits over the highest one: float64 (n, len(rows))."""
        logits: Doubles = (pictures.features @ texts[np.asarray(rows)].T).astype(np.float64) / temperature
        return np.asarray(np.minimum(logits - highest[:, None], HIGHEST))

    for _ in range(ROUNDS):
        before, taken = chosen.copy(), set(chosen.tolist())
        sums = np.zeros(len(highest))
        for start in range(0, len(chosen), BLOCK):
            sums += np.exp(scaled(chosen[start : start + BLOCK])).sum(axis=1)
        for label in order.permutation(len(candidates)).tolist():
            has = int(chosen[label])
            rows = [row for row in candidates[label] if row == has or row not in taken]
            if len(rows) == 1 or not len(own[label]):
                continue
            tried = scaled(rows)
            terms = np.exp(tried)
            totals = np.maximum(sums - terms[:, rows.index(has)], TINY)[:, None] + terms
            losses = np.log(totals).sum(axis=0) - tried[own[label]].sum(axis=0)
            losses += [0.0 if row == candidates[label][0] else PRICE for row in rows]
            best = int(losses.argmin())
            chosen[label], sums = rows[best], totals[:, best]
            taken = (taken - {has}) | {rows[best]}
        if np.array_equal(before, chosen):
            break
    return chosen, temperature


class Suggestion(NamedTuple):
    """Another name that pictures without labels fit better; nobody has tested whether it names more of them rightly.

    Attributes:
        label: of the class.
        row: of the text.
        rise: of the mean fit of all pictures, in nats.
        pictures: those of the class by its name as given that the other name is nearest to, few.
    """

    label: int
    row: int
    rise: float
    pictures: tuple[int, ...]


def suggest(texts: Floats, candidates: Sequence[Sequence[int]], features: Floats) -> list[Suggestion]:
    """Return other names that fit pictures without labels better, one at a time, those that raise fit most first.

    Fit is the mean of log Σ exp(logit) with the mean picture taken off: without that nearly any text that is nearer to
    all pictures raises it. Vague names raise it all the same, so a name also has to be nearer to the pictures that its
    class has.

    Args:
        texts, candidates: see `find_names`.
        features: float32 (n, D), unit rows times the CLIP's logit scale.
    """
    centred = features - features.mean(axis=0)
    given = centred @ texts[[own[0] for own in candidates]].T
    named, highest = given.argmax(axis=1), given.max(axis=1).astype(np.float64)
    sums = np.exp(given - highest[:, None]).sum(axis=1, dtype=np.float64)
    found = []
    for label, own in enumerate(candidates):
        pictures = np.flatnonzero(named == label)
        if len(own) == 1 or not len(pictures):
            continue
        logits = (centred @ texts[list(own)].T).astype(np.float64)
        terms = np.exp(np.minimum(logits - highest[:, None], HIGHEST))
        rises = np.log((np.maximum(sums - terms[:, 0], TINY)[:, None] + terms) / sums[:, None]).mean(axis=0)
        nearer = logits[pictures] - logits[pictures, :1]
        best = int(np.where(nearer.mean(axis=0) > 0, rises, -np.inf).argmax())
        if best and rises[best] * len(candidates) >= FREE_RISE:
            shown = pictures[np.argsort(-nearer[:, best], kind="stable")[:SHOWN]]
            found.append(Suggestion(label, own[best], float(rises[best]), tuple(shown.tolist())))
    return sorted(found, key=lambda one: -one.rise)[:SUGGESTED]
