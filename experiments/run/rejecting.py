"""Rejecting pictures that show none of the classes: a program's common nouns, and the margins a run leaves with it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ipo_prompts.experiments.data.wordnet import strangers
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import EncodedPictures, features_of
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.head import Head
from ipo_prompts.metrics.rejection import CONFIDENCE, Calibrated, Threshold, calibrated
from ipo_prompts.metrics.store import TextStore
from ipo_prompts.metrics.template import fill, too_long, written
from ipo_prompts.programs.classifier import TemplateClassifier

Say = Callable[[str], None]


def calibrate(
    classifier: TemplateClassifier,
    parts: Sequence[EncodedPictures],
    none: Sequence[str],
    store: FeatureStore,
    say: Say,
) -> Calibrated:
    """Take the margins of labelled pictures, part after part; those of the search serve as well as held-back ones.

    Args:
        classifier: with the templates that were found.
        parts: the pictures, with labels.
        none: words for what is known to be strange.
        store: keeps the nouns.
        say: told how long the nouns took.
    """
    words = _words(classifier, none)
    grouped = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    return calibrated(
        _identity(classifier, words),
        none,
        features_of(*parts),
        np.concatenate([part.labels for part in parts]),
        [group for groups in grouped for group in groups],
        classifier.class_embeddings(),
        _rows(classifier, words, store, say),
    )


def rejecting(classifier: TemplateClassifier, say: Say) -> tuple[Head, Calibrated]:
    """Return what a program decides with, with the rows of what is none of its classes, and the margins it has.

    Raises:
        InputError: it has no margins, or they are those of another CLIP, template, names or words.
    """
    margins = classifier.rejection
    if margins is None:
        raise InputError(
            "this program has no margins of known pictures, by which --reject could tell others; optimise with ipo "
            "optimize on labelled pictures, and name the run."
        )
    words = _words(classifier, margins.none)
    if _identity(classifier, words) != margins.fingerprint:
        raise InputError(
            "the margins of this program were taken with another CLIP, template, class names, background or list of "
            "words, and promise nothing for this one; optimise again, or leave --reject out."
        )
    rows = _rows(classifier, words, FeatureStore(classifier.clip), say)
    return replace(classifier.head(), others=rows), margins


def promise_in_words(line: Threshold, found: float | None) -> str:
    """Say what a line promises, and what it does not."""
    about = (
        "how many strangers it finds was not estimated: the classes are too few"
        if found is None
        else f"at best {found:.0%} of strangers lie below it, by an estimate that leaves halves of the classes out"
    )
    return (
        f"rejected is a margin below {line.margin:.4f}, which has place {line.k} among {line.n} known pictures: of new "
        f"ones of the classes, of the same kind and mix, {line.promise:.1%} on average, at most {line.bound:.1%} with "
        f"{CONFIDENCE:.0%} confidence; {about}."
    )


def _words(classifier: TemplateClassifier, none: Sequence[str]) -> tuple[str, ...]:
    """Return the words that fit into the longest template."""
    longest = max(
        (template for template, _ in classifier.templates), key=lambda one: classifier.clip.count(fill(one, ""))
    )
    words = strangers(classifier.class_names, none)
    return tuple(word for word in words if too_long(longest, [word], classifier.clip) is None)


def _identity(classifier: TemplateClassifier, words: Sequence[str]) -> str:
    """Return a digest of all that a margin depends on."""
    clip, names = classifier.clip, written(classifier.class_names)
    content = [clip.fingerprint, clip.precision, classifier.background, classifier.templates, names, words]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _rows(classifier: TemplateClassifier, words: Sequence[str], store: FeatureStore, say: Say) -> Floats:
    """Return the embeddings of words, float32 (V, D), unit rows; they are encoded once and kept."""
    texts, started = TextStore(classifier.clip, store.path.with_suffix(".texts.sqlite")), time.monotonic()
    kept = texts.encode([template for template, _ in classifier.templates], words)
    if texts.encoded:
        spent = time.monotonic() - started
        say(f"encoded {len(words):,} common nouns in {spent:.1f} s, to tell what is none of the classes; they are kept")
    if len(kept) == 1:
        return kept[0]
    weights = [weight for _, weight in classifier.templates]
    sums = np.einsum("t,tvd->vd", weights, np.stack(kept), dtype=np.float64)
    rows: Floats = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return rows
