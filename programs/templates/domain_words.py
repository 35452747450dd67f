"""Domain words say what all classes of a data set are ("flower"), or what all its pictures are ("satellite").

On published data sets such words gain most: `a photo of a <CLASS>, a type of flower.` Each word is tried in one form,
and the words that do best in all their forms.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

WordKind = Literal["thing", "place", "doing", "picture"]
Source = Literal["names", "said", "pictures", "language model"]

SOURCES: Final[dict[Source, str]] = {
    "names": "the names of the classes",
    "said": "what the data and the task are called",
    "pictures": "the pictures, as the CLIP sees them",
    "language model": "the language model",
}
"""Where a word comes from, in words."""


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
