"""Searching without labels: the reward `fit` with what a word costs, and when the initial template is left.

Both numbers come of one half of the suite and of clean sets, with two CLIPs (`benchmarks/label_free.py`): what gains
most there among the rules that keep the initial template on clean pictures, for on pictures without labels nothing
tells a run that it does harm. What it does on the other half is in docs/label-free.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.programs.templates.phrases import PhraseBank

PRICE = 0.05
"""Of a word, in standard deviations of fit over the bank. It holds for a language model's words, too."""
LEAD = 1.5
"""What the best template needs over the initial one after its words are paid for, in the same."""
PHRASES = 60
"""Of the bank, spread over it: enough for a standard deviation that is known to a tenth."""
TEXTS = 3000
"""Phrases times classes at most, but 20 phrases at least."""


def fit_reward(
    clip: Clip, class_names: Sequence[str], store: FeatureStore | None = None, also_fit: Sequence[str] = ()
) -> Fit:
    """Return the reward of a search without labels; see `ClipReward` for the arguments."""
    phrases = PhraseBank.load().usable(class_names, clip)
    most = min(PHRASES, max(20, TEXTS // max(1, len(class_names))))
    step = max(1, len(phrases) // most)
    yardstick = [phrase.template for phrase in phrases[::step]]
    return Fit(clip, class_names, store, also_fit, yardstick=yardstick, price=PRICE, lead=LEAD)
