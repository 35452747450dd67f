"""Searches over rewards whose scores are coarse, so that many templates tie: each finds what it found before."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from ipo_prompts.metrics.template import content_words
from ipo_prompts.programs.phrases import DomainWord
from ipo_prompts.programs.search import search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies.compose import Compose
from support.scored import Valued

WORDS = [("flower", "thing"), ("plant", "thing"), ("satellite", "image"), ("sport", "doing"), ("x-ray", "image")]
STARTS = ("a photo of a <CLASS>.", "itap of a <CLASS>.", "a dark photo of a <CLASS>, in fog.", "<CLASS>")
NAMES = (("cat", "dog"), ("hot_dog", "rose", "dark horse"), tuple(f"thing {i}" for i in range(90)))


def searched(seed: int) -> Any:
    """Return what a search with drawn settings finds, and all that it scores, in order."""

    def worth(words: str) -> float:
        return random.Random(f"{seed}|{words}").choice([-0.1, -0.05, 0, 0, 0, 0, 0, 0.02, 0.05, 0.1])

    def value(template: str) -> float:
        words = sorted(content_words(template))
        pairs = [a + b for a in words for b in words if a < b]
        return round(min(1.0, max(0.0, 0.4001 + sum(map(worth, words)) + sum(map(worth, pairs)) / 2)), 2)

    draw = random.Random(seed)
    reward = Valued(value, draw.choice(NAMES))
    settings = SearchSettings(
        steps=draw.choice([2, 4]),
        candidates_per_step=draw.choice([1, 3, 5]),
        seed=seed,
        scored_templates=draw.choice([5000, 300]),
        initial_template=draw.choice(STARTS),
    )
    domain = [DomainWord(*word, "names") for word in draw.sample(WORDS, draw.choice([0, 2, 5]))]
    compose = Compose(scored_templates=draw.choice([20, 100]))
    found = search(settings, reward, compose, reward, find_domain=lambda: domain)
    return [found.ended, found.choice.template, [one.record() for one in found.history], reward.scored]


def test_drawn_searches_find_what_they_found_before() -> None:
    found = json.dumps([searched(seed) for seed in range(20)])
    assert hashlib.sha256(found.encode()).hexdigest()[:16] == "c452a5e8d483c6db"
