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
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, TextStore
from ipo_prompts.metrics.head import Calibrated, Head
from ipo_prompts.metrics.rejection import CONFIDENCE, Threshold, below, calibrated, strangers_found
from ipo_prompts.metrics.template import fill, too_long, written
from ipo_prompts.programs.classifier import TemplateClassifier

Say = Callable[[str], None]


def calibrate(
    classifier: TemplateClassifier,
    searched: EncodedPictures,
    held_back: EncodedPictures | None,
    none: Sequence[str],
    store: FeatureStore,
    say: Say,
) -> Calibrated:
    """Take the margins of labelled pictures.

    Args:
        classifier: with the templates that were found.
        searched: the pictures of the search, with labels.
        held_back: those that were held back to choose; None where none were.
        none: words for what is known to be strange.
        store: keeps the nouns.
        say: told how long the nouns took.
    """
    words = _words(classifier, none)
    parts = [searched] if held_back is None else [searched, held_back]
    grouped = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    return calibrated(
        _identity(classifier, words),
        none,
        features_of(*parts),
        np.concatenate([part.labels for part in parts]),
        [group for groups in grouped for group in groups],
        classifier.class_embeddings(),
        _rows(classifier, words, store, say),
        [number == 1 for number, part in enumerate(parts) for _ in range(len(part))],
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


WORST = 3
"""Classes that are named of those of which most lies below the line."""


def promise_in_words(line: Threshold, margins: Calibrated, share: float, class_names: Sequence[str]) -> tuple[str, str]:
    """Say what a line promises, and what it does to single classes, of which it promises nothing.

    Args:
        line: that of `margins` for the `share` of known pictures.
        class_names: in label order.
    """
    found = strangers_found(margins, share)
    about = (
        "how many strangers it finds was not estimated: the classes are too few"
        if found is None
        else f"at best {found:.0%} of strangers lie below it, by an estimate that leaves halves of the classes out"
    )
    through = "held-back" if line.held_back else "known"
    part = "they helped to choose it" if line.held_back else "it was fitted to them, as too few were held back"
    bound = (
        f"at most {line.bound:.1%} with {CONFIDENCE:.0%} confidence if the template had been chosen without these "
        f"pictures ({part}: more may be)"
    )
    promise = (
        f"rejected is a margin below {line.margin:.4f}, which has place {line.k} among {line.n} {through} pictures: of "
        f"new ones of the classes, of the same kind and mix, {line.promise:.1%} on average, {bound}; {about}."
    )
    return promise, _of_single_classes(below(margins, line), class_names, through)


def _of_single_classes(rows: Sequence[tuple[int, int, int]], class_names: Sequence[str], through: str) -> str:
    """Name the classes of which most lies below the line."""
    worst = [
        f"{printable(str(class_names[label]))!r} {rejected} of {every}" for label, rejected, every in rows if rejected
    ]
    if not worst:
        return ""
    rest = f", {len(worst) - WORST} more have one or more" if len(worst) > WORST else ""
    return (
        f"of single classes nothing is promised; of these {through} pictures lie below the line, the largest shares "
        f"first: {', '.join(worst[:WORST])}{rest}. So few pictures of a class say little of it."
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
