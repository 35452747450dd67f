"""Labelling picture files with a saved program, and rejecting those that show none of its classes.

Files are read ahead by threads, and classified in batches. What is rejected lies below a margin to a program's common
nouns, taken of the labelled pictures that a run leaves with it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ipo_prompts.experiments.data.wordnet import strangers
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import EncodedPictures, features_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, TextStore
from ipo_prompts.metrics.head import Calibrated, Head
from ipo_prompts.metrics.pictures import Background, Picture
from ipo_prompts.metrics.rejection import CONFIDENCE, Threshold, below, calibrated, strangers_found
from ipo_prompts.metrics.template import fill, too_long, written
from ipo_prompts.programs.classifier import TemplateClassifier

BATCH = 32
"""Pictures encoded at once; as many again are read ahead, so that memory does not grow with their number."""
READERS = 8


class Decision(NamedTuple):
    """What is told of a picture.

    Attributes:
        probabilities: of each class, float32 (C,).
        cosine: the highest with a class.
        margin: that less the highest with what is none of them; None where that is not asked.
    """

    probabilities: Floats
    cosine: float
    margin: float | None


Row = tuple[Path, Decision | InputError]
"""A picture, and what is told of it, or why nothing is."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path], head: Head | None = None) -> Iterator[Row]:
    """Label pictures in order; rows come batch by batch, while threads read the next pictures.

    A `head` that has more than the classifier's own, such as what is none of its classes, can be given. The first batch
    is one picture and each is twice the one before, up to `BATCH`: the first row comes at once.
    """
    head = head or classifier.head()
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[tuple[Path, Future[Picture | InputError]]] = deque()
        size = 1
        while True:
            while len(ahead) < 2 * size and (file := next(files, None)):
                ahead.append((file, pool.submit(_read, file, classifier.background)))
            if not ahead:
                return
            batch = [ahead.popleft() for _ in range(min(size, len(ahead)))]
            yield from _label(classifier.clip, head, [(file, future.result()) for file, future in batch])
            size = min(2 * size, BATCH)


def _label(clip: Clip, head: Head, batch: Sequence[tuple[Path, Picture | InputError]]) -> list[Row]:
    good = [picture for _, picture in batch if isinstance(picture, Picture)]
    if not good:
        return [(file, it) for file, it in batch if isinstance(it, InputError)]
    try:
        features = clip.encode_pictures(good)
    except InputError as error:
        if len(batch) == 1:
            return [(batch[0][0], error)]
        return [row for one in batch for row in _label(clip, head, [one])]  # to find out which of them is no picture
    cosines, margins = head.margins(features)
    told = [None] * len(cosines) if margins is None else margins.tolist()
    answers = map(Decision, head.probabilities(features), cosines.tolist(), told)
    return [(file, next(answers) if isinstance(it, Picture) else it) for file, it in batch]


def _read(file: Path, background: Background) -> Picture | InputError:
    try:
        picture = Picture.from_path(file)
        return Picture.from_bytes(picture.name, picture.bytes()).on(background)
    except InputError as error:
        return error


# Pictures of none of the classes.


def calibrate(
    classifier: TemplateClassifier,
    searched: EncodedPictures,
    held_back: EncodedPictures | None,
    none: Sequence[str],
    store: FeatureStore,
    say: Callable[[str], None],
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


def rejecting(classifier: TemplateClassifier, say: Callable[[str], None]) -> tuple[Head, Calibrated]:
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
    worst = [
        f"{printable(str(class_names[label]))!r} {rejected} of {every}"
        for label, rejected, every in below(margins, line)
        if rejected
    ]
    rest = f", {len(worst) - WORST} more have one or more" if len(worst) > WORST else ""
    single = worst and (
        f"of single classes nothing is promised; of these {through} pictures lie below the line, the largest shares "
        f"first: {', '.join(worst[:WORST])}{rest}. So few pictures of a class say little of it."
    )
    return promise, single or ""


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


def _rows(
    classifier: TemplateClassifier, words: Sequence[str], store: FeatureStore, say: Callable[[str], None]
) -> Floats:
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
