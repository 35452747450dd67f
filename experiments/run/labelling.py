"""Label picture files with a saved program, and reject pictures that show none of its classes.

Threads read and decode files ahead, and pictures are classified in batches. A picture is rejected if its margin is
below a threshold. The margin is the highest cosine with a class less the highest cosine with another common noun. The
threshold comes from the margins of labelled pictures; a run stores these margins in its program.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ipo_prompts.experiments.data.wordnet import strangers
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import EncodedPictures, features_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.decoding import Background
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, TextStore
from ipo_prompts.metrics.head import Calibrated, Head
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.rejection import CONFIDENCE, Threshold, below, calibrated, strangers_found
from ipo_prompts.metrics.template import fill, too_long, written
from ipo_prompts.programs.classifier import TemplateClassifier

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

BATCH = 32
"""The most pictures that are encoded at once. As many again are decoded ahead.

So the memory needed does not grow with the number of pictures.
"""


class Decision(NamedTuple):
    """The answer of a program about one picture.

    Attributes:
        probabilities: the probability of each class, float32 (C,).
        cosine: the highest cosine with a class.
        margin: `cosine` less the highest cosine with a noun that names none of the classes; None without such nouns.
    """

    probabilities: Floats
    cosine: float
    margin: float | None


Row = tuple[Path, Decision | InputError]
"""A picture file with the decision about it, or with the error for which there is no decision."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path], head: Head | None = None) -> Iterator[Row]:
    """Label pictures, and yield a row for each, batch by batch, while threads decode the next pictures.

    The first batch is a single picture, so that its row comes at once. Each later batch is twice as large, up to
    `BATCH`.

    Args:
        classifier: the program.
        files: the picture files.
        head: the head to decide with, for example a head that can reject pictures; None: the head of the classifier.
    """
    head, clip = head or classifier.head(), classifier.clip
    ahead: deque[tuple[Path, Future[torch.Tensor]]] = deque()
    size = 1
    while True:
        while len(ahead) < 2 * size and (file := next(files, None)):
            ahead.append((file, clip.decoding(partial(_open, file, classifier.background))))
        if not ahead:
            return
        yield from _label(clip, head, [ahead.popleft() for _ in range(min(size, len(ahead)))])
        size = min(2 * size, BATCH)


def _open(file: Path, background: Background) -> Image:
    return Picture.from_path(file).on(background).image()


def _label(clip: Clip, head: Head, batch: Sequence[tuple[Path, Future[torch.Tensor]]]) -> list[Row]:
    faults = [error if isinstance(error := pixels.exception(), InputError) else None for _, pixels in batch]
    good = [pixels for (_, pixels), fault in zip(batch, faults, strict=True) if fault is None]
    answers: Iterator[Decision] = iter(())
    if good:
        features = clip.encode_pixels(good)
        cosines, margins = head.margins(features)
        told = [None] * len(cosines) if margins is None else margins.tolist()
        answers = map(Decision, head.probabilities(features), cosines.tolist(), told)
    return [(file, fault or next(answers)) for (file, _), fault in zip(batch, faults, strict=True)]


# Rejection of pictures that show none of the classes.


def calibrate(
    classifier: TemplateClassifier,
    searched: EncodedPictures,
    held_back: EncodedPictures | None,
    none: Sequence[str],
    store: FeatureStore,
    say: Callable[[str], None],
) -> Calibrated:
    """Return the margins of labelled pictures.

    Args:
        classifier: the program, with the chosen template.
        searched: the search pictures, with labels.
        held_back: the selection pictures; None if none were held back.
        none: further words for things that belong to none of the classes.
        store: the stored features of pictures; the embeddings of the nouns are stored beside them.
        say: called with a line that says how long it took to encode the nouns.
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
    """Return the head of a program, with the embeddings of nouns that name none of its classes, and the stored margins.

    Raises:
        InputError: the program has no margins, or its margins were measured with another CLIP, template, class names,
            background or list of words.
    """
    margins = classifier.rejection
    if margins is None:
        raise InputError(
            "this program has no margins of known pictures, which --reject needs; run ipo optimize on labelled "
            "pictures, and name that run."
        )
    words = _words(classifier, margins.none)
    if _identity(classifier, words) != margins.fingerprint:
        raise InputError(
            "the margins of this program were measured with another CLIP, template, class names, background or list of "
            "words, and do not hold for this one; optimise again, or leave --reject out."
        )
    rows = _rows(classifier, words, FeatureStore(classifier.clip), say)
    return replace(classifier.head(), others=rows), margins


WORST = 3
"""The most classes that a text names; the classes with the largest shares of pictures below the threshold are named."""


def promise_in_words(line: Threshold, margins: Calibrated, share: float, class_names: Sequence[str]) -> tuple[str, str]:
    """Say what a threshold promises for all classes together, and how many pictures of single classes lie below it.

    Args:
        line: the threshold that rejects `share` of the pictures, from `margins`.
        margins: the margins of known pictures.
        share: the share of known pictures that may be rejected.
        class_names: the class names in label order.
    """
    found = strangers_found(margins, share)
    about = (
        "how many pictures of other things it rejects was not estimated: there are too few classes"
        if found is None
        else f"at best {found:.0%} of pictures of other things lie below it, estimated by leaving out half the classes"
    )
    through = "held-back" if line.held_back else "known"
    part = "it was chosen with them" if line.held_back else "it was fitted to them, as too few were held back"
    bound = (
        f"at most {line.bound:.1%} with {CONFIDENCE:.0%} confidence if the template had been chosen without these "
        f"pictures ({part}: more may be)"
    )
    promise = (
        f"rejected is a margin below {line.margin:.4f}, which has place {line.k} among {line.n} {through} pictures: of "
        f"new pictures of the classes, of the same kind and mix, {line.promise:.1%} on average, {bound}; {about}."
    )
    worst = [
        f"{printable(str(class_names[label]))!r} {rejected} of {every}"
        for label, rejected, every in below(margins, line)
        if rejected
    ]
    rest = f", {len(worst) - WORST} more have one or more" if len(worst) > WORST else ""
    single = worst and (
        f"nothing is promised for single classes; of these {through} pictures lie below the threshold, the largest "
        f"shares first: {', '.join(worst[:WORST])}{rest}. So few pictures of a class say little about it."
    )
    return promise, single or ""


def _words(classifier: TemplateClassifier, none: Sequence[str]) -> tuple[str, ...]:
    """Return the common nouns that fit into the longest template."""
    longest = max(
        (template for template, _ in classifier.templates), key=lambda one: classifier.clip.count(fill(one, ""))
    )
    words = strangers(classifier.class_names, none)
    return tuple(word for word in words if too_long(longest, [word], classifier.clip) is None)


def _identity(classifier: TemplateClassifier, words: Sequence[str]) -> str:
    """Return the digest of everything that margins depend on: CLIP, templates, class names, background and words."""
    clip, names = classifier.clip, written(classifier.class_names)
    content = [clip.fingerprint, clip.precision, classifier.background, classifier.templates, names, words]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _rows(
    classifier: TemplateClassifier, words: Sequence[str], store: FeatureStore, say: Callable[[str], None]
) -> Floats:
    """Return the embeddings of words: float32 (V, D), unit rows. They are computed once and stored."""
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
