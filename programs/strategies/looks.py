"""Says how the pictures look: in the phrases of the vocabulary that score best with the initial template.

A language model is told this if nobody describes the pictures to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from ipo_prompts.metrics.template import key
from ipo_prompts.programs.templates.phrases import Part, Phrase, Vocabulary, Wording

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.strategies.base import Known, ScoredOnly
    from ipo_prompts.programs.templates.admission import Desk

PHRASES = 6
"""The number of phrases that a language model is told."""
LONGEST = 250
"""The most characters of the sentence with these phrases."""
MANY_CLASSES = 70
"""With more classes, only promising phrases are scored, see `metrics/surrogate.py`."""
VOCABULARY = ""
"""The value of `around` for templates that were made from no template, but from a phrase of the vocabulary."""
START = Wording("photo")
"""The composition to which single parts are added if the initial template cannot be taken apart."""

Rank = tuple[float, float]


def look(ranks: Mapping[Part, Rank]) -> tuple[str, ...]:
    """Return one sentence with the phrases of the highest ranks, best first; nothing if there is no rank.

    >>> look({Part("quality", "dark"): (0.5, -1.0), Part("kind", "sketch"): (0.7, -1.0)})
    ('The pictures look like: sketch, dark.',)
    """
    scored = [part for part, (value, _) in ranks.items() if isfinite(value)]
    best = sorted(scored, key=ranks.__getitem__, reverse=True)[:PHRASES]
    return (f"The pictures look like: {', '.join(part.text for part in best)}.",) if best else ()


def look_of(known: Known, desk: Desk | None = None) -> tuple[str, ...]:
    """Return the sentence by the scores of the first step. In the first step, all phrases are scored at the desk."""
    start = start_of(known.history.initial.template)
    phrases = groups_of(Vocabulary.load().usable(known.class_names))
    parts = {str(start.plus(part)): part for part in phrases}
    scores: Iterable[Score | ScoredOnly] = known.scored_only
    if desk and known.step == 0:
        many = len(known.class_names) > MANY_CLASSES
        scores = desk.score_only(list(parts), around=VOCABULARY, promising_only=many)
    return look({parts[score.template]: score.rank for score in scores if score.template in parts})


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
