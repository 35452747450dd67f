"""A describer without a multimodal model: it uses the frozen CLIP to find out what pictures look like.

The describer tries each phrase of a vocabulary (`programs/templates/phrases.yaml`). It compares the prompt with the
phrase ("a line drawing of a <CLASS>.") and the bare prompt ("a picture of a <CLASS>."). If the prompt with the phrase
fits the pictures and their classes better, over all pictures, the phrase becomes a part of the description. The
description is one line. This asks no language model, costs no tokens, and names no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np
import numpy.typing as npt
from scipy import special

from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.templates.phrases import Phrase, Vocabulary

Gains = npt.NDArray[np.float64]

MAX_CLASSES = 20
"""The most classes that phrases are tried with. A few classes show how pictures look; more would only cost time."""
BATCH = 100
"""The number of pictures in one call of the encoder."""
ERROR = 0.05
"""The accepted probability that any phrase is reported for pictures that no phrase of the vocabulary fits."""
PER_GROUP = 2
"""The most phrases in a description that belong to the same group."""
NOTHING = "The pictures have no look that stands out."


class Interrogator(dspy.Module):
    """Describes how pictures look, without a language model. It can be used in place of `ImageDescriber`.

    Two gains over the bare template are measured on every picture, in logits:

    - the gain in similarity to the text with the right class (does the phrase describe the picture?);
    - the gain in the right class's margin over the mean of all classes (does naming the look help?).

    Why the margin, and not the log-probability? The log-probability also rises with words that only make an
    overconfident CLIP less sure, whatever the pictures show.

    Added words change the logits even if they do not fit. So the median gain of all phrases of the same form is
    subtracted from each gain. A phrase's *strength* is the mean, over all pictures, of the sum of both gains.

    One phrase is always the strongest, so a phrase is reported only if it stands out. This has two conditions: its
    strength is an outlier among all phrases (Tukey's fence: above the third quartile by 1.5 interquartile ranges), and
    its strength is significantly above 0, corrected for the number of phrases.

    Args:
        clip: the CLIP that encodes pictures and prompts.
        phrases: the vocabulary; None uses the vocabulary that ships with IPO.
        top: the most phrases in the description.
        store: the store of the pictures' features; None encodes the pictures in each call.

    Raises:
        InputError: a picture cannot be decoded; raised by a call.

    Example:
        >>> from ipo_prompts.experiments.data import draw, load_data
        >>> from ipo_prompts.metrics.clip import load_clip
        >>> data = draw(load_data("embedded", seed=0), shots=1, selection_shots=0, seed=0)
        >>> told = Interrogator(load_clip("embedded"))(
        ...     pictures=[item.picture for item in data.search],
        ...     labels=[item.label for item in data.search],
        ...     class_names=data.class_names,
        ... )
        >>> told.descriptions[0].startswith("The pictures look like: ")
        True
        >>> phrase, strength = told.phrases[0]
        >>> phrase in told.descriptions[0] and strength > 0
        True
    """

    def __init__(
        self,
        clip: Clip,
        phrases: Vocabulary | None = None,
        top: int = 6,
        store: FeatureStore | None = None,
    ) -> None:
        super().__init__()
        self.clip = clip
        self.store = store
        self.top = top
        self.vocabulary = phrases or Vocabulary.load()

    def forward(
        self,
        pictures: Sequence[Picture] | Floats,
        task: str = "",
        labels: Sequence[int] | None = None,
        class_names: Sequence[str] = (),
    ) -> dspy.Prediction:
        """Return one description of a set of pictures.

        Args:
            pictures: n pictures, or their features, float32 (n, D), unit rows.
            task: not used; accepted because `ImageDescriber` needs it.
            labels: for each picture, the index of its class in `class_names`; None uses the gain in similarity alone.
            class_names: the names of the classes; phrases that name a class are not used.

        Returns:
            A prediction with two lists. `descriptions` holds one text about the whole set. `phrases` holds (phrase,
            strength in logits) for each phrase that was tried, strongest first.
        """
        features = pictures if isinstance(pictures, np.ndarray) else self._encode(pictures)
        phrases = self.vocabulary.usable(class_names, self.clip)
        if not len(features) or not phrases:
            return dspy.Prediction(descriptions=[], phrases=[])
        truth = None if labels is None else np.asarray(labels)
        templates = [self.vocabulary.bare, *(phrase.template for phrase in phrases)]
        if truth is None:
            gains = self._similarity_gains(features, templates)
        else:
            gains = self._class_gains(features, truth, class_names, templates)
        strength, said = _look(gains, phrases)
        order = np.argsort(-strength, kind="stable")
        tried = [(phrases[i].text, float(strength[i])) for i in order]
        return dspy.Prediction(descriptions=[_sentence(said, self.top)], phrases=tried)

    def _encode(self, pictures: Sequence[Picture]) -> Floats:
        if self.store:
            return self.store.encode(pictures)
        parts = [self.clip.encode_pictures(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)

    def _class_gains(
        self, features: Floats, labels: npt.NDArray[Any], class_names: Sequence[str], templates: Sequence[str]
    ) -> Gains:
        """Return the sums of the gains in similarity and margin: float64 (templates - 1, pictures of tried classes)."""
        present = np.unique(labels)
        tried = present[spread(len(present), MAX_CLASSES)]
        kept = np.isin(labels, tried)
        truth, seen = np.searchsorted(tried, labels[kept]), features[kept]
        from ipo_prompts.metrics.text_tower import encode_classes  # imports torch

        rows = encode_classes(self.clip.encode_texts, templates, [class_names[i] for i in tried])
        values = []
        for classes in rows:
            logits = self.clip.logit_scale * (seen @ classes.T).astype(np.float64)
            right = logits[np.arange(len(truth)), truth]
            values.append(right + (right - logits.mean(axis=1)))
        gains = np.stack(values)
        return np.asarray(gains[1:] - gains[0])

    def _similarity_gains(self, features: Floats, templates: Sequence[str]) -> Gains:
        """Return the gains in similarity, in logits, of prompts without a class: float64 (templates - 1, pictures)."""
        texts = [template.replace(f" of a {SLOT}", "") for template in templates]
        similarity = self.clip.logit_scale * (self.clip.encode_texts(texts) @ features.T).astype(np.float64)
        return np.asarray(similarity[1:] - similarity[0])


def _look(gains: Gains, phrases: Sequence[Phrase]) -> tuple[Gains, list[Phrase]]:
    """Return the strength of each phrase in logits, float64 (T,), and the phrases that stand out, strongest first."""
    n = gains.shape[1]
    relative = gains - _middle_of_form(gains, [phrase.form for phrase in phrases])
    strength = relative.mean(axis=1)
    # With one picture, the error is infinite and no phrase is reported: one picture does not show how a set looks.
    error = relative.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(phrases), np.inf)
    clear = strength > special.stdtrit(max(1, n - 1), 1 - ERROR / len(phrases)) * error
    low, high = np.quantile(strength, [0.25, 0.75])
    order = np.argsort(-strength, kind="stable")
    said = [phrases[i] for i in order if clear[i] and strength[i] > high + 1.5 * (high - low)]
    return strength, said


def _middle_of_form(gains: Gains, forms: Sequence[str]) -> Gains:
    """Return the median gain of all phrases of the same form, for each phrase and picture: float64, as `gains`."""
    middle = np.empty_like(gains)
    for form in set(forms):
        rows = [i for i, other in enumerate(forms) if other == form]
        middle[rows] = np.median(gains[rows], axis=0)
    return middle


def _sentence(phrases: Sequence[Phrase], top: int) -> str:
    """Return a sentence with the first `top` phrases, but at most `PER_GROUP` phrases of the same group."""
    counts: dict[str, int] = {}
    words: list[str] = []
    for phrase in phrases:
        counts[phrase.group] = counts.get(phrase.group, 0) + 1
        if counts[phrase.group] <= PER_GROUP and len(words) < top:
            words.append(phrase.text)
    return f"The pictures look like: {', '.join(words)}." if words else NOTHING
