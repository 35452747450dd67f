"""Waffle (Roth et al., ICCV 2023): noise in the place of descriptions, the test of whether words carry meaning."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipo.experiments.compare.methods.base import Job, Method, Templates

if TYPE_CHECKING:
    from ipo.experiments.run.config import RunConfig

PAIRS = 15
"""Pairs of random words and random characters, as in the paper: 30 templates."""
CHARACTERS = string.ascii_letters + string.digits + "!#()'-"


class Waffle(Method):
    """An ensemble of `A photo of a <CLASS>, which has NOISE.` with noise that all classes share.

    NOISE is random words in one half of the templates and random characters in the other. As in the published code it
    has as many words as a class name has on average, each cut to the mean length of a class name's words. The words
    are the whole words of CLIP's own vocabulary, where the published code has a word list of its own.
    """

    label = "Waffle (random words)"

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return 0: no picture is looked at."""
        return 0

    def fit(self, job: Job) -> Templates:
        """Draw the noise with the job's seed."""
        rng = random.Random(f"waffle {job.config.seed}")
        count, length = _shape(job.class_names)
        vocabulary = _vocabulary()
        noises = []
        for _ in range(PAIRS):
            noises.append(" ".join(rng.choice(vocabulary)[:length] for _ in range(count)))
            noises.append(", ".join("".join(rng.choices(CHARACTERS, k=length)) for _ in range(count)))
        return Templates(job.clip, tuple((f"A photo of a <CLASS>, which has {noise}.", 1.0) for noise in noises))


def _shape(class_names: Sequence[str]) -> tuple[int, int]:
    """Return the mean number of words of a class name and the mean length of a word, at least 1 each."""
    words = [name.replace("_", " ").split() for name in class_names]
    count = sum(len(name) for name in words) / len(words)
    length = sum(sum(map(len, name)) / len(name) for name in words) / len(words)
    return max(1, round(count)), max(1, round(length))


def _vocabulary() -> list[str]:
    """Return the whole words of CLIP's byte-pair vocabulary, in its order."""
    from open_clip.tokenizer import SimpleTokenizer

    ends = (token.removesuffix("</w>") for token in SimpleTokenizer().encoder if token.endswith("</w>"))
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) >= 3]
