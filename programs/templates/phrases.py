"""Vocabularies of phrases that templates are made of without a language model.

*shipped* says how pictures can look ("a line drawing of a <CLASS>."): `phrases.yaml`. *general* is the most frequent
adjectives and nouns of English by a rule that looks at no picture and no CLIP, without the words that the embedded CLIP
was taught for transformations: `general.yaml`, made by `tools/general_vocabulary.py`. *none* has no phrase.

A template is taken apart into such phrases, too: what kind of picture, its qualities, what is said after the class
name. `a dark, blurry photo of a <CLASS>, upside down, in fog.` is the *kind* "photo", the *qualities* "dark" and
"blurry" and the *details* "upside down" and "in fog". Parts of different templates make new ones that can be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from ipo_prompts.metrics.template import SLOT, TokenCounter, names_class, too_long

VocabularyName = Literal["shipped", "general", "none"]
_FILES = {"shipped": "phrases.yaml", "general": "general.yaml"}


@dataclass(frozen=True)
class Phrase:
    """One way pictures can look: its words, their group (what they are about), the form (a template with PHRASE)."""

    text: str
    group: str
    form: str

    @property
    def template(self) -> str:
        """The template that names this look.

        >>> Phrase("etching", "medium", "a PHRASE of a <CLASS>.").template
        'an etching of a <CLASS>.'
        """
        return re.sub(r"\ba (?=[aeiou]|x-ray)", "an ", self.form.replace("PHRASE", self.text))


@dataclass(frozen=True)
class Vocabulary:
    """Phrases and the bare template that they are compared with."""

    phrases: tuple[Phrase, ...]
    bare: str

    @classmethod
    @cache
    def load(cls, name: VocabularyName = "shipped") -> Vocabulary:
        """Read a vocabulary once."""
        if name == "none":
            return cls((), cls.load().bare)
        content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(_FILES[name]).read_text(encoding="utf-8"))
        return cls(
            tuple(
                Phrase(words, group["name"], group["form"]) for group in content["groups"] for words in group["phrases"]
            ),
            content["bare"],
        )

    def usable(self, class_names: Sequence[str], tokens: TokenCounter | None = None) -> tuple[Phrase, ...]:
        """Leave out the phrases that name a class and, where tokens count, those that do not fit the context."""
        naming = _naming(self.phrases, tuple(class_names))
        return tuple(
            phrase
            for phrase in self.phrases
            if phrase not in naming
            and (tokens is None or too_long(phrase.template, class_names or [""], tokens) is None)
        )


@lru_cache(maxsize=8)
def _naming(phrases: tuple[Phrase, ...], class_names: tuple[str, ...]) -> frozenset[Phrase]:
    """Return the phrases that name a class; kept, as each step of a search asks, and a thousand names take seconds."""
    # Name by name: the patterns of a thousand names are more than are kept compiled.
    return frozenset(phrase for name in class_names for phrase in phrases if names_class(phrase.text, name))


# A template taken apart.

LONGEST = 20
"""Words of a template, the slot is one of them; longer ones tire a reader."""
MOST_PARTS = 4
"""Qualities and details of a template, together."""

_NOUN = re.compile(r"(?:(?P<qualities>.+) )?(?P<noun>photo|photograph|picture|image|shot|view|scene|snapshot)", re.I)
_NO_KIND = re.compile(
    r"(?:.* )?(?:amount|back|bit|bottom|bunch|collection|corner|couple|edge|example|face|front|group|half|instance|"
    r"kind|lot|number|pair|part|piece|pile|row|set|side|sort|stack|surface|top|type|variety)s?",
    re.I,
)
"""What is a part or an amount of the thing and no kind of picture: "a pile of a <CLASS>"."""
_KIND = re.compile(
    r"(?:an?|the|one|this) (?P<kind>[\w ,'-]+) of(?: (?:an?|the|one|some|any))?(?: (?P<near>[\w ,'-]+))?", re.I
)
_BARE = re.compile(r"(?:(?:an?|the|one|some|any)(?: |$))?(?P<near>[\w ,'-]*)", re.I)
_NO_DETAIL = re.compile(
    r"(?:that|which|who|whose|is|are|was|has|have|and|or|but|such|doesn|don)\b|'|.*[:;!?()\"]|"
    r"(?:photo|photograph|picture|image)s?$",
    re.I,
)
"""What cannot stand behind a comma by itself."""
_NO_QUALITY = re.compile(r"\b(?:an?|the|with)\b|\b(?:and|of|in|on|at|to|for|from|by|like)$", re.I)
"""What is more than a quality: "darkly lit scene with a"."""
_FUNCTION_WORDS = re.compile(
    r"an?|the|this|that|these|those|of|in|on|at|to|for|from|by|with|without|and|or|but|as|is|are|was|be|being|been|it|"
    r"its|his|her|their|our|your|my|one|some|any|each|no|not|into|onto|over|under|near|up|down|out|off|very"
)


class Part(NamedTuple):
    """A piece of a template, and where it stands."""

    place: Literal["kind", "quality", "detail"]
    text: str


@dataclass(frozen=True)
class Wording:
    """A template in parts.

    Attributes:
        kind: what the picture is ("photo", "line drawing"); empty where the template begins with the class.
        qualities: what stands before the kind, or before the class where there is none.
        details: what follows the class, each after a comma.

    Example:
        >>> one = Wording.of("A dark photo of a <CLASS> upside down.")
        >>> str(one.plus(Part("detail", "in fog")))
        'a dark photo of a <CLASS>, upside down, in fog.'
        >>> [str(other) for other in one.less()]
        ['a photo of a <CLASS>, upside down.', 'a dark photo of a <CLASS>.']
        >>> Wording.of("<CLASS> 3: dark") is None
        True
    """

    kind: str
    qualities: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @classmethod
    def of(cls, template: str) -> Wording | None:
        """Take a template apart; None where it has another form."""
        if template.count(SLOT) != 1:
            return None
        before, after = (text.strip(" .,") for text in template.split(SLOT))
        found = _KIND.fullmatch(before) or _BARE.fullmatch(before)
        details = _listed(after)
        if found is None or any(_NO_DETAIL.match(detail) for detail in details):
            return None
        *qualities, kind = _listed(found.groupdict().get("kind") or "") or [""]
        if noun := _NOUN.fullmatch(kind):
            qualities, kind = [*qualities, *_listed(noun["qualities"] or "")], noun["noun"].lower()
        qualities += _listed(found["near"] or "")
        if _NO_KIND.fullmatch(kind) or any(_NO_QUALITY.search(quality) for quality in (*qualities, kind)):
            return None
        return cls(kind, tuple(qualities), tuple(details))

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts, but for a kind that says nothing ("photo")."""
        kind = [Part("kind", self.kind)] if self.kind and not _NOUN.fullmatch(self.kind) else []
        qualities = [Part("quality", text) for text in self.qualities]
        return (*kind, *qualities, *(Part("detail", text) for text in self.details))

    def plus(self, part: Part) -> Wording:
        """Return it with one more part; another kind takes the place of its own."""
        if part.place == "kind":
            return replace(self, kind=part.text)
        if part.place == "quality":
            return replace(self, qualities=(*self.qualities, part.text))
        return replace(self, details=(*self.details, part.text))

    def less(self) -> list[Wording]:
        """Return it without each of its parts in turn; a photo where the kind is taken out."""
        fewer = [replace(self, kind="photo")] if self.kind and not _NOUN.fullmatch(self.kind) else []
        fewer += [replace(self, qualities=_without(self.qualities, i)) for i in range(len(self.qualities))]
        return fewer + [replace(self, details=_without(self.details, i)) for i in range(len(self.details))]

    @property
    def is_readable(self) -> bool:
        """Whether it is short enough and says no word twice."""
        words = content_words(str(self))
        few = len(self.qualities) + len(self.details) <= MOST_PARTS and len(str(self).split()) <= LONGEST
        return few and len(set(words)) == len(words)

    def __str__(self) -> str:
        """Return the template."""
        looks = ", ".join(self.qualities)
        picture = " ".join(filter(None, [looks, self.kind]))
        start = f"{_article(picture)} {picture} of a {SLOT}" if self.kind else f"{_article(looks)} {looks} {SLOT}"
        start = start if looks or self.kind else f"a {SLOT}"
        return f"{', '.join([start, *self.details])}."


def content_words(template: str) -> list[str]:
    """Return the words of a template that carry meaning: lower case, in order, repeats kept, without the slot.

    >>> content_words("a photo of a <CLASS> on the Photo.")
    ['photo', 'photo']
    """
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", template.replace(SLOT, " ").lower())
    return [word for word in words if not _FUNCTION_WORDS.fullmatch(word)]


def _listed(text: str) -> list[str]:
    return [piece for part in text.split(",") if (piece := part.strip())]


def _without(items: tuple[str, ...], place: int) -> tuple[str, ...]:
    return items[:place] + items[place + 1 :]


def _article(words: str) -> str:
    return "an" if re.match(r"[aeiou]|x-ray", words, re.I) and not re.match(r"(?:uni|one|us[ei])", words, re.I) else "a"


# Which words are English: a small language model joins and breaks words ("onitsceiling"), which nobody can read.


def unknown_words(text: str, given: Iterable[str] = ()) -> list[str]:
    """Return the words of a text that are neither in an English word list nor in the texts `given`, such as the task.

    Words with letters beyond a to z are not judged.

    >>> unknown_words("a grainy view onitsceiling of a Borzoi", ["pictures of dogs, such as Borzoi"])
    ['onitsceiling']
    """
    known = set(_words(" ".join(given)))
    return [word for word in _words(text) if word.isascii() and word not in known and word not in _english()]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower().replace("_", " "))


@cache
def _english() -> Any:
    from spellchecker import SpellChecker

    return SpellChecker(language="en")
