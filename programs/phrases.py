"""The vocabulary: phrases from which templates are composed without a language model.

Its phrases (`phrases.yaml`) say how images can look ("a line drawing of a <CLASS>.").

Templates are also taken apart into parts. `a dark, blurry photo of a <CLASS>, upside down, in fog.` has the *kind*
"photo", the *qualities* "dark" and "blurry", and the *details* "upside down" and "in fog". Parts of different templates
are combined to new templates that people can read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import yaml

from ipo_prompts.metrics.template import SLOT, TokenCounter, content_words, key, names_class, too_long

if TYPE_CHECKING:
    from ipo_prompts.programs.bench import Bench


@dataclass(frozen=True)
class Phrase:
    """A phrase that says how an image can look.

    Attributes:
        text: the words.
        group: the name of the group that the phrase belongs to. It says what the words are about.
        form: a template in which PHRASE stands in the place of the words.
    """

    text: str
    group: str
    form: str

    @property
    def template(self) -> str:
        """The template with this phrase.

        >>> Phrase("etching", "medium", "a PHRASE of a <CLASS>.").template
        'an etching of a <CLASS>.'
        """
        with_article = self.form.replace("a PHRASE", f"{article(self.text)} {self.text}")
        return with_article.replace("PHRASE", self.text)


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary: phrases that say how images can look."""

    phrases: tuple[Phrase, ...]

    @classmethod
    @cache
    def load(cls) -> Vocabulary:
        """Return the shipped vocabulary. Its file is read once."""
        content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))
        return cls(
            tuple(
                Phrase(words, group["name"], group["form"]) for group in content["groups"] for words in group["phrases"]
            )
        )

    def usable(self, class_names: Sequence[str], tokens: TokenCounter | None = None) -> tuple[Phrase, ...]:
        """Return the phrases that name no class and, if `tokens` is given, whose templates fit the context."""
        naming = _naming(self.phrases, tuple(class_names))
        return tuple(
            phrase
            for phrase in self.phrases
            if phrase not in naming
            and (tokens is None or too_long(phrase.template, class_names or [""], tokens) is None)
        )


@lru_cache(maxsize=8)
def _naming(phrases: tuple[Phrase, ...], class_names: tuple[str, ...]) -> frozenset[Phrase]:
    """Return the phrases that name a class. Cached: every step needs them, and a thousand names take seconds."""
    # The outer loop is over names, because `re` keeps fewer compiled patterns than a thousand names have.
    return frozenset(phrase for name in class_names for phrase in phrases if names_class(phrase.text, name))


# How a template is taken apart into parts.

LONGEST = 20
"""The most words of a readable template; the slot counts as a word."""
MOST_PARTS = 4
"""The most qualities and details, together, of a readable template."""

_NOUN = re.compile(r"(?:(?P<qualities>.+) )?(?P<noun>photo|photograph|picture|image|shot|view|scene|snapshot)", re.I)
_NO_KIND = re.compile(
    r"(?:.* )?(?:amount|back|bit|bottom|bunch|collection|corner|couple|edge|example|face|front|group|half|instance|"
    r"kind|lot|number|pair|part|piece|pile|row|set|side|sort|stack|surface|top|type|variety)s?",
    re.I,
)
"""Words for a part or an amount of a thing, which are no kind of image: "a pile of a <CLASS>"."""
_KIND = re.compile(r"(?:an?|the|one|this) (?P<kind>[\w ,'-]+) of(?: (?P<near>[\w ,'-]+))?", re.I)
_NEAR = re.compile(
    r"(?P<before>((?:an?|the|one|some) )?([\w-]+ )?"
    r"(person|people|m[ae]n|wom[ae]n|child|children|somebody|someone) \w+ing|an?|the|one|this|some|any|many|my)?"
    r"(?: |$|(?<!\w))(?P<near>[\w ,'-]*)",
    re.I,
)
"""The words before the class: an article, or what somebody does with the class; then qualities."""
_NO_DETAIL = re.compile(
    r"(?:that|which|who|whose|is|are|was|has|have|and|or|but|such|doesn|don)\b|'|.*[:;!?()\"]|"
    r"(?:photo|photograph|picture|image)s?$",
    re.I,
)
"""Words after the class that are no detail, because they cannot stand alone behind a comma."""
_NO_QUALITY = re.compile(r"\b(?:an?|the|with)\b|\b(?:and|of|in|on|at|to|for|from|by|like)$", re.I)
"""Words that show that a text is more than a quality: "darkly lit scene with a"."""


class WordingPart(NamedTuple):
    """A part of a template: its text, and the place where it stands.

    A noun stands behind the class ("texture" in "a photo of a <CLASS> texture."). A doing stands in the place of its
    article ("a person doing" in "a photo of a person doing <CLASS>.").
    """

    place: Literal["kind", "quality", "detail", "noun", "doing"]
    text: str


@dataclass(frozen=True)
class Wording:
    """A template that is taken apart into its parts.

    Attributes:
        kind: the kind of image ("photo", "line drawing"); empty if the template names none.
        qualities: the words before the kind.
        details: the words after the class, separated by commas.
        before: the first words before the class, after the kind: an article, nothing, or a doing ("a person doing").
        near: the qualities between these words and the class; all qualities, if there is no kind.
        behind: the words after the class without a comma: a noun ("texture"), or a detail ("in a video game").
        articles: the articles that the template has: the word after each, and "a" or "an".

    Example:
        >>> one = Wording.of("A dark photo of a <CLASS>, upside down.")
        >>> str(one.plus(WordingPart("detail", "in fog")))
        'a dark photo of a <CLASS>, upside down, in fog.'
        >>> [str(other) for other in one.less()]
        ['a photo of a <CLASS>, upside down.', 'a dark photo of a <CLASS>.']
        >>> Wording.of("<CLASS> 3: dark") is None
        True
    """

    kind: str
    qualities: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    before: str = "a"
    near: tuple[str, ...] = ()
    behind: str = ""
    articles: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, template: str) -> Wording | None:
        """Return the parts of a template; None if the template cannot be taken apart.

        The wording is the template again, but for capitals, the article of the kind and punctuation.
        """
        if template.count(SLOT) != 1:
            return None
        front, after = (text.strip(" .") for text in template.split(SLOT))
        behind, *more = after.split(",")
        details = _listed(",".join(more))
        found = _KIND.fullmatch(front)
        near = _NEAR.fullmatch((found["near"] or "") if found else front)
        if near is None or any(_NO_DETAIL.match(detail) for detail in (behind.strip(), *details)):
            return None
        *qualities, kind = _listed(found["kind"] if found else "") or [""]
        if noun := _NOUN.fullmatch(kind):
            qualities, kind = [*qualities, *_listed(noun["qualities"] or "")], noun["noun"].lower()
        elif qualities:  # "a dark, hazy sketch": after a comma, the last word alone is the kind
            *more_words, kind = kind.split()
            qualities += [" ".join(more_words)] if more_words else []
        beside = _listed(near["near"])
        if _NO_KIND.fullmatch(kind) or any(_NO_QUALITY.search(quality) for quality in (*qualities, *beside, kind)):
            return None
        before = (near["before"] or "").lower()
        articles = tuple((word, one.lower()) for one, word in re.findall(r"\b(an?) ([^\s,]+)", front, re.I))
        return cls(kind, tuple(qualities), tuple(details), before, tuple(beside), behind.strip(), articles)

    @property
    def parts(self) -> tuple[WordingPart, ...]:
        """All parts, except a kind that says nothing ("photo") and an article."""
        return tuple(part for part, _ in self._each())

    def plus(self, part: WordingPart) -> Wording:
        """Return the wording with one more part. A new kind, noun or doing replaces the former one."""
        match part.place:
            case "kind":
                return replace(self, kind=part.text)
            case "quality" if self.kind:
                return replace(self, qualities=(*self.qualities, part.text))
            case "quality":
                return self._beside((*self.near, part.text))
            case "detail":
                return replace(self, details=(*self.details, part.text))
            case "noun" if self.behind and not self._has_noun:
                return replace(self, behind=part.text, details=(self.behind, *self.details))
            case "noun":
                return replace(self, behind=part.text)
            case "doing":
                return replace(self, before=part.text)

    def less(self) -> list[Wording]:
        """Return all wordings that lack one part of this wording. A kind is not left out but replaced by "photo"."""
        return [fewer for _, fewer in self._each()]

    @property
    def usual(self) -> Wording:
        """The same parts in their usual places, after "a": qualities before the kind, details behind a comma."""
        return reduce(Wording.plus, self.parts, Wording(self.kind, articles=self.articles))

    @property
    def is_readable(self) -> bool:
        """Whether the template is short enough, no word with meaning stands in it twice, and no doing beside a noun."""
        words = content_words(str(self))
        few = len([part for part in self.parts if part.place != "kind"]) <= MOST_PARTS
        both = self._has_noun and self._has_doing
        return few and not both and len(str(self).split()) <= LONGEST and len(set(words)) == len(words)

    def __str__(self) -> str:
        """Return the template."""
        image = " ".join(filter(None, [", ".join(self.qualities), self.kind]))
        around = " ".join(filter(None, [self.before, ", ".join(self.near), SLOT, self.behind]))
        start = f"{self._article(image)} {image} of {around}" if image else around
        return f"{', '.join([start, *self.details])}."

    @property
    def _has_doing(self) -> bool:
        return " " in self.before

    @property
    def _has_noun(self) -> bool:
        """Whether the words behind the class are a noun; not so "upside down", "cut off", "sitting"."""
        words = self.behind.split()
        return 0 < len(words) == len(content_words(self.behind)) < 3 and not self.behind.endswith(("ed", "ing", "ly"))

    def _each(self) -> Iterator[tuple[WordingPart, Wording]]:
        """Yield each part, and the wording without it."""
        if self.kind and not _NOUN.fullmatch(self.kind):
            yield WordingPart("kind", self.kind), replace(self, kind="photo")
        for i, text in enumerate(self.qualities):
            yield WordingPart("quality", text), replace(self, qualities=_without(self.qualities, i))
        if self._has_doing:
            yield WordingPart("doing", self.before), replace(self, before="a")._beside(self.near)
        for i, text in enumerate(self.near):
            yield WordingPart("quality", text), self._beside(_without(self.near, i))
        if self.behind:
            yield WordingPart("noun" if self._has_noun else "detail", self.behind), replace(self, behind="")
        for i, text in enumerate(self.details):
            yield WordingPart("detail", text), replace(self, details=_without(self.details, i))

    def _beside(self, near: tuple[str, ...]) -> Wording:
        """Return the wording with other qualities before the class, and "a" or "an" to suit them."""
        before = self._article(", ".join(near)) if self.before in ("a", "an") else self.before
        return replace(self, near=near, before=before)

    def _article(self, words: str) -> str:
        """Return "a" or "an": as the template has it before the same word, else as it suits the words."""
        return dict(self.articles).get(_first(words)) or article(words)


def _listed(text: str) -> list[str]:
    return [piece for part in text.split(",") if (piece := part.strip())]


def _without(items: tuple[str, ...], place: int) -> tuple[str, ...]:
    return items[:place] + items[place + 1 :]


# "a" or "an". A person or a language model knows the article of what they write; the words here are put together.


@cache
def article(words: str) -> str:
    """Return the article before words; "a" before none, where a class follows.

    >>> [article(words) for words in ("European", "MRI scan", "one-line drawing", "old, torn", "")]
    ['a', 'an', 'a', 'an', 'a']
    """
    first = _first(words)
    if first in _shipped_articles():
        return _shipped_articles()[first]
    import inflect  # takes seconds

    return inflect.engine().a(first).split()[0]


def _first(words: str) -> str:
    return words.partition(" ")[0].rstrip(",")


@cache
def _shipped_articles() -> dict[str, str]:
    content = yaml.safe_load(Path(__file__).with_name("articles.yaml").read_text(encoding="utf-8"))
    return {word: one for one, words in content.items() for word in words}


# Unknown words. A small language model joins and breaks words ("onitsceiling") so that nobody can read them.


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


# How the images look: in the phrases that score best with the initial template. A language model is told this if
# nobody describes the images to it.

PHRASES = 6
"""The number of phrases that a language model is told."""
LONGEST_LOOK = 250
"""The most characters of the sentence with these phrases."""
MANY_CLASSES = 70
"""With more classes, only promising phrases are scored, see `metrics/surrogate.py`."""
START = Wording("photo")
"""The composition to which single parts are added if the initial template cannot be taken apart."""


def look(ranks: Mapping[WordingPart, tuple[float, float]]) -> tuple[str, ...]:
    """Return one sentence with the phrases of the highest ranks, best first; nothing if there is no rank.

    >>> look({WordingPart("quality", "dark"): (0.5, -1.0), WordingPart("kind", "sketch"): (0.7, -1.0)})
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
def groups_of(phrases: tuple[Phrase, ...]) -> Mapping[WordingPart, str]:
    """Return part → group, for all parts of phrases."""
    found: dict[WordingPart, str] = {}
    for phrase in phrases:
        wording = Wording.of(phrase.template)
        for part in wording.parts if wording else ():
            found.setdefault(part, phrase.group)
    return found


# Domain words say what all classes of a data set are ("flower"), or what all its images are ("satellite"). On
# published data sets such words gain most: `a photo of a <CLASS>, a type of flower.` Each word is tried in one form,
# and the words that do best in all their forms. `domain.py` finds the words.

WordKind = Literal["thing", "place", "doing", "image"]
Source = Literal["names", "said", "images", "language model"]

DOING: Final = "a person doing"
"""The form in which a doing is said without its word: "a photo of a person doing <CLASS>."."""
TOLD: Final = 8
"""The most words that are told of each kind."""


class DomainWord(NamedTuple):
    """A domain word.

    Attributes:
        text: the word or the few words, in lower case and in the singular: "flower", "household item".
        kind: what the word says: what all classes are (a thing, a place, a doing), or what all images are.
        source: where the word comes from; "images" stands only in results of older versions.
    """

    text: str
    kind: WordKind
    source: Source


def forms(word: DomainWord) -> tuple[WordingPart, ...]:
    """Return the parts of templates that say a domain word, the usual one first.

    >>> [part.text for part in forms(DomainWord("flower", "thing", "names"))]
    ['a type of flower', 'flower', 'flower', 'flower']
    """
    text = word.text
    of = (
        WordingPart("detail", f"a type of {text}"),
        WordingPart("detail", text),
        WordingPart("quality", text),
        WordingPart("noun", text),
    )
    if word.kind == "image":
        return (WordingPart("quality", text), WordingPart("noun", text), WordingPart("kind", text))
    return (WordingPart("doing", DOING), *of) if word.kind == "doing" else of


def domain_in_words(known: Sequence[DomainWord]) -> str:
    """Say what all classes may be called, and what the images may be, with the source of the first words.

    >>> domain_in_words([DomainWord("flower", "thing", "names"), DomainWord("plant", "thing", "names")])
    'together the classes might be called: flower, plant'
    >>> domain_in_words([])
    'no word is known for what all classes are'
    """
    parts = []
    for what, of_images in (("together the classes", False), ("the images", True)):
        texts = [word.text for word in known if (word.kind == "image") == of_images]
        more = f" and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
        parts += [f"{what} might be called: {', '.join(texts[:TOLD])}{more}"] if texts else []
    return "; ".join(parts) or "no word is known for what all classes are"
