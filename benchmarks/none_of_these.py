"""None of these: which score tells strangers from pictures of the classes, and whether the promise of a line is kept.

Prints Markdown tables for the shipped pictures under pairs of transformations:

- scores: half of the classes are known, the others strangers, `--splits` times. The template is the best of the
  baseline template and the vocabulary by hits on six pictures of each known class; the other pictures test. Beside the
  shipped margin stand variants of its words, and controls: random vectors, and the words turned by a random rotation.
- estimates: the share of strangers below a line, as a run estimates it from its own classes, and as it is.
- names that are too narrow: the classes are called by a kind of them, such as "hound" for a dog.
- lines: all classes are known; the line is drawn through a few pictures of each class, for the initial template and for
  the template that they chose. The others test: the share rejected, and how often it, or chance, is above the bound.
- single classes: how many have more than twice the share below a line, and the worst.
- lines after a search: a third of the classes; `compose` searches on four pictures of each and two more choose, as in a
  run. One line is drawn through all of these, one through the two; also for the initial template, on the same draws.
- moved: the line and the template of one set on the pictures of another set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import betabinom

from benchmarks.common import arguments
from benchmarks.lab.kinds import narrower
from benchmarks.label_free import header
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.wordnet import STRANGERS, own_words
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.head import highest
from ipo_prompts.metrics.nouns import common
from ipo_prompts.metrics.rejection import auroc, calibrated, line_through, share_below, strangers_found, threshold
from ipo_prompts.metrics.template import BASELINE, as_read
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.running import Job, run
from ipo_prompts.programs.strategies.compose import Compose
from ipo_prompts.programs.templates.phrases import Vocabulary
from ipo_prompts.programs.templates.settings import SearchSettings

SETS = "upside-down+sepia,sideways+gray,zoom+sepia,small+hue,zoom+pixel,upside-down+bright"
SHARE = 0.05
SEARCHED = 6
"""Pictures of a known class that choose the template."""
SHOTS, CHOOSE = 4, 2
"""Pictures of a class with which a run searches, and chooses."""
SCORES = {
    "prob": "max probability",
    "cosine": "max cosine",
    "margin": "margin",
    "in": "hypernyms in",
    "out": "no word of any class",
    "told": "strangers told in `none:`",
    "random": "random vectors",
    "rotated": "rotated words",
}


@dataclass(frozen=True)
class Bed:
    """A set: pictures of all classes with their features, and all templates encoded with the names of the classes."""

    name: str
    clip: Clip
    names: tuple[str, ...]
    units: EncodedPictures
    templates: Sequence[str]
    texts: Floats
    nouns: dict[str, Floats]
    """Template → the common nouns in it; kept for all sets."""
    margins: dict[tuple[str, tuple[str, ...]], Doubles]
    """Template and names → the margins of all pictures where all classes are known; those of this set."""
    worth: list[Any]
    """Hits and losses of each template on each picture, two (T, n), where all classes are known; made when asked."""

    def best_of_all(self, pictures: Any) -> int:
        """Return what `best` returns where all classes are known; fast enough for many calls."""
        if not self.worth:
            scores = ClipReward(self.clip, self.names).score_embeddings(self.templates, list(self.texts), self.units)
            self.worth.extend(
                [np.stack([score.hits for score in scores]), np.stack([score.losses for score in scores])]
            )
        hits, losses = (table[:, pictures].mean(axis=1) for table in self.worth)
        return int(np.lexsort((losses, -hits))[0])

    def best(self, pictures: Any, classes: Any) -> int:
        """Return the number of the template with the most hits, then the lowest loss, among the classes."""
        part = self.units.part(pictures, classes)
        reward = ClipReward(self.clip, self.names)
        scores = reward.score_embeddings(self.templates, list(self.texts[:, classes]), part)
        return max(range(len(scores)), key=lambda i: scores[i].rank)

    def words(self, template: str) -> Floats:
        """Return the common nouns in a template: float32 (STRANGERS, D)."""
        if template not in self.nouns:
            self.nouns[template] = encode(self.clip, template, common(STRANGERS))
        return self.nouns[template]


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        clip={"default": "embedded", "help": "as in ipo optimize"},
        sets={"default": SETS, "help": "transformations of `embedded:`, with commas between"},
        splits={"type": int, "default": 6, "help": "of the classes into known ones and strangers; 0: lines only"},
        draws={"type": int, "default": 20, "help": "of the pictures that a line is drawn through; 0: none"},
        composed={"type": int, "default": 5, "help": "of the pictures that compose searches and chooses with"},
        steps={"type": int, "default": 4, "help": "of compose"},
    )
    if options.small:
        options.sets, options.splits, options.draws, options.steps = "upside-down+sepia,sideways+gray", 1, 1, 1
        options.composed = 1
    clip = load_clip(options.clip)
    beds = beds_of(clip, options.sets.split(","), 12 if options.small else None)
    if options.splits:
        scores(beds, options.splits)
        estimates(beds, options.splits)
        narrow(beds, options.splits)
    if options.draws:
        lines(beds[:4], options.draws)
        single_classes(beds[:4], options.draws)
        moved(beds[:4])
    if options.composed:
        lines_after_a_search(beds[:4], options.composed, options.steps)


def beds_of(clip: Clip, sets: Sequence[str], most: int | None) -> list[Bed]:
    """Encode the pictures of all sets, and the templates once."""
    names = load_data("embedded", seed=0).class_names
    templates = [BASELINE, *(phrase.template for phrase in Vocabulary.load().usable(names, clip))][:most]
    texts, nouns = encode_templates(clip.model, clip.tokenizer, templates, names), dict[str, Floats]()
    reward, beds = ClipReward(clip, names), []
    for name in sets:
        items = [item for _, item in load_data(f"embedded:{name}", seed=0).items()]
        units = reward.encode([item.picture for item in items], [item.label for item in items])
        beds.append(Bed(name, clip, names, units, templates, texts, nouns, {}, []))
    return beds


def encode(clip: Clip, template: str, words: Sequence[str]) -> Floats:
    """Return texts of one template: float32 (n, D)."""
    rows: Floats = encode_templates(clip.model, clip.tokenizer, [template], words)[0]
    return rows


# Scores.


def scores(beds: Sequence[Bed], splits: int) -> None:
    """Print the AUROC of all scores, and how many strangers pass where 95 % of known pictures do."""
    print("\nAUROC; for three scores also the strangers in % that pass where 95 % of the known pictures do.\n")
    header("set", "accuracy", *SCORES.values(), "passing: " + " / ".join(list(SCORES.values())[:3]))
    rows = [np.mean([one_split(bed, split) for split in range(splits)], axis=0) for bed in beds]
    for bed, row in zip(beds, rows, strict=True):
        print_row(bed.name, row)
    print_row("mean", np.mean(rows, axis=0))
    areas = np.array(rows)[:, 1 : 1 + len(SCORES)]
    for other in (0, 1):
        gain = areas[:, 2] - areas[:, other]
        print(f"\nMargin less {list(SCORES.values())[other]}: {gain.mean():+.3f}, least of a set {gain.min():+.3f}.")


def print_row(name: str, row: Doubles) -> None:
    """Print one line: accuracy, an area for each score, and three shares that pass."""
    areas = " | ".join(f"{area:.3f}" for area in row[1 : 1 + len(SCORES)])
    passing = " / ".join(f"{100 * share:.0f}" for share in row[1 + len(SCORES) :])
    print(f"| {name} | {100 * row[0]:.1f} | {areas} | {passing} |", flush=True)


def one_split(bed: Bed, split: int) -> Doubles:
    """Return the accuracy among known classes, the AUROC of each score, and the strangers that pass of three."""
    known, searched, tested, strange = parted(bed, split)
    best = bed.best(searched, known)
    found = scored(bed, split, known, best)
    labels = np.asarray(bed.units.labels)
    logits = bed.units.features[tested] @ bed.texts[best][known].T
    accuracy = float((known[logits.argmax(axis=1)] == labels[tested]).mean())
    areas = [auroc(found[name][tested], found[name][strange]) for name in SCORES]
    passing = [
        1 - float(share_below(found[name][strange], np.quantile(found[name][tested], [SHARE]))[0])
        for name in list(SCORES)[:3]
    ]
    return np.array([accuracy, *areas, *passing])


def parted(bed: Bed, split: int) -> tuple[Any, Any, Any, Any]:
    """Halve the classes: known classes, pictures of them that search, their others, pictures of the strangers."""
    rng, labels = np.random.default_rng(split), np.asarray(bed.units.labels)
    known = np.sort(rng.permutation(len(bed.names))[: len(bed.names) // 2])
    searched = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:SEARCHED] for label in known])
    own = np.flatnonzero(np.isin(labels, known))
    return known, searched, np.setdiff1d(own, searched), np.setdiff1d(np.arange(len(labels)), own)


def scored(bed: Bed, split: int, known: Any, best: int) -> Mapping[str, Floats]:
    """Return each score of all pictures, (n,)."""
    rng, template, features = np.random.default_rng(1000 + split), bed.templates[best], bed.units.features
    classes, nouns = bed.texts[best][known], bed.words(template)
    names = [bed.names[i] for i in known]
    others = [name for i, name in enumerate(bed.names) if i not in set(known.tolist())]
    cosine = highest(features, classes)
    width = nouns.shape[1]
    noise = rng.standard_normal((STRANGERS, width)).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    shipped = nouns[kept(own_words(names))]
    rows = {
        "margin": shipped,
        "in": nouns[kept(own_words(names, hypernyms=False))],
        "out": nouns[kept(own_words(bed.names))],
        "told": np.concatenate([shipped, encode(bed.clip, template, others)]),
        "random": noise / np.linalg.norm(noise, axis=1, keepdims=True),
        "rotated": shipped @ rotation,
    }
    probable = softmax(np.float32(bed.clip.logit_scale) * (features @ classes.T)).max(axis=1)
    return {"prob": probable, "cosine": cosine} | {
        name: cosine - highest(features, words) for name, words in rows.items()
    }


def kept(own: set[str]) -> Any:
    """Return which of the common nouns are not among these: bool (STRANGERS,)."""
    return np.array([as_read(word) not in own for word in common(STRANGERS)])


# Estimates.


def estimates(beds: Sequence[Bed], splits: int) -> None:
    """Print which share of strangers lies below a line, and what leaving classes out says of it."""
    print(
        f"\nStrangers in % below the line for {SHARE:.0%}: as estimated with halves of the known left out, and found.\n"
    )
    header("set", "estimated", "found", "estimated, of a split", "found, of a split")
    for bed in beds:
        pairs = 100 * np.array([one_estimate(bed, split) for split in range(splits)])
        ends = " | ".join(
            f"{low:.0f} to {high:.0f}" for low, high in zip(pairs.min(axis=0), pairs.max(axis=0), strict=True)
        )
        print(f"| {bed.name} | {pairs[:, 0].mean():.1f} | {pairs[:, 1].mean():.1f} | {ends} |", flush=True)


def one_estimate(bed: Bed, split: int) -> tuple[float, float]:
    """Return the share of strangers that is estimated, and the one that is found."""
    known, searched, _, strange = parted(bed, split)
    best = bed.best(searched, known)
    features, classes = bed.units.features, bed.texts[best][known]
    others = bed.words(bed.templates[best])[kept(own_words([bed.names[i] for i in known]))]
    labels = np.searchsorted(known, np.asarray(bed.units.labels)[searched])
    told = calibrated("", (), features[searched], labels, None, classes, others)
    margins = highest(features[strange], classes) - highest(features[strange], others)
    return strangers_found(told, SHARE) or 0.0, float((margins < threshold(told, SHARE).margin).mean())


# Names that are too narrow.


def narrow(beds: Sequence[Bed], splits: int) -> None:
    """Print what hypernyms do where classes are called by a kind of them."""
    names = narrower(beds[0].names)
    clip = beds[0].clip
    texts = encode_templates(clip.model, clip.tokenizer, beds[0].templates, names)
    called = [replace(bed, names=names, texts=texts, margins={}, worth=[]) for bed in beds]
    changed = sum(name not in beds[0].names for name in names)
    print(
        f"\nThe same with names that are too narrow for {changed} of {len(names)} classes ({', '.join(names[:5])} …).\n"
    )
    chosen = ("cosine", "margin", "in")
    header("set", "accuracy", *(SCORES[name] for name in chosen))
    places = [0, *(1 + list(SCORES).index(name) for name in chosen)]
    rows = [np.mean([one_split(bed, split)[places] for split in range(splits)], axis=0) for bed in called]
    for name, row in [*zip([bed.name for bed in beds], rows, strict=True), ("mean", np.mean(rows, axis=0))]:
        print(f"| {name} | {100 * row[0]:.1f} | " + " | ".join(f"{area:.3f}" for area in row[1:]) + " |", flush=True)


# Lines.


def lines(beds: Sequence[Bed], draws: int) -> None:
    """Print what lines reject of known pictures, over draws and sets."""
    print(f"\nLines for {SHARE:.0%}, {draws} draws of each of {len(beds)} sets.\n")
    header("template", "pictures", "promised, k/(n+1)", "rejected, mean", "most", "above the bound", "by chance")
    for a_class in (1, 2, SEARCHED):
        for how in ("initial", "best of the vocabulary"):
            found = [one_line(bed, a_class, how, draw) for bed in beds for draw in range(draws)]
            rejected, above, chance = np.array([row[2:] for row in found]).T
            print(
                f"| {how} | {found[0].pictures} | {100 * found[0].promised:.1f} | {100 * rejected.mean():.1f} | "
                f"{100 * rejected.max():.1f} | {100 * above.mean():.0f} % | {100 * chance.mean():.0f} % |",
                flush=True,
            )


class Outcome(NamedTuple):
    """The result of a line: the number of pictures it is drawn through, the promise, the share of the others that it
    rejects, whether the share is above the bound, and the chance of that.
    """

    pictures: int
    promised: float
    rejected: float
    above: float
    chance: float


def one_line(bed: Bed, a_class: int, how: str, draw: int) -> Outcome:
    """Draw pictures of each class, choose a template, and see what the line does to the others."""
    rng, labels = np.random.default_rng([draw, a_class]), np.asarray(bed.units.labels)
    everything = np.arange(len(bed.names))
    drawn = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:a_class] for label in everything])
    best = 0 if how == "initial" else bed.best_of_all(drawn)
    margins = margins_of(bed, bed.templates[best], bed.texts[best], bed.names)
    return outcome_of(margins, drawn, np.setdiff1d(np.arange(len(labels)), drawn))


def outcome_of(margins: Doubles, drawn: Any, tested: Any) -> Outcome:
    """Draw a line through some pictures' margins, and see what it does to others."""
    rule = line_through(np.sort(margins[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
    rejected, m = float((margins[tested] < rule.margin).mean()), len(tested)
    chance = float(betabinom.sf(np.floor(rule.bound * m), m, rule.k, rule.n + 1 - rule.k))
    return Outcome(len(drawn), rule.promise, rejected, float(rejected > rule.bound), chance)


def margins_of(bed: Bed, template: str, classes: Floats, names: Sequence[str]) -> Doubles:
    """Return the margins of all pictures as they ship, (n,)."""
    key = template, tuple(map(str, names))
    if key not in bed.margins:
        others = bed.words(template)[kept(own_words(names))]
        margins = highest(bed.units.features, classes) - highest(bed.units.features, others)
        bed.margins[key] = margins.astype(np.float64)
    return bed.margins[key]


def single_classes(beds: Sequence[Bed], draws: int) -> None:
    """Print what lines of the initial template do to single classes, and would do if all were alike."""
    print(
        f"\nSingle classes: lines for {SHARE:.0%} through {CHOOSE} pictures of each of {len(beds[0].names)} classes, "
        f"the others test; means of {draws} draws, in %. Alike: the same with the classes of the tested shuffled.\n"
    )
    header(
        "set", "rejected", "classes above twice the share", "worst class", "alike: above twice", "alike: worst class"
    )
    for bed in beds:
        margins, labels = margins_of(bed, bed.templates[0], bed.texts[0], bed.names), np.asarray(bed.units.labels)
        rows = []
        for draw in range(draws):
            rng = np.random.default_rng([draw, CHOOSE])
            order = rng.permutation(len(labels))
            drawn = np.concatenate([order[labels[order] == label][:CHOOSE] for label in range(len(bed.names))])
            tested = np.setdiff1d(order, drawn)
            line = line_through(np.sort(margins[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
            below, found = margins[tested] < line.margin, []
            for of in (labels[tested], rng.permutation(labels[tested])):
                shares = np.bincount(of, below) / np.bincount(of)
                found += [(shares > 2 * SHARE).mean(), shares.max()]
            rows.append([below.mean(), *found])
        print(
            f"| {bed.name} | " + " | ".join(f"{100 * value:.0f}" for value in np.mean(rows, axis=0)) + " |", flush=True
        )


def lines_after_a_search(beds: Sequence[Bed], draws: int, steps: int) -> None:
    """Print what lines reject where `compose` chose, and on the same draws where nothing was chosen."""
    thirds = [third_of(bed) for bed in beds]
    found: dict[tuple[str, str], list[Outcome]] = {}
    for draw in range(draws):
        for bed in thirds:
            for key, one in one_search(bed, draw, steps).items():
                found.setdefault(key, []).append(one)
    print(
        f"\nLines for {SHARE:.0%} where a search chose, {draws} draws of each of {len(beds)} sets with "
        f"{len(thirds[0].names)} classes; {steps} steps.\n"
    )
    header("template", "line through", "pictures", "promised", "rejected, mean", "most", "above the bound", "by chance")
    for (how, through), rows in found.items():
        rejected, above, chance = (100 * np.array(column) for column in list(zip(*rows, strict=True))[2:])
        print(
            f"| {how} | {through} | {rows[0].pictures} | {100 * rows[0].promised:.1f} | {rejected.mean():.1f} | "
            f"{rejected.max():.1f} | {above.mean():.1f} % | {chance.mean():.1f} % |",
            flush=True,
        )


def third_of(bed: Bed) -> Bed:
    """Return a set with every third class alone."""
    known = np.arange(0, len(bed.names), 3)
    own = np.flatnonzero(np.isin(np.asarray(bed.units.labels), known))
    names = tuple(bed.names[i] for i in known)
    units = replace(bed.units.part(own, known), classes=None)  # a set of its own
    return replace(bed, names=names, units=units, texts=bed.texts[:, known], margins={}, worth=[])


def one_search(bed: Bed, draw: int, steps: int) -> Mapping[tuple[str, str], Outcome]:
    """Search as a run does, and return what the lines do, by template and by what they are drawn through."""
    rng, labels = np.random.default_rng([draw, SHOTS + CHOOSE]), np.asarray(bed.units.labels)
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(bed.names))]
    searched, chose = (
        np.concatenate([order[part] for order in orders]) for part in (slice(SHOTS), slice(SHOTS, SHOTS + CHOOSE))
    )
    reward = ClipReward(bed.clip, bed.names)
    job = Job(
        SearchSettings(steps=steps, seed=draw),
        reward,
        bed.units.part(searched),
        bed.units.part(chose),
        lambda lm: Compose(),
    )
    templates = {"initial": BASELINE, "compose": run(job).result.choice.template}
    shown = np.concatenate([searched, chose])
    tested = np.setdiff1d(np.arange(len(labels)), shown)
    found = {}
    for how, template in templates.items():
        margins = margins_of(bed, template, encode(bed.clip, template, bed.names), bed.names)
        for through, drawn in (("all", shown), ("those that chose", chose)):
            found[how, through] = outcome_of(margins, drawn, tested)
    return found


def moved(beds: Sequence[Bed]) -> None:
    """Print what lines reject on other sets than their own."""
    print("\nLines of one set on the pictures of another, rejected in %: each other set's, then the mean.\n")
    header("line of", "score", *(bed.name for bed in beds), "mean of the others")
    for bed in beds:
        rng, labels = np.random.default_rng(0), np.asarray(bed.units.labels)
        everything = np.arange(len(bed.names))
        drawn = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:2] for label in everything])
        tested = np.setdiff1d(np.arange(len(labels)), drawn)
        best = bed.best_of_all(drawn)
        for score in ("margin", "max cosine"):
            values = [
                margins_of(other, bed.templates[best], bed.texts[best], bed.names)
                if score == "margin"
                else highest(other.units.features, bed.texts[best]).astype(np.float64)
                for other in beds
            ]
            own = values[beds.index(bed)]
            rule = line_through(np.sort(own[drawn]), np.ones(len(drawn), dtype=np.int64), SHARE)
            shares = [100 * float((value[tested] < rule.margin).mean()) for value in values]
            others = [share for share, other in zip(shares, beds, strict=True) if other is not bed]
            cells = " | ".join(f"{share:.1f}" for share in shares)
            print(f"| {bed.name} | {score} | {cells} | {np.mean(others):.1f} |", flush=True)


if __name__ == "__main__":
    main()
