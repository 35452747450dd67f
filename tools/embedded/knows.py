"""Measures what the CLIP knows of words that no caption said of an image, and what composing words is worth.

``python -m tools.embedded.knows OUT WORK`` prints the result as JSON. ``before.json`` is the result for the model of
the revision that it names.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from ipo_prompts.experiments.embedded import CLEAN_DOMAIN
from ipo_prompts.experiments.embedded.shifts import name_of_set
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import BASELINE, SLOT
from tools.embedded import raster, words
from tools.embedded.captions import article
from tools.embedded.concepts import list_strangers, read_emojis
from tools.embedded.domains import draw
from tools.embedded.images import lossless
from tools.embedded.measure import Hits, Part, Shipped, hits, standard_error
from tools.embedded.suite import PAIRS, Pair
from tools.embedded.tint import tint
from tools.embedded.vocabulary import UNTAUGHT, WORDS

SEED: Final = 0
COMPOSITIONS: Final = 2_000
_ALIKE: Final = 0.999
"""Cosine of the embeddings of two words from which on the CLIP cannot tell the words apart."""
_FAR: Final = 0.08


def measure(out: Path, npm: Path, english: Path) -> dict[str, Any]:
    """Return all measures below for the model in ``out``; ``npm`` and ``english`` hold drawings and the word list."""
    shipped = Shipped(out)
    composed = compositions(shipped, PAIRS)
    return {
        **synonyms(shipped),
        **phrases(shipped),
        **strangers(shipped, npm),
        **equal_words(shipped, english),
        "means": means(composed),
        "compositions": composed,
    }


def synonyms(shipped: Shipped) -> dict[str, Any]:
    """Measure clean test images of classes with an untaught synonym, among all classes, by either name."""
    known: dict[str, str] = yaml.safe_load(Path(__file__).with_name("synonyms.yaml").read_text("utf-8"))
    test = shipped.part(CLEAN_DOMAIN, "test")
    renamed = [known.get(name, name) for name in shipped.classes]
    keep = np.isin(test.labels, [i for i, name in enumerate(shipped.classes) if name in known])
    part = Part(test.features[keep], test.labels[keep])
    texts = np.stack([shipped.named(BASELINE, names) for names in (shipped.classes, renamed)])
    names, others = hits(part, texts)
    return {"synonym_images": int(keep.sum()), "names": _score(names, part), "synonyms": _score(others, part)}


def phrases(shipped: Shipped) -> dict[str, Any]:
    """Measure test images of every transformation by the baseline template, a taught phrase and its untaught twin.

    The error is the error of the gain over the baseline template, over transformations.
    """
    accuracy = np.array(
        [
            hits(shipped.shifted((transformation,), "test"), shipped.texts([BASELINE, taught, untaught])).mean(1)
            for transformation, (untaught, taught) in UNTAUGHT.items()
        ]
    )
    gain = accuracy - accuracy[:, :1]
    error = gain.std(0, ddof=1) / len(gain) ** 0.5
    return {
        "phrases": {
            name: {"accuracy": round(float(accuracy[:, k].mean()), 4), "gain_se": round(float(error[k]), 4)}
            for k, name in enumerate(("baseline", "taught", "untaught"))
        }
    }


def strangers(shipped: Shipped, npm: Path) -> dict[str, Any]:
    """Measure images of kinds of things that no training image shows, among themselves, by their names."""
    modules = npm / "node_modules"
    concepts = list_strangers(read_emojis(modules))
    drawings, pixels = raster.rasterise(modules, concepts)
    images = draw([(p.name, rgba) for p, rgba in zip(drawings, tint(drawings, pixels), strict=True)], CLEAN_DOMAIN)
    names = [concept.name for concept in concepts]
    labels = np.array([names.index(drawing.concept) for drawing in drawings])
    part = Part(shipped.encode([LazyImage.from_bytes("a stranger", lossless(image)) for image in images]), labels)
    (right,) = hits(part, shipped.named(BASELINE, names)[None])
    return {"stranger_kinds": len(names), "stranger_images": len(labels), "strangers": _score(right, part)}


def equal_words(shipped: Shipped, english: Path) -> dict[str, Any]:
    """Count how many of the common words share their embedding with another word."""
    common = words.read(english / "node_modules", words.COMMON)
    embedded = shipped.named(BASELINE, common)
    alike = 0
    for start in range(0, len(common), 1024):
        cosines = embedded[start : start + 1024] @ embedded.T
        alike += int(((cosines > _ALIKE).sum(1) > 1).sum())
    return {"common_words": len(common), "equal_words": alike}


def compositions(shipped: Shipped, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return test accuracies on pairs of transformations: of the baseline template and of the best of either `pool`.

    The validation images choose the best template.
    """
    singles, composed = pool()
    texts = {"single": shipped.texts(singles), "composed": shipped.texts(composed)}
    templates = {"single": singles, "composed": composed}
    found = []
    for pair in pairs:
        few, many = shipped.shifted(pair, "val"), shipped.shifted(pair, "test")
        row: dict[str, Any] = {
            "set": name_of_set(pair),
            "baseline": round(hits(many, texts["single"][:1]).mean(), 4),
        }
        for kind, embedded in texts.items():
            best = int(hits(few, embedded).mean(1).argmax())
            row[kind] = round(float(hits(many, embedded[best : best + 1]).mean()), 4)
            row[f"{kind}_template"] = templates[kind][best]
        found.append(row)
    return found


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return mean accuracies over the pairs, in percent, and how often the composed template is 8 points above."""
    kinds = ("baseline", "single", "composed")
    far = sum(row["composed"] - row["single"] >= _FAR for row in rows)
    return {**{kind: round(100 * float(np.mean([row[kind] for row in rows])), 2) for kind in kinds}, "far": far}


def pool() -> tuple[list[str], list[str]]:
    """Return the baseline template with every taught adjective and tail alone; and, by seed, adjectives with tails of
    another transformation.
    """
    adjectives = [(transformation, word) for transformation, said in WORDS.items() for word in said.adjectives]
    tails = [(transformation, word) for transformation, said in WORDS.items() for word in said.tails]
    singles = [f"{article(word)} photo of a {SLOT}." for _, word in adjectives]
    singles += [f"a photo of a {SLOT} {word}." for _, word in tails]
    rng = random.Random(SEED)
    composed: dict[str, None] = {}
    while len(composed) < COMPOSITIONS:
        (one, adjective), (other, tail) = rng.choice(adjectives), rng.choice(tails)
        if one != other:
            composed[f"{article(adjective)} photo of a {SLOT} {tail}."] = None
    return [BASELINE, *dict.fromkeys(singles)], list(composed)


def _score(right: Hits, part: Part) -> dict[str, float]:
    return {
        "accuracy": round(right.mean(), 4),
        "se": standard_error(right, part),
    }


if __name__ == "__main__":
    import sys

    folder, work = map(Path, sys.argv[1:])
    print(json.dumps(measure(folder, work / "npm", work / "english"), indent=1))
