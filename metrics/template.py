"""Templates (sentences with a `<CLASS>` slot) and class names: how they are read and checked, and how slots are filled.

A template is plain text from a person or a language model. The slot is filled with `str.replace`, never with
`str.format`: a stray brace must not break a run or reach Python objects.
"""

from __future__ import annotations

import csv
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
TEMPLATES = "templates.csv"
"""The file of a run directory that has every scored template."""
TEMPLATES_BYTES = 2**26
"""The largest size of a file of templates."""
MOST_TEXTS = 150_000
"""The largest number of texts that a program encodes. CLIP's 80 templates with ImageNet's 1,000 classes are 80,000."""
MARKS = 8
"""An upper bound of the number of tokens that a tokenizer adds around a text, such as start and end."""

_SLOT_VARIANT = re.compile(r"[<\[{(]{1,2}\s*class(?:[ _-]?name)?\s*[>\]})]{1,2}", re.IGNORECASE)
LIST_MARKER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
_SCORES = re.compile(r"(?:(?:accuracy|value) [-+.\d]+(?: %)?, loss [.\d]+: *)+", re.IGNORECASE)
"""The beginning of a line of the history in a prompt. Small language models copy it."""
_FENCE = re.compile(r"```(?:[a-z]+[ \t]*\n)?", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>|&[#a-z0-9]{2,};|https?://|\[\[ ?##|## ?\]\]|\\[a-z]+", re.IGNORECASE)
_EMOJI_STYLE = "\ufe0f"
"""An invisible character: it asks for the coloured form of the character before it, such as ❤."""
_QUOTES = "\"'`“”‘’«»"


class TokenCounter(Protocol):
    """Counts the tokens of a text with the encoder's own tokenizer. At most `context_length` tokens fit."""

    context_length: int

    def count(self, text: str) -> int:
        """Return the number of tokens of the whole `text`, with the start and end tokens."""


def fill(template: str, class_name: str) -> str:
    """Return a prompt: the template with the class name in every slot. Underscores in the name become spaces.

    >>> fill("a photo of a <CLASS>.", "hot_dog")
    'a photo of a hot dog.'
    """
    return template.replace(SLOT, class_name.replace("_", " "))


def normalise(text: str) -> str:
    """Clean a template from a language model: remove quotes, list markers, copied scores and code fences.

    Variants of the slot become `<CLASS>`. Do not use it for a template from a person, which is taken as it is.

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
    """Return a key that is equal for templates that differ only in case, spaces and punctuation at the end.

    >>> key("A photo of a <CLASS>") == key("a  photo of a <CLASS>.")
    True
    """
    return " ".join(template.casefold().split()).rstrip(" .!?,;:")


def problem(template: str) -> str | None:
    """Return what is wrong with a template, as part of a sentence; None if it is valid.

    The length in tokens is not checked here: see `too_long`.
    """
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
    # open_clip's tokenizers turn texts such as "<end_of_text>" into control tokens, which cut the text silently. Before
    # that, the tokenizers make wide characters (＜) narrow and unescape HTML twice, even without a semicolon (&lt).
    rest = template.replace(SLOT, " ")
    as_read = html.unescape(html.unescape(unicodedata.normalize("NFKC", rest)))
    marker = _MARKUP.search(rest) or _MARKUP.search(as_read)
    if marker:
        return f"it has markup ({marker.group()[:40]!r})"
    return None


_FUNCTION_WORDS = re.compile(
    r"an?|the|this|that|these|those|of|in|on|at|to|for|from|by|with|without|and|or|but|as|is|are|was|be|being|been|it|"
    r"its|his|her|their|our|your|my|one|some|any|each|no|not|into|onto|over|under|near|up|down|out|off|very"
)
_FREE = re.compile(r"\b(?:types?|kinds?) of\b|\bphoto\b")
"""The words that cost nothing beside function words: the baseline's own, and the joint of ", a type of flower"."""


def content_words(template: str) -> list[str]:
    """Return the words of a template that carry meaning: lower case, in order, repeats kept, without the slot.

    >>> content_words("a photo of a <CLASS> on the Photo.")
    ['photo', 'photo']
    """
    found = re.findall(r"[a-z]+(?:-[a-z]+)*", template.replace(SLOT, " ").lower())
    return [word for word in found if not _FUNCTION_WORDS.fullmatch(word)]


def words(template: str) -> int:
    """Return the length of a template: the number of its content words beyond those of the baseline template.

    Longer templates must score higher, by this count. It is 0 for "a photo of a <CLASS>." and never less, so that no
    template wins because it says less than that. Function words are free, and so is the joint "type of" or "kind of".

    >>> [words(one) for one in (BASELINE, "<CLASS> texture.", "a photo of a <CLASS>, a type of flower, upside down.")]
    [0, 1, 2]
    """
    return len(content_words(_FREE.sub(" ", template.lower().replace(SLOT.lower(), " "))))


def names_class(text: str, class_name: str) -> bool:
    """Whether a text contains a class name or one of its synonyms, singular or plural, as whole words.

    >>> names_class("two hot dogs on a plate", "hot_dog"), names_class("a catalogue", "cat")
    (True, False)
    """
    names = (name.replace("_", " ").strip() for name in names_of(class_name))
    return any(name and re.search(rf"\b{re.escape(name)}s?\b", text, re.IGNORECASE) is not None for name in names)


def with_slot(text: str, class_names: Sequence[str]) -> str:
    """Replace a class name in a text by the slot, if the text has no slot and names classes exactly once.

    Small language models fill the slot of a template with an example. Any other text is returned unchanged.

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
    """Return why a template is too long for the tokenizer's context; None if it fits with every class name.

    The reason is part of a sentence. It has the class name that makes the most tokens, and the number of tokens.
    """
    # A name that is short in characters may be long in tokens (another script, a rare word). So all names are checked.
    names = every_name(class_names)
    # In plain text, a token has at least one character and never spans a space. So the words with the slot have at most
    # as many tokens as characters. A name that fits by this bound need not be counted.
    if is_plain(template):
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
    """Whether a text is printable ASCII without HTML entities, so that a tokenizer reads it unchanged."""
    return text.isascii() and text.isprintable() and "&" not in text


def check_template(template: str, class_names: Sequence[str], tokens: TokenCounter) -> None:
    """Refuse an invalid template.

    Raises:
        InputError: the template is invalid; the message names it and the reason.
    """
    _refuse(template, problem(template) or too_long(template, class_names, tokens))


def check_slot(template: str) -> None:
    """Refuse a template that is invalid with every CLIP, such as one without a slot.

    Raises:
        InputError: see `check_template`.
    """
    _refuse(template, problem(template))


def _refuse(template: str, reason: str | None) -> None:
    if reason:
        raise InputError(f"the template {template!r} cannot be used: {reason}.")


def check_count(names: int) -> None:
    """Refuse more names than a program may have, before any text is encoded.

    Args:
        names: the number of names of all classes, with synonyms.

    Raises:
        InputError: there are too many names; the message has their number.
    """
    if names > MOST_TEXTS:
        raise InputError(
            f"there are {names:,} texts to encode, one for each name and synonym of a class, more than "
            f"{MOST_TEXTS:,}; take fewer classes or synonyms."
        )


def imagenet_templates() -> tuple[str, ...]:
    """Return CLIP's 80 ImageNet templates (Radford et al., 2021) as open_clip ships them."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES)


def read_templates(file: Path) -> list[str]:
    """Return the templates of a text file, one on each line; of a run or its `templates.csv`, the proposed templates.

    Raises:
        InputError: the file cannot be read, or is not UTF-8; or it is a CSV file that no run wrote.
    """
    file = file / TEMPLATES if file.is_dir() else file
    lines = read_text(file, "the file of templates", TEMPLATES_BYTES, "text").splitlines()
    if file.suffix != ".csv":
        return [line.strip() for line in lines if line.strip()]
    rows = csv.DictReader(lines)
    if not {"template", "scored_as"} <= {*(rows.fieldnames or ())}:
        raise InputError(f"{file} is no templates.csv of a run; write one template a line, in a text file.")
    return [row["template"] for row in rows if row["scored_as"] == "proposed"]


# Class names with synonyms: what a class is called in prompts, and what else it is called.
#
# A class name is plain text. A class name with synonyms is a text as well, namely its first name. So it is passed on,
# shown and compared like any other class name. Code that needs all names, to encode texts or to search for words, calls
# `names_of` or `every_name`.


class ClassName(str):
    """A class name with synonyms. It is the text of the first name, and equals it.

    >>> sign = ClassName("road sign", ["traffic sign"])
    >>> sign == "road sign", sign.synonyms
    (True, ('traffic sign',))
    """

    synonyms: tuple[str, ...]

    def __new__(cls, name: str, synonyms: Iterable[str] = ()) -> ClassName:
        """Make a class name from its first name and its synonyms.

        Raises:
            InputError: the synonyms are one text instead of a list. Each letter would become a synonym.
        """
        if isinstance(synonyms, str):
            raise InputError(f"the synonyms of {name!r} are a list of names; write [{synonyms!r}].")
        made = super().__new__(cls, name)
        made.synonyms = tuple(synonyms)
        return made


def named(names: Sequence[str]) -> str:
    """Return a class name, made from all names of a class, the first name first. A single name stays plain text.

    >>> type(named(["cat"])), named(["sofa", "couch"])
    (<class 'str'>, 'sofa')
    """
    return ClassName(names[0], names[1:]) if len(names) > 1 else names[0]


def names_of(class_name: str) -> tuple[str, ...]:
    """Return all names of a class: the first name, then the synonyms.

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
    """Return class names for JSON. A class with synonyms becomes a list of its names.

    >>> written(["cat", named(["sofa", "couch"])])
    ['cat', ['sofa', 'couch']]
    """
    return [list(names) if len(names := names_of(name)) > 1 else str(name) for name in class_names]


def refuse_synonyms(class_names: Sequence[str], why: str) -> None:
    """Refuse classes with synonyms. `why` says why synonyms cannot be used; the message begins with it.

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
    """Return a name in Unicode's composed form (NFC), without spaces around it.

    Unicode can write "é" as one character or as two, and macOS writes two. NFC has one.
    """
    return unicodedata.normalize("NFC", name).strip()


def as_read(name: str) -> str:
    """Return a key that is equal for class names that read the same in a prompt.

    >>> as_read("Hot_Dog") == as_read("hot  dog")
    True
    """
    return " ".join(tidy(name).replace("_", " ").split()).casefold()


def usable(class_names: Iterable[str]) -> tuple[str, ...]:
    """Check the class names of a classifier, and return them as a tuple.

    Two classes without synonyms may have the same name, as in CLIP's list for ImageNet.

    Raises:
        InputError: `class_names` is empty, or is one text instead of a list. A name is no text, or is empty. Or two
            names read the same, and the class of one of them has synonyms.
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
