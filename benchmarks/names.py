"""Other names of classes: how much of the cost of bad names comes back, beside a fitted number a class, and controls.

The 68 classes are called rightly (the names that the demo CLIP was taught) or renamed by rule: a synonym of WordNet's,
the plural, a word for a kind of the thing. For each set and draw six of ten pictures a class learn (or two of these
six), four test. The template is the best of the baseline template and the vocabulary by hits, then loss, on all that
learn, under the names as given; then names are searched as `names=search` does it. Rows, in points over the names as
given:

- names: as in a run. offsets: a number for each class fitted to labels, kept where the numbers of two thirds of the
  pictures gain more than their standard error on the others. both: found names, and numbers fitted anew under them.
- right names: a template found under the right names; this is the most that there is to gain.
- permuted: each class chooses among the candidates of another class, with the gate. shuffled: labels say nothing. raw
  loss: labels say nothing, logits are not divided by a temperature, and the loss alone opens the gate.
- asked, with `--lm NAME` alone: candidates of WordNet and of a language model, which is asked once about the names of
  each kind, without confusions; the difference to `names` is printed.

Without labels the benchmark counts which names get a suggestion.

Intervals are the wider of two: clustered by drawing, since all sets and draws show variants of the drawings, and over
sets. Goals that are missed are printed, and make the exit code 1.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.kinds import narrower
from benchmarks.lab.names_table import WAYS, Cell, told
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import best_temperature
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.nouns import synsets
from ipo_prompts.metrics.offsets import Refitted, class_weights, uniform_offsets
from ipo_prompts.metrics.sampling import Sampling, t_quantile
from ipo_prompts.metrics.template import BASELINE, too_long
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs import naming
from ipo_prompts.programs.candidates import ask_for_names, candidates_of
from ipo_prompts.programs.templates.phrases import Vocabulary

SETS = "upside-down+hue,sideways+noise,zoom+edge,small+bright,sideways+dark,upside-down+faded"
"""Sets that nobody examined while the rule, or its place in a search, was designed."""
LEARN, TEST = 6, 4


@dataclass
class Called:
    """The classes under names of one kind, with all templates encoded."""

    names: tuple[str, ...]
    texts: Floats
    """float32 (templates, C, D)."""


@dataclass
class Bed:
    """A CLIP, the templates, and the classes by what they are called."""

    clip: Clip
    templates: list[str]
    called: dict[str, Called]
    asked: dict[str, list[list[str]]]
    """What a language model said besides about names of each kind; empty where none was asked."""


class Drawn(NamedTuple):
    """A set, how many of its classes, and the number of the draw."""

    place: str
    classes: int
    draw: int


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        clip={"default": "embedded", "help": "as in ipo optimize"},
        sets={"default": SETS, "help": "transformations of `embedded:`, with commas between"},
        lm={"default": "", "help": "as in ipo optimize, a local one: asked for candidates, too"},
        prior={"action": "store_true", "help": "only print what those numbers gain over offsets=prior"},
        draws={"type": int, "default": 3, "help": "of the pictures of 68 classes; twice as many of ten classes"},
    )
    sets, draws, small = options.sets.split(","), options.draws, options.small
    if small:
        sets, draws = ["noise+negative"], 1
    if options.prior:
        return beside_prior(bed_of(load_clip(options.clip), 1), sets, draws)
    bed = bed_of(load_clip(options.clip), 8 if small else None)
    if options.lm:
        bed.asked = {way: asked_of(options.lm, called.names) for way, called in bed.called.items()}
    missed = []
    for classes in (68, 10):
        cells: dict[tuple[str, int], list[Cell]] = {(way, shots): [] for shots in (6, 2) for way in WAYS}
        for name in sets:
            pictures, items = encoded(bed, name)
            for draw in range(draws if classes == 68 else 2 * draws):
                for shots in (6, 2):
                    for way, found in cells_of(bed, pictures, items, Drawn(name, classes, draw), shots).items():
                        cells[way, shots].append(found)
        without_labels(bed, sets, classes, 1 if classes == 68 or small else 4)
        for shots in (6, 2):
            missed += told(classes, shots, {way: cells[way, shots] for way in WAYS})
    print("\n" + (scale(50, 4, 200) if small else scale(1000, 12, 16000)))
    for line in missed:
        print(f"missed: {line}")
    raise SystemExit(1 if missed and not small else 0)


def bed_of(clip: Clip, most: int | None) -> Bed:
    """Name the classes in all ways and encode all templates."""
    right = load_data("embedded", seed=0).class_names
    ways = dict(zip(WAYS, (right, synonyms(right), distinct(map(plural, right), right), narrower(right)), strict=True))
    every = [name for names in ways.values() for name in names]
    templates = [BASELINE, *(phrase.template for phrase in Vocabulary.load().usable(every, clip))][:most]
    for way in WAYS[1:]:
        changed = sum(name not in right for name in ways[way])
        print(f"{way}: {changed} of {len(right)} classes, such as {', '.join(ways[way][:6])}")
    texts = {way: encode_templates(clip.model, clip.tokenizer, templates, names) for way, names in ways.items()}
    return Bed(clip, templates, {way: Called(names, texts[way]) for way, names in ways.items()}, {})


def asked_of(lm: str, names: Sequence[str]) -> list[list[str]]:
    """Ask a local language model what else the classes are called."""
    import dspy

    from ipo_prompts.programs.lm.local import local_lm

    engine, model = local_lm(lm)
    asking = dspy.LM(model, engine=engine, temperature=1.0, cache=False, max_tokens=1024)
    found = ask_for_names(asking, "pictures of things", names, {}, 0)
    told = ", ".join(f"{name}: {' / '.join(own)}" for name, own in zip(names, found, strict=True) if own)
    print(f"asked: {sum(map(len, found))} names of {sum(map(bool, found))} of {len(names)} classes: {told[:300]}")
    return found


def synonyms(names: Sequence[str]) -> tuple[str, ...]:
    """Return another word for the first meaning of each name; itself where WordNet has none."""
    meaning = {word.text: number for number, one in synsets().items() for word in one.words if word.sense == 1}
    others = [[word.text for word in synsets()[meaning[name]].words] if name in meaning else [] for name in names]
    return distinct((next((word for word in own if word not in names), "") for own in others), names)


def plural(name: str) -> str:
    """Return the plural by rule: right for most names, and what a folder may be called for all."""
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def distinct(wanted: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names wanted; the old ones where there is none, or another class has it."""
    found: list[str] = []
    for new, old in zip(wanted, names, strict=True):
        found.append(new if new and new not in found and new not in names else old)
    return tuple(found)


def encoded(bed: Bed, name: str) -> tuple[EncodedPictures, list[Any]]:
    """Return all pictures of a set."""
    items = [item for _, item in load_data(f"embedded:{name}", seed=0).items()]
    reward = ClipReward(bed.clip, bed.called["right"].names)
    return reward.encode([one.picture for one in items], [one.label for one in items]), items


def cells_of(bed: Bed, pictures: EncodedPictures, items: Sequence[Any], drawn: Drawn, shots: int) -> dict[str, Cell]:
    """Measure one draw, which is the same whatever the classes are called and however many pictures learn."""
    rng = np.random.default_rng([drawn.draw, drawn.classes])
    own = np.sort(rng.permutation(len(bed.called["right"].names))[: drawn.classes])
    dealt = np.array([rng.permutation(np.flatnonzero(pictures.labels == label)) for label in own])
    fits = shots - max(1, shots // 3)
    learn, fit, other, test = (
        pictures.part(dealt[:, of].ravel(), own)
        for of in (slice(shots), slice(fits), slice(fits, shots), slice(LEARN, None))
    )
    mixed = rng.permutation(learn.labels)
    best = bed.called["right"].texts[chosen(bed, "right", own, learn)][own]
    groups = tuple(items[i].group for i in dealt[:, LEARN:].ravel())
    labels = tuple(own[test.labels].tolist())
    return {
        way: Cell(drawn.place, labels, groups, *measured(bed, way, own, (learn, fit, other, test), mixed, best))
        for way in WAYS
    }


def measured(bed: Bed, way: str, own: Any, parts: Sequence[EncodedPictures], mixed: Any, right: Floats) -> Any:
    """Return what a cell holds of classes that are called in one way; see `Cell`.

    Args:
        bed: the CLIP, templates and classes.
        way: a kind of names, see `WAYS`.
        own: the labels of the classes.
        parts: the pictures that learn, those of them that fit numbers, those that judge the numbers, and the test.
        mixed: the labels of the pictures that learn, shuffled.
        right: the template found under the right names, float32 (C, D).
    """
    learn, fit, other, test = parts
    texts, candidates = texts_of(bed, way, own, chosen(bed, way, own, learn))
    given, swapped = texts[: len(own)], naming.exchanged(candidates)
    every = np.arange(len(learn))
    scaled = np.float32(bed.clip.logit_scale) * learn.features
    labelled = EncodedPictures(scaled, learn.labels, tuple(map(str, every)))
    before = hits(bed, given, test)
    found = naming.find_names(texts, candidates, labelled)
    others = naming.choose_names(texts, swapped, labelled, 0)[0] if found.permuted.opens else every[: len(own)]
    on = hits(bed, given, other, fit) - hits(bed, given, other)
    kept = learn if on.mean() > np.sqrt(Sampling.of(len(on), other.labels.tolist()).these(on).value) else None
    rows = {
        "names": hits(bed, texts[found.chosen], test),
        "offsets": hits(bed, given, test, kept),
        "both": hits(bed, texts[found.chosen], test, kept),
        "right names": hits(bed, right, test),
        "permuted": hits(bed, texts[others], test),
    }
    if bed.asked:
        texts_too, both = texts_of(bed, way, own, chosen(bed, way, own, learn), [bed.asked[way][i] for i in own])
        rows["asked"] = hits(bed, texts_too[naming.find_names(texts_too, both, labelled).chosen], test)
    none = replace(labelled, labels=mixed)
    shuffled = naming.held_back_gain(texts, candidates, none, every % 2, 0)
    with patch.object(naming, "best_temperature", lambda *_: 1.0):
        held = naming.held_back_gain(texts, candidates, none, every % 2, 0)
        opened = held.loss > held.loss_error
        raw = hits(bed, texts[naming.choose_names(texts, candidates, none, 0)[0]], test) if opened else before
    gains = {row: 100 * (after - before) for row, after in rows.items()}
    harm = 100 * float((raw - before).mean())
    opens = found.held.opens, found.permuted.opens, shuffled.opens, opened
    return gains, 100 * float(before.mean()), *opens, harm


def chosen(bed: Bed, way: str, own: Any, learn: EncodedPictures) -> int:
    """Return the number of the template with the most hits, then the lowest loss."""
    reward = ClipReward(bed.clip, [bed.called[way].names[label] for label in own])
    scores = reward.score_embeddings(bed.templates, list(bed.called[way].texts[:, own]), learn)
    return max(range(len(scores)), key=lambda i: scores[i].rank)


def texts_of(
    bed: Bed, way: str, own: Any, best: int, more_names: Sequence[Sequence[str]] = ()
) -> tuple[Floats, list[list[int]]]:
    """Return the texts of some classes under all their names, and for each class its rows."""
    called, template, clip = bed.called[way], bed.templates[best], bed.clip
    names = [called.names[label] for label in own]
    lists = [
        [name for name in more if too_long(template, [name], clip) is None] for more in candidates_of(names, more_names)
    ]
    words = list(dict.fromkeys(name for more in lists for name in more))
    more = encode_templates(clip.model, clip.tokenizer, [template], words)[0]
    row = {name: len(names) + place for place, name in enumerate(words)}
    rows = [[label, *(row[name] for name in others)] for label, others in enumerate(lists)]
    return np.concatenate([called.texts[best][own], more]), rows


def without_labels(bed: Bed, sets: Sequence[str], classes: int, draws: int) -> None:
    """Print how many classes get another name suggested, with the baseline template; half are called wrongly."""
    print(f"\n{classes} classes without labels, half of them called wrongly: share with a suggestion, in %\n")
    print("| called by | wrong names | right | candidates of others: wrong | right | accuracy rises | falls |")
    print("| --- " * 7 + "|")
    reach, seen = patch.object(naming, "SUGGESTED", classes), {place: encoded(bed, place)[0] for place in sets}
    for way in WAYS:
        counts = np.zeros((2, 6))
        for place, draw in product(sets, range(draws)):
            rng = np.random.default_rng(draw)
            own = np.sort(rng.permutation(len(bed.called[way].names))[:classes])
            half = rng.random(classes) < 0.5
            pictures = seen[place].part(np.flatnonzero(np.isin(seen[place].labels, own)).tolist(), own.tolist())
            mixed = [bed.called[way if wrong else "right"] for wrong in half]
            names = [called.names[label] for called, label in zip(mixed, own, strict=True)]
            given = np.stack([called.texts[0][label] for called, label in zip(mixed, own, strict=True)])
            right = [bed.called["right"].names[label] for label in own]
            wrong = np.array([name != true for name, true in zip(names, right, strict=True)])
            one = Called(tuple(names), given[None])
            texts, rows = texts_of(replace(bed, called={way: one}), way, np.arange(classes), 0)
            before = hits(bed, given, pictures).mean()
            tried: Any = (rows, naming.exchanged(rows))
            for other, candidates in enumerate(tried):
                with reach:
                    found = naming.suggest(texts, candidates, np.float32(bed.clip.logit_scale) * pictures.features)
                after = []
                for name in found:
                    changed = given.copy()
                    changed[name.label] = texts[name.row]
                    after.append(hits(bed, changed, pictures).mean() - before)
                met = sum(wrong[name.label] for name in found)
                ends = sum(np.array(after) > 0), sum(np.array(after) < 0)
                counts[other] += [met, wrong.sum(), len(found) - met, (~wrong).sum(), *ends]
        shares = [100 * row[k] / max(row[k + 1], 1) for row in counts for k in (0, 2)]
        effects = [100 * counts[0, k] / max(counts[0, 0] + counts[0, 2], 1) for k in (4, 5)]
        print(f"| {way} | " + " | ".join(f"{share:.0f}" for share in (*shares, *effects)) + " |", flush=True)


def hits(bed: Bed, classes: Floats, pictures: EncodedPictures, fitted: EncodedPictures | None = None) -> Doubles:
    """Return the hits of pictures, (n,); with `fitted`, numbers of the classes are first fitted to its labels."""
    logits = bed.clip.logit_scale * (pictures.features @ classes.T)
    if fitted is not None:
        logits = logits + labelled_offsets(bed.clip.logit_scale * (fitted.features @ classes.T), fitted.labels)
    right: Doubles = (logits.argmax(axis=1) == pictures.labels).astype(np.float64)
    return right


def beside_prior(bed: Bed, sets: Sequence[str], draws: int) -> None:
    """Print what numbers that fit labels gain over those of `offsets=prior`, which sees none, with the baseline
    template.
    """
    own = np.arange(len(bed.called["right"].names))
    gains: dict[str, list[float]] = {way: [] for way in WAYS}
    for name in sets:
        pictures, _ = encoded(bed, name)
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for draw in range(draws):
            rng = np.random.default_rng([draw, len(own)])
            dealt = np.array([rng.permutation(np.flatnonzero(pictures.labels == label)) for label in own])
            learn, test = (pictures.part(dealt[:, of].ravel(), own) for of in (slice(LEARN), slice(LEARN, None)))
            for way in WAYS:
                classes = bed.called[way].texts[0]
                prior = replace(test, offsets=Refitted(learn.features))
                other = ClipReward(bed.clip, bed.called[way].names).score_embeddings([BASELINE], [classes], prior)[0]
                found[way].append(100 * float((hits(bed, classes, test, learn) - other.hits).mean()))
        for way in WAYS:
            gains[way].append(float(np.mean(found[way])))
    for way, values in gains.items():
        mean, n = np.mean(values), len(values)
        half = t_quantile(n - 1, 0.95) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.inf
        print(f"{way}: {mean:+.1f} points [{mean - half:+.1f}, {mean + half:+.1f}] over {n} sets, {draws} draws each")


def labelled_offsets(logits: Floats, labels: Any) -> Floats:
    """Find the offsets b for which softmax((logits + b) / t) fits labels, with the best t: (n, C) → float32 (C,).

    Either is the best for the other, in turns; more than four moved no number by a hundredth. Each class weighs the
    same.
    """
    offsets, weights = np.zeros(logits.shape[1], dtype=np.float32), class_weights(labels)
    for _ in range(4):
        temperature = np.float32(best_temperature(logits + offsets, labels))
        offsets = temperature * uniform_offsets(logits / temperature, weights)
    return offsets


def scale(classes: int, names: int, pictures: int) -> str:
    """Time a search for names on random features, in which the second name of each class is the one to find."""
    rng, width = np.random.default_rng(0), 512

    def unit(rows: Any) -> Floats:
        made: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return made

    texts = unit(rng.normal(size=(classes * names, width)))
    others = classes + (names - 1) * np.arange(classes)
    labels = np.repeat(np.arange(classes), pictures // classes)
    noise = rng.normal(size=(len(labels), width)) / np.sqrt(width)
    features = 100 * unit(0.06 * texts[labels] + 0.2 * texts[others[labels]] + noise)
    shown = EncodedPictures(features, labels, tuple(map(str, range(len(labels)))))
    own = [[label, *range(start, start + names - 1)] for label, start in enumerate(others.tolist())]
    started = time.process_time()
    found = naming.find_names(texts, own, shown)
    right = int((found.chosen == others).sum())
    spent = f"{time.process_time() - started:.1f} seconds of a processor"
    return f"{classes:,} classes, {names} names of each, {len(labels):,} pictures: {right:,} found in {spent}"


if __name__ == "__main__":
    main()
