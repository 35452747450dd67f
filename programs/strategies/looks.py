"""Says how the pictures look: in the phrases of the vocabulary that score best with the initial template.

A language model is told this if nobody describes the pictures to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ipo_prompts.metrics.template import key
from ipo_prompts.programs.templates.phrases import Part, Phrase, Vocabulary, Wording

if TYPE_CHECKING:
    from ipo_prompts.programs.bench import Bench

PHRASES = 6
"""The number of phrases that a language model is told."""
LONGEST = 250
"""The most characters of the sentence with these phrases."""
MANY_CLASSES = 70
"""With more classes, only promising phrases are scored, see `metrics/surrogate.py`."""
START = Wording("photo")
"""The composition to which single parts are added if the initial template cannot be taken apart."""


def look(ranks: Mapping[Part, tuple[float, float]]) -> tuple[str, ...]:
    """Return one sentence with the phrases of the highest ranks, best first; nothing if there is no rank.

    >>> look({Part("quality", "dark"): (0.5, -1.0), Part("kind", "sketch"): (0.7, -1.0)})
    ('The pictures look like: sketch, dark.',)
    """
    best = sorted(ranks, key=ranks.__getitem__, reverse=True)[:PHRASES]
    return (f"The pictures look like: {', '.join(part.text for part in best)}.",) if best else ()


def look_of(bench: Bench) -> tuple[str, ...]:
    """Score all phrases of the vocabulary with the initial template, and return the sentence."""
    start = start_of(bench.history.initial.template)
    phrases = groups_of(Vocabulary.load().usable(bench.class_names))
    parts = {str(start.plus(part)): part for part in phrases}
    scores = bench.try_(parts, promising_only=len(bench.class_names) > MANY_CLASSES)
    return look({parts[one.template]: one.rank for one in scores})


def read_back(template: str) -> Wording | None:
    """Return the wording of a template around which compositions can be built; None if there is none.

    >>> read_back("itap of a <CLASS>.") is None
    True
    """
    wording = Wording.of(template)
    return wording if wording and key(str(wording)) == key(template) else None


def start_of(template: str) -> Wording:
    """Return the composition to which single parts are added: the initial template, if it can be taken apart."""
    return read_back(template) or START


@lru_cache(maxsize=8)
def groups_of(phrases: tuple[Phrase, ...]) -> Mapping[Part, str]:
    """Return part → group, for all parts of phrases."""
    found: dict[Part, str] = {}
    for phrase in phrases:
        wording = Wording.of(phrase.template)
        for part in wording.parts if wording else ():
            found.setdefault(part, phrase.group)
    return found
