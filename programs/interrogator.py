"""Finds the phrases that pictures look like to a frozen CLIP. No language model is asked.

The prompt with a phrase ("a line drawing of a <CLASS>.") is compared with the bare prompt ("a picture of a <CLASS>.").
Two gains are measured on every picture, in logits:

- the gain in similarity to the text with the right class (does the phrase describe the picture?);
- the gain in the right class's margin over the mean of all classes (does naming the look help?).

Why the margin, and not the log-probability? The log-probability also rises with words that only make an overconfident
CLIP less sure, whatever the pictures show.

Added words change the logits even if they do not fit. So the median gain of all phrases of the same form is subtracted
from each gain. A phrase's *strength* is the mean, over all pictures, of the sum of both gains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.templates.phrases import Phrase, Vocabulary

Gains = npt.NDArray[np.float64]

MAX_CLASSES = 20
"""The most classes that phrases are tried with. A few classes show how pictures look; more would only cost time."""
ERROR = 0.05
"""The accepted probability that any phrase is reported for pictures that no phrase of the vocabulary fits."""


def looks_like(
    clip: Clip, features: Floats, labels: npt.NDArray[np.int64], class_names: Sequence[str], vocabulary: Vocabulary
) -> list[Phrase]:
    """Return the phrases that stand out, strongest first.

    One phrase is always the strongest, so a phrase is returned only if it stands out. This has two conditions: its
    strength is an outlier among all phrases (Tukey's fence: above the third quartile by 1.5 interquartile ranges), and
    its strength is significantly above 0, corrected for the number of phrases.

    Args:
        clip: the CLIP that encodes prompts.
        features: the features of n pictures, float32 (n, D), unit rows.
        labels: int64 (n,), for each picture, the index of its class in `class_names`.
        class_names: the names of the classes; phrases that name a class are not used.
        vocabulary: the phrases.
    """
    from ipo_prompts.metrics.text_tower import encode_classes  # imports torch

    phrases = vocabulary.usable(class_names, clip)
    if not phrases:
        return []
    present = np.unique(labels)
    tried = present[spread(len(present), MAX_CLASSES)]
    kept = np.isin(labels, tried)
    truth = np.searchsorted(tried, labels[kept])
    templates = [vocabulary.bare, *(phrase.template for phrase in phrases)]
    values = []
    for classes in encode_classes(clip.encode_texts, templates, [class_names[i] for i in tried]):
        logits = clip.logit_scale * (features[kept] @ classes.T).astype(np.float64)
        right = logits[np.arange(len(truth)), truth]
        values.append(right + (right - logits.mean(axis=1)))
    return _standing_out(np.stack(values[1:]) - values[0], phrases)


def _standing_out(gains: Gains, phrases: Sequence[Phrase]) -> list[Phrase]:
    n = gains.shape[1]
    relative = gains - _middle_of_form(gains, [phrase.form for phrase in phrases])
    strength = relative.mean(axis=1)
    # With one picture, the error is infinite and no phrase is reported: one picture does not show how a set looks.
    error = relative.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(phrases), np.inf)
    clear = strength > special.stdtrit(max(1, n - 1), 1 - ERROR / len(phrases)) * error
    low, high = np.quantile(strength, [0.25, 0.75])
    order = np.argsort(-strength, kind="stable")
    return [phrases[i] for i in order if clear[i] and strength[i] > high + 1.5 * (high - low)]


def _middle_of_form(gains: Gains, forms: Sequence[str]) -> Gains:
    """Return the median gain of all phrases of the same form, for each phrase and picture: float64, as `gains`."""
    middle = np.empty_like(gains)
    for form in set(forms):
        rows = [i for i, other in enumerate(forms) if other == form]
        middle[rows] = np.median(gains[rows], axis=0)
    return middle
