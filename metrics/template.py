"""Templates, sentences with a `<CLASS>` slot: how they are read, when they are valid; and the class names that fill it.

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
"""The template that every search starts from."""
MAX_CHARACTERS = 300
TEMPLATES_BYTES = 2**26
"""Of a file of templates."""
MOST_TEXTS = 150_000
"""Of a program, each a text pass: CLIP's 80 templates with the 1,000 classes of ImageNet are 80,000."""
MARKS = 8
"""More tokens than a tokenizer sets around a text of its own accord."""

_SLOT_VARIANT = re.compile(r"[<\[{(]{1,2}\s*class(?:[ _-]?name)?\s*[>\]})]{1,2}", re.IGNORECASE)
LIST_MARKER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
_SCORES = re.compile(r"(?:(?:accuracy|value) [-+.\d]+(?: %)?, loss [.\d]+: *)+", re.IGNORECASE)
"""What a line of the history begins with, as a small model copies it."""
_FENCE = re.compile(r"```(?:[a-z]+[ \t]*\n)?", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>|&[#a-z0-9]{2,};|https?://|\[\[ ?##|## ?\]\]|\\[a-z]+", re.IGNORECASE)
_EMOJI_STYLE = "\ufe0f"
"""Asks for the coloured form of the character before it, such as ❤; a template reads the same without it."""
_QUOTES = "\"'`“”‘’«»"


class TokenCounter(Protocol):
    """Measures the length of a template: the encoder's own tokenizer."""

    context_length: int

    def count(self, text: str) -> int:
        """Return the number of tokens of `text` with its start and end tokens, uncut."""


def fill(template: str, class_name: str) -> str:
    """Put one class name into every slot; underscores in the name become spaces.

    >>> fill("a photo of a <CLASS>.", "hot_dog")
    'a photo of a hot dog.'
    """
    return template.replace(SLOT, class_name.replace("_", " "))


def normalise(text: str) -> str:
    """Remove what language models add to a template: quotes, list markers, copied scores, fences, slot variants.

    Only for text from a model; a template from a person is taken as it is.

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
    """Return a key that is equal for spellings of one template: case, spaces and end punctuation do not count.

    >>> key("A photo of a <CLASS>") == key("a  photo of a <CLASS>.")
    True
    """
    return " ".join(template.casefold().split()).rstrip(" .!?,;:")


def problem(template: str) -> str | None:
    """Say what is wrong with a template, or None. Its length in tokens is checked by `too_long`."""
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
    # open_clip's tokenizers turn these literals into control tokens, which cut the text silently. Before that, they
    # make wide characters (＜) narrow and unescape HTML twice, where a name such as &lt needs no semicolon.
    rest = template.replace(SLOT, " ")
    as_read = html.unescape(html.unescape(unicodedata.normalize("NFKC", rest)))
    marker = _MARKUP.search(rest) or _MARKUP.search(as_read)
    if marker:
        return f"it has markup ({marker.group()[:40]!r})"
    return None


def names_class(text: str, class_name: str) -> bool:
    """Whether a text contains a class name, or a synonym of it, as whole words, or its plural.

    >>> names_class("two hot dogs on a plate", "hot_dog"), names_class("a catalogue", "cat")
    (True, False)
    """
    names = (name.replace("_", " ").strip() for name in names_of(class_name))
    return any(name and re.search(rf"\b{re.escape(name)}s?\b", text, re.IGNORECASE) is not None for name in names)


def with_slot(text: str, class_names: Sequence[str]) -> str:
    """Put the slot where a text without one names a class, once: a small model gives an example of what is meant.

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
    """Say which filled text does not fit the tokenizer's context, or None when all fit."""
    # A name that is short in characters may be long in tokens (another script, a rare word), so every name is counted.
    names = every_name(class_names)
    if is_plain(template):  # nor is a token cut across a space, or less than a character: most names need no counting
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
    """Whether a tokenizer reads a text as it is: printable ASCII, without what stands for other characters in HTML."""
    return text.isascii() and text.isprintable() and "&" not in text


def check_template(template: str, class_names: Sequence[str], tokens: TokenCounter) -> None:
    """Refuse an invalid template.

    Raises:
        InputError: names the template and the reason.
    """
    reason = problem(template) or too_long(template, class_names, tokens)
    if reason:
        raise InputError(f"the template {template!r} cannot be used: {reason}.")


def check_count(names: int, templates: int = 1) -> None:
    """Refuse more texts than a program has, before any is encoded; `names` are those of all classes, with synonyms.

    Raises:
        InputError: says how many there are.
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
    """Return the templates of a text file, one a line.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    lines = read_text(file, "the file of templates", TEMPLATES_BYTES, "text").splitlines()
    return [line.strip() for line in lines if line.strip()]


# Class names with synonyms: what a class is called in prompts, and what else it is called.
#
# A class name is plain text. One with synonyms is text as well, its first name, so that it is passed on, shown and
# compared like any other; where texts are encoded, or words looked for, all names of the class are asked for here.


class ClassName(str):
    """The first name of a class, with its synonyms; equal to the plain text of its first name.

    >>> sign = ClassName("road sign", ["traffic sign"])
    >>> sign == "road sign", sign.synonyms
    (True, ('traffic sign',))
    """

    synonyms: tuple[str, ...]

    def __new__(cls, name: str, synonyms: Iterable[str] = ()) -> ClassName:
        """Make it of its first name and the others.

        Raises:
            InputError: the synonyms are one text, whose letters would be taken for them.
        """
        if isinstance(synonyms, str):
            raise InputError(f"the synonyms of {name!r} are a list of names; write [{synonyms!r}].")
        made = super().__new__(cls, name)
        made.synonyms = tuple(synonyms)
        return made


def named(names: Sequence[str]) -> str:
    """Return a class of all its names, the first one first; plain text where there is one.

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
    """Whether any class has several names."""
    return any(isinstance(name, ClassName) for name in class_names)


def written(class_names: Sequence[str]) -> list[str | list[str]]:
    """Return classes as JSON has them: a name, or the list of names where there are several.

    >>> written(["cat", named(["sofa", "couch"])])
    ['cat', ['sofa', 'couch']]
    """
    return [list(names) if len(names := names_of(name)) > 1 else str(name) for name in class_names]


def refuse_synonyms(class_names: Sequence[str], why: str) -> None:
    """Refuse classes with synonyms where they cannot be used; `why` begins the sentence.

    Raises:
        InputError: names the first such class.
    """
    several = next((name for name in class_names if isinstance(name, ClassName)), None)
    if several is not None:
        raise InputError(
            f"{why}, and the class {str(several)!r} has synonyms ({', '.join(map(repr, several.synonyms[:3]))}); "
            "leave them out of classes.yaml, or of class_names."
        )


def tidy(name: str) -> str:
    """Return one spelling for the two that Unicode allows ("é" as one character or as two, which macOS writes)."""
    return unicodedata.normalize("NFC", name).strip()


def as_read(name: str) -> str:
    """Return what is equal for class names that read the same in a prompt.

    >>> as_read("Hot_Dog") == as_read("hot  dog")
    True
    """
    return " ".join(tidy(name).replace("_", " ").split()).casefold()


def usable(class_names: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of a classifier, which are texts. Two may have one name, as in CLIP's list for ImageNet.

    Raises:
        InputError: they are none at all, one text, or no texts; a name is empty, or a synonym that of another name too.
    """
    if isinstance(class_names, str) or not isinstance(class_names, Iterable):
        raise InputError(f"the class names are a list of texts, such as ['cat', 'dog'], not {class_names!r}.")
    classes = tuple(class_names)
    if not classes:
        raise InputError("there are no class names; a classifier needs one at least, such as ['cat', 'dog'].")
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
