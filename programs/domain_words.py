"""Domain words say what all classes of a data set are ("flower"), or what all its pictures are ("satellite").

On published data sets such words gain most: `a photo of a <CLASS>, a type of flower.` Each word is tried in one form,
and the words that do best in all their forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from ipo_prompts.programs.phrases import Part

WordKind = Literal["thing", "place", "doing", "picture"]
Source = Literal["names", "said", "pictures", "language model"]

DOING: Final = "a person doing"
"""The form in which a doing is said without its word: "a photo of a person doing <CLASS>."."""
TOLD: Final = 8
"""The most words that are told of each kind."""


class DomainWord(NamedTuple):
    """A domain word.

    Attributes:
        text: the word or the few words, in lower case and in the singular: "flower", "household item".
        kind: what the word says: what all classes are (a thing, a place, a doing), or what all pictures are.
        source: where the word comes from.
    """

    text: str
    kind: WordKind
    source: Source


def forms(word: DomainWord) -> tuple[Part, ...]:
    """Return the parts of templates that say a domain word, the usual one first.

    >>> [part.text for part in forms(DomainWord("flower", "thing", "names"))]
    ['a type of flower', 'flower', 'flower', 'flower']
    """
    text = word.text
    of = (Part("detail", f"a type of {text}"), Part("detail", text), Part("quality", text), Part("noun", text))
    if word.kind == "picture":
        return (Part("quality", text), Part("noun", text), Part("kind", text))
    return (Part("doing", DOING), *of) if word.kind == "doing" else of


def domain_in_words(known: Sequence[DomainWord]) -> str:
    """Say what all classes may be called, and what the pictures may be, with the source of the first words.

    >>> domain_in_words([DomainWord("flower", "thing", "names"), DomainWord("plant", "thing", "names")])
    'together the classes might be called: flower, plant'
    >>> domain_in_words([])
    'no word is known for what all classes are'
    """
    parts = []
    for what, of_pictures in (("together the classes", False), ("the pictures", True)):
        texts = [word.text for word in known if (word.kind == "picture") == of_pictures]
        more = f" and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
        parts += [f"{what} might be called: {', '.join(texts[:TOLD])}{more}"] if texts else []
    return "; ".join(parts) or "no word is known for what all classes are"
