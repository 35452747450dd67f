"""Search for class names: learn from few labelled images which of several names a CLIP reads best.

The classes choose their names one after the other, in two rounds. Each class takes the name with the lowest loss over
all images; a name other than the given one costs one nat. The logits are first divided by a temperature, which is
fitted under the given names. Without the temperature a vaguer name, which makes a CLIP less sure of everything, lowers
the loss under any labels: a gate that used such a loss opened on shuffled labels.

Nothing is renamed unless held-back images open a gate. Names are chosen on each half of the images and measured on
the other half. There the loss has to fall by more than two standard errors, and the hits have to rise: at 1.2 errors a
run took three wrong names and lost 15 points, and all runs that gained had at least 2.5.

Behind the gate each name speaks for itself, so that a harmful name does not come in with others that gain. A name stays
only if a half chose it, too, and if on the other half the loss of the images of all classes is higher with the typed
name in its place and all other names as they are. In a trial (two CLIPs, clean images and two changed sets, 10 and 68
classes, three and six labels) this took back a quarter of the names, and the gain of names changed by -0.1 points on
average, at worst -0.2 (10 classes, demo CLIP). Classes that lost all hits by a name were 4 instead of 7. Asking for a
fall of one nat took back more, but cost up to 0.9 points with synonyms.

Names are searched after the template, around the chosen template. The reason is an experiment: names that are found
around the initial template fit the chosen template less, because words and names stand in one sentence. The numbers in
the table are gains in points. "Other names" are plurals, synonyms or hyponyms in all classes. The rows with 68 classes
are two sets of the suite (noise+negative, dark+blur), with six images of each class. The rows with 10 classes are
these two sets and gray+faded, with three draws of each.

    names searched              after the template   before it     before and after
    68 classes, other names     8.6 to 10.5          3.4 to 7.0    5.1 to 10.3
    68 classes, right names     1.3                  -3.7          0.5
    10 classes, other names     6.4 to 13.9          8.1 to 13.3   8.6 to 13.3
    10 classes, right names     0                    -0.2          0
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from scipy import special

from ipo_prompts.metrics.arrays import Doubles, Floats, batches
from ipo_prompts.metrics.calibration import best_temperature
from ipo_prompts.metrics.classification import ClipReward, EncodedImages, together
from ipo_prompts.metrics.reward import Reward, class_embeddings
from ipo_prompts.metrics.sampling import Numbers, Sampling
from ipo_prompts.metrics.template import as_read, too_long
from ipo_prompts.programs.other_names import ask_for_names, candidates_of

if TYPE_CHECKING:
    import dspy

PRICE = 1.0
"""The price of a name other than the given name, in nats. It is added to the sum of the losses of all images."""
ROUNDS = 2
ERRORS = 2.0
"""The number of standard errors by which the held-back loss has to fall."""
FEWEST = 2
"""A class with fewer base images than this keeps its name."""
HIGHEST = 500.0
"""The most by which a logit may exceed the highest logit under the given names. Above it, exp would overflow."""
TINY = 1e-300
BLOCK = 1024


@dataclass(frozen=True)
class NamesChosen:
    """The class names after a search for names.

    Attributes:
        reward: the reward of the search, with the new class names.
        given: the class names before the search.
        found: the decision and its evidence. Its rows 0 to C - 1 are the given names.
        candidates: the number of other names that were tried.
    """

    reward: ClipReward
    given: tuple[str, ...]
    found: Found
    candidates: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names after the search."""
        return self.reward.class_names

    @property
    def renamed(self) -> list[int]:
        """The labels of the classes whose name was changed."""
        return [label for label, row in enumerate(self.found.chosen.tolist()) if row != label]

    def record(self) -> dict[str, Any]:
        """Return the new names and their evidence as plain JSON."""
        renamed = {str(self.given[label]): self.class_names[label] for label in self.renamed}
        return {"renamed": renamed, "candidates": self.candidates, "held": self.found.held._asdict()}


def search_names(
    reward: Reward,
    template: str,
    parts: Sequence[Any],
    *,
    lm: dspy.LM | None = None,
    task: str = "",
    seed: int = 0,
    typed: Mapping[int, str] | None = None,
    kept: Collection[int] = (),
) -> NamesChosen:
    """Search for names around the chosen template.

    Args:
        reward: the reward of the search, see `running.check_naming`.
        template: the chosen template.
        parts: the train images, and the validation images if there are some.
        lm: the language model that is also asked for names; with None, no language model is asked.
        task: one sentence on what the images are.
        seed: the seed of the search.
        typed: label → the class's name as it was typed, which is a candidate, too.
        kept: the labels of the classes whose names are not searched.

    Raises:
        dspy.LMError: the language model cannot be reached.
    """
    ours = cast("ClipReward", reward)
    given = ours.class_names
    more = [[typed[label]] if typed and label in typed else [] for label in range(len(given))]
    if lm is not None:
        answers = ask_for_names(lm, task, given, seed)
        more = [[*own, *answered] for own, answered in zip(more, answers, strict=True)]
    texts, rows = _listed(ours, template, more, kept)
    every = class_embeddings(ours.clip, [template], [*given, *texts])
    found = find_names(every, rows, _labelled(ours, parts), seed)
    names = tuple((*given, *texts)[row] for row in found.chosen.tolist())
    return NamesChosen(ours.renamed(names), given, found, len(texts))


def _listed(
    reward: ClipReward, template: str, more: Sequence[Sequence[str]], kept: Collection[int]
) -> tuple[list[str], list[list[int]]]:
    """Return the other names of the classes that fit the CLIP's context, leaving out the names in `also_fit`.

    Returns:
        Two lists. The first holds all other names, each once. The second holds the rows of each class: the row of its
        given name, then the rows of its other names. The given names of all classes have the first rows; the names of
        the first list have the rows after them.
    """
    given, met = reward.class_names, {as_read(name) for name in reward.also_fit}
    fits = cache(lambda name: too_long(template, [name], reward.clip) is None)
    lists = [[name for name in own if as_read(name) not in met and fits(name)] for own in candidates_of(given, more)]
    lists = [[] if label in kept else own for label, own in enumerate(lists)]
    texts = list(dict.fromkeys(name for own in lists for name in own))
    row = {name: len(given) + place for place, name in enumerate(texts)}
    return texts, [[label, *(row[name] for name in own)] for label, own in enumerate(lists)]


def _labelled(reward: ClipReward, parts: Sequence[Any]) -> EncodedImages:
    """Return the images of all parts as one set. Features are multiplied by the CLIP's logit scale.

    Base images of different parts count as different.
    """
    units = [cast("EncodedImages", part) for part in parts]
    every = together(units)
    draws = (f"{place}|{name}" for place, part in enumerate(units) for name in part.groups or range(len(part)))
    features = (np.float32(reward.clip.logit_scale) * every.features).astype(np.float32)
    return EncodedImages(features, every.labels, tuple(draws))


# The decision: which text each class has, and whether any class is renamed.


class Held(NamedTuple):
    """The gain of chosen names over the given names, measured on images that had no part in the choice.

    Attributes:
        hits: the mean gain in hits, a fraction.
        hits_error: the standard error of `hits`.
        loss: the mean fall of the loss, in nats.
        loss_error: the standard error of `loss`.
    """

    hits: float
    hits_error: float
    loss: float
    loss_error: float

    @property
    def opens(self) -> bool:
        """Whether the gain is enough to rename classes."""
        return self.loss > ERRORS * self.loss_error and self.hits > 0


@dataclass(frozen=True)
class Found:
    """The chosen names of all classes.

    Attributes:
        chosen: int64 (C,), the row of the text that each class takes; the given name's row if a class keeps its name.
        held: the gain on held-back images of names that are chosen like these, before each speaks for itself.
    """

    chosen: Numbers
    held: Held


def find_names(texts: Floats, candidates: Sequence[Sequence[int]], images: EncodedImages, seed: int = 0) -> Found:
    """Choose a text for each class.

    Args:
        texts: float32 (T, D), the embeddings of all texts, unit rows.
        candidates: for each of C classes, the rows of its names in `texts`, the given name first.
        images: labelled images of any of the classes.
        seed: the seed of the order in which classes choose.
    """
    open_to = _free(candidates, images)
    given = np.array([own[0] for own in open_to], dtype=np.int64)
    held, chosen, rises = held_back_gain(texts, open_to, images, seed)
    if not held.opens:
        return Found(given, held)
    found = choose_names(texts, open_to, images, seed)[0]
    speaks = (rises * (chosen == found)).sum(axis=0) > 0
    left = np.stack([given, np.where(speaks, found, given)], axis=1).tolist()
    return Found(choose_names(texts, left, images, seed)[0], held)  # again, as a name may need one that did not stay


def _free(candidates: Sequence[Sequence[int]], images: EncodedImages) -> list[Sequence[int]]:
    """Return the candidates. A class with fewer than `FEWEST` base images has only its given name."""
    many = Counter(label for label, _ in {*zip(images.labels.tolist(), images.groups or (), strict=True)})
    return [own if many[label] >= FEWEST else own[:1] for label, own in enumerate(candidates)]


def _halves(images: EncodedImages) -> Numbers:
    """Return the half, 0 or 1, of each image: (n,). Base images are dealt into the halves, class after class."""
    class_of = dict(zip(images.groups or (), images.labels.tolist(), strict=True))
    half = {draw: place % 2 for place, draw in enumerate(sorted(class_of, key=lambda draw: class_of[draw]))}
    return np.array([half[draw] for draw in images.groups or ()], dtype=np.int64)


def held_back_gain(
    texts: Floats, candidates: Sequence[Sequence[int]], images: EncodedImages, seed: int
) -> tuple[Held, Numbers, Doubles]:
    """Return the gain of names that are chosen on one half of the images and measured on the other half.

    Each half chooses once. The temperature is fitted on the half that chooses.

    Returns:
        The gain; the rows that each half chose, int64 (2, C); and the rises of `_judged` on the other half, (2, C).
    """
    given = np.array([own[0] for own in candidates], dtype=np.int64)
    halves, all_found, rises = _halves(images), np.stack([given, given]), np.zeros((2, len(given)))
    hits, losses = np.zeros((2, len(halves)))
    for half in (0, 1):
        chose, other = (np.flatnonzero(halves == one).tolist() for one in (half, 1 - half))
        if len(chose) and len(other):
            found, temperature = choose_names(texts, candidates, images.part(chose), seed)
            all_found[half] = found
            for rows in batches(other, BLOCK):
                judged = _judged(texts[given], texts[found], images.part(rows), temperature)
                hits[rows], losses[rows], risen = judged
                rises[half] += risen
    sampling = Sampling.of(len(hits), images.labels.tolist(), images.groups)
    errors = [math.sqrt(sampling.these(gained).value) for gained in (hits, losses)]
    return Held(float(hits.mean()), errors[0], float(losses.mean()), errors[1]), all_found, rises


def _judged(
    given: Floats, found: Floats, images: EncodedImages, temperature: float
) -> tuple[Doubles, Doubles, Doubles]:
    """Compare the found names of C classes with their given names; both float32 (C, D).

    Returns:
        Two gains of each image, (n,): in hits, and the fall of its loss. And for each class the rise of the summed
        loss if this class alone takes its given name again, (C,).
    """
    before, after = ((images.features @ names.T).astype(np.float64) / temperature for names in (given, found))
    hits = [(logits.argmax(axis=1) == images.labels).astype(np.float64) for logits in (before, after)]
    own = (after - before)[np.arange(len(images)), images.labels]
    sums = special.logsumexp(after, axis=1, keepdims=True)
    losses = special.logsumexp(before, axis=1) - sums[:, 0] + own
    without = 1 - np.exp(after - sums) + np.exp(np.minimum(before - sums, HIGHEST))
    rises = np.log(np.maximum(without, TINY)).sum(axis=0) + np.bincount(images.labels, own, len(given))
    return hits[1] - hits[0], losses, rises


def choose_names(
    texts: Floats, candidates: Sequence[Sequence[int]], images: EncodedImages, seed: int
) -> tuple[Numbers, float]:
    """Choose a text for each class, without a gate.

    For each image the sum of exp(logit) over the classes is stored. To try a text for a class, the class's term in
    the sum is replaced, so the work grows as images times texts. A class does not take a text of another class.

    Returns:
        The row of each class's text, int64 (C,), and the temperature.
    """
    chosen = np.array([own[0] for own in candidates], dtype=np.int64)
    logits = images.features @ texts[chosen].T
    temperature = best_temperature(logits, images.labels)
    highest = logits.max(axis=1).astype(np.float64) / temperature
    del logits  # with a thousand classes the logits fill memory
    own = [np.flatnonzero(images.labels == label) for label in range(len(candidates))]
    order = np.random.default_rng(seed)

    def scaled(rows: Numbers | Sequence[int]) -> Doubles:
        """Return logits minus the highest logit: float64 (n, len(rows))."""
        logits: Doubles = (images.features @ texts[np.asarray(rows)].T).astype(np.float64) / temperature
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
