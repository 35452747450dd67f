"""Templates, sentences with a `<CLASS>` slot: how they are read, when they are valid. And the class names in the slot.

A template is plain text from a person or a language model. It is filled with `str.replace`, never with `str.format`: a
stray brace must not break a run or reach Python objects.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ipo_prompts.metrics.errors import InputError, invisible, is_formula
from ipo_prompts.metrics.files import read_text

SLOT = "<CLASS>"
BASELINE = "a photo of a <CLASS>."
"""The baseline template; it is also the default initial template."""
MAX_CHARACTERS = 300
TEMPLATES_BYTES = 2**26
"""The largest size of a file of templates."""
MOST_TEXTS = 150_000
"""The most texts of a program; each is encoded. CLIP's 80 templates with ImageNet's 1,000 classes are 80,000 texts."""
MARKS = 8
"""More than the number of tokens that a tokenizer adds around a text."""

_SLOT_VARIANT = re.compile(r"[<\[{(]{1,2}\s*class(?:[ _-]?name)?\s*[>\]})]{1,2}", re.IGNORECASE)
LIST_MARKER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
_SCORES = re.compile(r"(?:(?:accuracy|value) [-+.\d]+(?: %)?, loss [.\d]+: *)+", re.IGNORECASE)
"""The beginning of a line of the history, which small models copy."""
_FENCE = re.compile(r"```(?:[a-z]+[ \t]*\n)?", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>|&[#a-z0-9]{2,};|https?://|\[\[ ?##|## ?\]\]|\\[a-z]+", re.IGNORECASE)
_EMOJI_STYLE = "\ufe0f"
"""Asks for the coloured form of the character before it, such as ❤; a template reads the same without it."""
_QUOTES = "\"'`“”‘’«»"


class TokenCounter(Protocol):
    """Measures the length of a template with the encoder's own tokenizer."""

    context_length: int

    def count(self, text: str) -> int:
        """Return the number of tokens of the uncut `text`, with its start and end tokens."""


def fill(template: str, class_name: str) -> str:
    """Return a template with a class name in every slot. Underscores in the name become spaces.

    >>> fill("a photo of a <CLASS>.", "hot_dog")
    'a photo of a hot dog.'
    """
    return template.replace(SLOT, class_name.replace("_", " "))


def normalise(text: str) -> str:
    """Remove what language models add to a template: quotes, list markers, copied scores, fences, slot variants.

    Use it only for text from a model. A template from a person is taken as it is.

    >>> normalise('1. **"A photo of a [class name]"**')
    'A photo of a <CLASS>'
    """
    text = _FENCE.sub(" ", text).replace("**", "").replace("__", " ").replace(_EMOJI_STYLE, "")
    text = LIST_MARKER.sub("", text)
    text = _SLOT_VARIANT.sub(SLOT, text)
    text = " ".join(text.split())
    while len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text[1:-1].strip()
    copied = _SCORES.match(text)
    return text[copied.end() :] if copied else text


def key(template: str) -> str:
    """Return a key that is equal for all spellings of a template: case, spaces and end punctuation do not count.

    >>> key("A photo of a <CLASS>") == key("a  photo of a <CLASS>.")
    True
    """
    return " ".join(template.casefold().split()).rstrip(" .!?,;:")


def problem(template: str) -> str | None:
    """Return what is wrong with a template, or None. Its length in tokens is checked by `too_long`."""
    if SLOT not in template:
        return f"it has no {SLOT} slot"
    if len(template) > MAX_CHARACTERS:
        return f"it has {len(template)} characters, more than {MAX_CHARACTERS}"
    if is_formula(template):
        return f"it begins as a formula of a spreadsheet does ({template.lstrip()[:1]!r})"
    if "\n" in template or "\r" in template:
        return "it has more than one line"
    unseen = invisible(template)
    if unseen:
        return f"it has the control or invisible character U+{ord(unseen):04X}"
    # open_clip's tokenizers turn these literals into control tokens, which cut the text silently. Before that, the
    # tokenizers make wide characters (＜) narrow and unescape HTML twice; a name such as &lt needs no semicolon.
    rest = template.replace(SLOT, " ")
    as_read = html.unescape(html.unescape(unicodedata.normalize("NFKC", rest)))
    marker = _MARKUP.search(rest) or _MARKUP.search(as_read)
    if marker:
        return f"it has markup ({marker.group()[:40]!r})"
    return None


def names_class(text: str, class_name: str) -> bool:
    """Whether a text contains a class name or one of its synonyms, singular or plural, as whole words.

    >>> names_class("two hot dogs on a plate", "hot_dog"), names_class("a catalogue", "cat")
    (True, False)
    """
    names = (name.replace("_", " ").strip() for name in names_of(class_name))
    return any(name and re.search(rf"\b{re.escape(name)}s?\b", text, re.IGNORECASE) is not None for name in names)


def with_slot(text: str, class_names: Sequence[str]) -> str:
    """Put the slot into a text that has none and names a class once: small models fill the slot with an example.

    >>> with_slot("a photo of two hot dogs", ["hot_dog", "dog"]), with_slot("a cat on a dog", ["cat", "dog"])
    ('a photo of two <CLASS>', 'a cat on a dog')
    """
    if SLOT in text:
        return text
    names = (name.replace("_", " ") for name in every_name(class_names))
    named = [re.escape(name) for name in names if name.strip() and name.casefold() in text.casefold()]
    parts = re.split(rf"\b(?:{'|'.join(sorted(named, key=len, reverse=True))})s?\b", text, flags=re.IGNORECASE)
    return SLOT.join(parts) if named and len(parts) == 2 else text


def too_long(template: str, class_names: Sequence[str], tokens: TokenCounter) -> str | None:
    """Return why a template does not fit the tokenizer's context; None if it fits with every class name.

    The reason is part of a sentence: the class name that makes most tokens, and how many.
    """
    # A name that is short in characters may be long in tokens (another script, a rare word), so every name is counted.
    names = every_name(class_names)
    if is_plain(template):  # no token spans a space or is less than a character, so most names need no counting
        pieces = template.split()
        beside = " ".join(piece for piece in pieces if SLOT in piece)
        room = tokens.context_length - MARKS - tokens.count(" ".join(piece for piece in pieces if SLOT not in piece))
        names = [name for name in names if len(text := fill(beside, name)) > room or not is_plain(text)]
    counts = [tokens.count(fill(template, name)) for name in names]
    count = max(counts, default=0)
    if count <= tokens.context_length:
        return None
    name = names[counts.index(count)]
    return f"with the class name {name!r} it has {count} tokens, more than the {tokens.context_length} that fit"


def is_plain(text: str) -> bool:
    """Whether a tokenizer reads a text as it is: printable ASCII without HTML entities."""
    return text.isascii() and text.isprintable() and "&" not in text


def check_template(template: str, class_names: Sequence[str], tokens: TokenCounter) -> None:
    """Refuse an invalid template.

    Raises:
        InputError: the template is invalid; the message names it and the reason.
    """
    reason = problem(template) or too_long(template, class_names, tokens)
    if reason:
        raise InputError(f"the template {template!r} cannot be used: {reason}.")


def check_count(names: int, templates: int = 1) -> None:
    """Refuse more texts than a program may have, before any text is encoded.

    Args:
        names: the number of names of all classes, with synonyms.
        templates: the number of templates.

    Raises:
        InputError: there are too many texts; the message has their number.
    """
    if (texts := names * templates) > MOST_TEXTS:
        raise InputError(
            f"there are {texts:,} texts to encode (names of classes and their synonyms: {names:,}, templates: "
            f"{templates:,}), more than {MOST_TEXTS:,}; take fewer classes, synonyms or templates."
        )


def imagenet_templates() -> tuple[str, ...]:
    """Return CLIP's 80 ImageNet templates (Radford et al., 2021) as open_clip ships them."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES)


def read_templates(file: Path) -> list[str]:
    """Return the templates of a text file, one on each line.

    Raises:
        InputError: the file cannot be read, or is not UTF-8.
    """
    lines = read_text(file, "the file of templates", TEMPLATES_BYTES, "text").splitlines()
    return [line.strip() for line in lines if line.strip()]


# Class names with synonyms: what a class is called in prompts, and what else it is called.
#
# A class name is plain text. A class name with synonyms is text as well: its first name. So it is passed on, shown and
# compared like any other class name. Code that encodes texts or searches for words gets all names from here.


class ClassName(str):
    """The first name of a class, with its synonyms. It equals the plain text of the first name.

    >>> sign = ClassName("road sign", ["traffic sign"])
    >>> sign == "road sign", sign.synonyms
    (True, ('traffic sign',))
    """

    synonyms: tuple[str, ...]

    def __new__(cls, name: str, synonyms: Iterable[str] = ()) -> ClassName:
        """Make a class name from its first name and its synonyms.

        Raises:
            InputError: the synonyms are one text, whose letters would be taken for synonyms.
        """
        if isinstance(synonyms, str):
            raise InputError(f"the synonyms of {name!r} are a list of names; write [{synonyms!r}].")
        made = super().__new__(cls, name)
        made.synonyms = tuple(synonyms)
        return made


def named(names: Sequence[str]) -> str:
    """Return a class name from all names of a class, the first one first; plain text if there is only one.

    >>> type(named(["cat"])), named(["sofa", "couch"])
    (<class 'str'>, 'sofa')
    """
    return ClassName(names[0], names[1:]) if len(names) > 1 else names[0]


def names_of(class_name: str) -> tuple[str, ...]:
    """Return all names of a class, the first one first.

    >>> names_of(named(["sofa", "couch"])), names_of("cat")
    (('sofa', 'couch'), ('cat',))
    """
    return (str(class_name), *class_name.synonyms) if isinstance(class_name, ClassName) else (class_name,)


def every_name(class_names: Iterable[str]) -> list[str]:
    """Return all names of all classes, class by class.

    >>> every_name(["cat", named(["sofa", "couch"])])
    ['cat', 'sofa', 'couch']
    """
    return [name for class_name in class_names for name in names_of(class_name)]


def have_synonyms(class_names: Sequence[str]) -> bool:
    """Whether any class has synonyms."""
    return any(isinstance(name, ClassName) for name in class_names)


def written(class_names: Sequence[str]) -> list[str | list[str]]:
    """Return classes for JSON: each is a name, or a list of names if there are several.

    >>> written(["cat", named(["sofa", "couch"])])
    ['cat', ['sofa', 'couch']]
    """
    return [list(names) if len(names := names_of(name)) > 1 else str(name) for name in class_names]


def refuse_synonyms(class_names: Sequence[str], why: str) -> None:
    """Refuse classes with synonyms where they cannot be used. `why` begins the message.

    Raises:
        InputError: a class has synonyms; the message names the first such class.
    """
    several = next((name for name in class_names if isinstance(name, ClassName)), None)
    if several is not None:
        raise InputError(
            f"{why}, and the class {str(several)!r} has synonyms ({', '.join(map(repr, several.synonyms[:3]))}); "
            "leave them out of classes.yaml, or of class_names."
        )


def tidy(name: str) -> str:
    """Return one spelling where Unicode allows two ("é" is one character, or the two that macOS writes)."""
    return unicodedata.normalize("NFC", name).strip()


def as_read(name: str) -> str:
    """Return a key that is equal for class names that read the same in a prompt.

    >>> as_read("Hot_Dog") == as_read("hot  dog")
    True
    """
    return " ".join(tidy(name).replace("_", " ").split()).casefold()


def usable(class_names: Iterable[str]) -> tuple[str, ...]:
    """Return the checked classes of a classifier. Two classes may have one name, as in CLIP's list for ImageNet.

    Raises:
        InputError: there are no classes, or one text instead of a list; a name is no text, or is empty; or two names
            read the same and one of their classes has synonyms.
    """
    if isinstance(class_names, str) or not isinstance(class_names, Iterable):
        raise InputError(f"the class names are a list of texts, such as ['cat', 'dog'], not {class_names!r}.")
    classes = tuple(class_names)
    if not classes:
        raise InputError("there are no class names; a classifier needs at least one, such as ['cat', 'dog'].")
    owner: dict[str, int] = {}
    for label, class_name in enumerate(classes):
        for name in names_of(class_name):
            if not isinstance(name, str):
                raise InputError(f"the class name {name!r} is no text; write it as '{name}'.")
            if not as_read(name):
                raise InputError(f"the class {label} (counted from 0) has an empty name; write what it is called.")
            if (read := as_read(name)) in owner and have_synonyms([class_name, classes[owner[read]]]):
                raise InputError(
                    f"the class name {name!r} reads as another does: it stands for {str(class_name)!r} and for "
                    f"{str(classes[owner[read]])!r}; remove one, or join the classes."
                )
            owner[read] = label
    return classes
