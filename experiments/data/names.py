"""The names of classes: which names a source may give, those of the user, those of WordNet, and captions' spelling.

A user may give classes other names, in `classes.yaml` beside the class folders, or as `class_names` of a run:

    road_sign: [road sign, traffic sign]
    n02084071: dog

The first name of a class stands in prompts and in reports; the others are synonyms. A class that is not listed keeps
the name that the source gives. The source's order of labels is kept.

Some data have codes in place of class names. A number of WordNet, such as `n02084071`, stands for a set of synonyms. It
is replaced by the first synonym. If two classes would get the same name, each takes its first synonym that no other
class has, or else its first synonym followed by the hypernym: `crane wading bird`. Other text may follow the number, as
in `n02085620-Chihuahua`. Other codes, such as `17`, `class_3` or `/m/0k4j`, mean nothing to a CLIP. A search refuses
such classes, because its prompts would have no meaningful class name. The user can write a name for each into
`classes.yaml`; these names are accepted without a check, even if they are codes.

All other names are read as captions write class names: `001.Alarm_Clocks (new)` is an alarm clock. WordNet says what a
word is. A name that the rule would empty, or make equal to another name, is only separated into words. Reading names a
second time changes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ipo_prompts.experiments.data.dataset import DataSet, task_of
from ipo_prompts.metrics.errors import InputError, did_you_mean, invisible, several
from ipo_prompts.metrics.nouns import Synset, all_above, meanings, singulars, synsets
from ipo_prompts.metrics.template import SLOT, as_read, named, names_of, problem, tidy
from ipo_prompts.programs.phrases import unknown_words

NAMES_FILE = "classes.yaml"
MAX_CHARACTERS = 200
"""Most characters in a class name: a sentence of CuPL has at most 50 tokens, and of its 77 a CLIP needs some for the
template."""
MAX_NAMES = 64
"""Most names of one class: for every template, each name is one more text to encode. CuPL has 50 texts a class."""
NAME_COLUMN = "class_name"
"""The column of a table that holds the name of each class whose label is a number."""
_WORDNET = re.compile(r"n(\d{8})(?![0-9A-Za-z])")
_NO_AIRCRAFT = r"(?!7\d7-\d{3}\Z|(?-i:C-\d{2,3})\Z)"
"""Aircraft are called as codes are: `737-800`, `C-130`."""
_NUMBERED = re.compile(
    _NO_AIRCRAFT
    + r"""(?:[\W\d_]*\d[\W\d_]*                                                   # 17, 0_3, 2024-05-01
    | (?:class|cls|category|cat|label|folder|group|type|kind|target|id|[cln])[\W_]*\d[\W\d_]*   # class_3, c12
    | /?m[/._]0[0-9a-z_]+                                                    # /m/0k4j, of Open Images
    | Q\d+                                                                   # Q144, of Wikidata
    | (?=[a-z\-]*\d)(?=[\d\-]*[a-f])[0-9a-f\-]{8,}                           # digests, UUIDs
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_JOINED = re.compile(r"\b(?:and|or|of|in|with)\b|&", re.IGNORECASE)
"""Words that join the parts of a name: the last word alone is then not put in the singular."""
_BRACKETS = re.compile(r"[\s_]*[(\[{]([^()\[\]{}]*)[)\]}]")
_NUMBER = re.compile(_NO_AIRCRAFT + r"\d+\s*[._)\-]\s*(?=\S)")
_LISTED = re.compile(r"\A(?:0\d*[\s._)\-]+|\d+(?:\)|\.\s|\s+-\s)\s*)(?=\S)")
_VERSION = re.compile(r"(?<=[^\W\d])[._\-](?:v\d+|(?:19|20)\d\d)\Z", re.IGNORECASE)
_IMAGES = "imgs?|pics?|images|images|photos"
_FILED = re.compile(
    rf"\A(?:my|our|misc|copy of|(?:{_IMAGES})(?: of)?|(?:batch|dataset|val)[\s\-]*\d*)[\s\-]+(?=[^\W\d])"
    rf"|[\s\-]+(?:{_IMAGES}|final|copy|new|old|misc|cropped)\Z",
    re.IGNORECASE,
)
"""Words that only file images. `old` and `small` in front say what an image shows; `class photo` is a kind of photo.
"""
_FILED_PLURAL = re.compile(r"(.*\S)[\s\-]+(?:v?\d[\d.]*|small|large)", re.IGNORECASE)
"""What files a plural only: `cups-small`, but not `extra small`."""
_SEPARATORS = re.compile(r"_+|(?<=[^\W\d])[.](?=[^\W\d])|\s+-+\s+")
_CAPITAL = re.compile(r"(?<=[a-z]{2})(?<!\bMac)(?=[A-Z][a-z])")
"""Where a capital begins a word: `BlackBear`, but not `MacBook`."""
PLURAL = {"jeans", "goods", "headphones", "pajamas", "noodles", "oats", "nachos", "chopsticks", "trousers"}
"""Words that captions use in the plural, though WordNet has only their singular."""
SHORTEST = 4
"""Shorter words are no plurals (`bus`)."""
SHOWN = 3
"""The most names that a line shows."""
RARE = 25
"""A plural that WordNet has is one all the same if its singular is more than so many times as usual (`shoes`)."""


# The names that a source gives.


def labels_of(names: tuple[str, ...], where: str) -> dict[str, int]:
    """Return a table of class name → label. Labels count from 0 in the order of `names`.

    Raises:
        InputError: there are fewer than two classes, a name is blank or contains the slot of templates, or two names
            look the same in a prompt.
    """
    if len(names) < 2:
        raise InputError(
            f"{where} has one class only ({names[0]!r}) and a classifier needs at least two; "
            "is the folder or the label column one level too deep?"
        )
    seen: dict[str, str] = {}
    alike: list[str] = []
    for name in names:
        read = as_read(name)
        if all(one == " " or invisible(one) for one in read):
            raise InputError(f"{where} has a class whose name {name!r} is blank; give it a name.")
        if SLOT in name:
            raise InputError(
                f"{where} has a class whose name {name!r} has {SLOT} in it, which stands for the name in templates; "
                "rename it."
            )
        if read in seen:
            alike.append(f"{seen[read]!r} and {name!r}")
        seen[read] = name
    if alike:
        raise InputError(
            f"{where} has classes that read the same in a prompt: {several(alike, 10)}; join or rename them."
        )
    return {name: label for label, name in enumerate(names)}


def numbered_names(pairs: Iterable[tuple[object, str]], where: str) -> tuple[str, ...]:
    """Return the class names in the order of their numbers.

    Args:
        pairs: the label and the class name of each row.
        where: the table's name in messages.

    Raises:
        InputError: a label is not a whole number, the numbers have a gap, or a label has two names.

    >>> numbered_names([("1", "dog"), ("0", "cat"), ("1", "dog")], "the table")
    ('cat', 'dog')
    """
    names: dict[int, str] = {}
    for label, name in pairs:
        if not is_number(label):
            raise InputError(
                f"{where} has the label {label!r} beside a column {NAME_COLUMN}, where labels are numbers from 0; "
                f"number them or take the column {NAME_COLUMN} out."
            )
        known = names.setdefault(int(str(label)), name)
        if known != name:
            raise InputError(f"{where} calls the label {label} both {known!r} and {name!r}; give it one name.")
    gap = min(set(range(len(names))) - set(names), default=None)
    if gap is not None:
        raise InputError(f"the labels in {where} must run from 0 without gaps (see label {gap}); renumber them.")
    return tuple(names[number] for number in sorted(names))


def is_number(label: object) -> bool:
    """Whether a label, of any type, is written as a whole number."""
    return str(label).strip().removeprefix("-").isdecimal()


# Names that the user gives.


def with_names(data: DataSet, names: Mapping[Any, Any], where: str) -> DataSet:
    """Return the same images under other class names.

    Args:
        data: the data set, with the source's class names.
        names: the source's name of a class → its new name, or a list of the new name and synonyms.
        where: the file or setting that holds the names, for messages.

    Raises:
        InputError: a class is unknown; a name is not a text, or is empty, too long or unusable; or two classes share a
            name.
    """
    given: dict[str, tuple[str, ...]] = {}
    for key, value in names.items():
        if not isinstance(key, str):
            raise InputError(
                f"{where} has the class {key}, which YAML does not read as text; write '{key}': in quotes."
            )
        own = tidy(key)
        if own not in data.class_names:
            raise InputError(
                f"{where} names the class {key!r}, which is not in the data{did_you_mean(own, data.class_names)}; "
                f"write a class as the data do, such as {data.class_names[0]!r}, or remove the line."
            )
        given[own] = checked_names(value, f"{where}: the class {key!r}", own)
    classes = tuple(named(given.get(name, (name,))) for name in data.class_names)
    refuse_shared(classes, data.class_names, where)
    return replace(data, class_names=classes, task=task_of(data, classes))


def refuse_shared(classes: Sequence[str], own: Sequence[str], where: str) -> None:
    """Refuse classes that share a name.

    Args:
        classes: the classes, with all their names.
        own: one name for each of these classes, in the same order.
        where: the file or setting that holds the names, for messages.

    Raises:
        InputError: two classes share a name.
    """
    found: dict[str, str] = {}
    for mine, name in zip(own, classes, strict=True):
        for one in names_of(name):
            other = found.setdefault(as_read(one), mine)
            if other != mine:
                raise InputError(
                    f"{where} calls both {other!r} and {mine!r} {one!r}; take it from one of them, or join the classes."
                )


def checked_names(value: Any, what: str, own: str) -> tuple[str, ...]:
    """Check the names that the user wrote for one class, and return them.

    Args:
        value: a name, or a list of names.
        what: the words for the class in messages.
        own: the source's name of the class, for examples in messages.

    Raises:
        InputError: there are no names, or more than `MAX_NAMES`; or a name is not a text, is empty, too long or
            unusable, or is given twice.
    """
    texts = value if isinstance(value, list) else [value]
    if not 1 <= len(texts) <= MAX_NAMES:
        raise InputError(f"{what} has {len(texts)} names; write 1 to {MAX_NAMES}, such as {own}: [road sign].")
    found: list[str] = []
    for text in texts:
        if text is None or (isinstance(text, str) and not as_read(text)):
            raise InputError(f"{what} has an empty name; write one, or {own!r} again to keep that.")
        if not isinstance(text, str):
            raise InputError(f"{what} has the name {text}, which is no text; write '{text}' in quotes.")
        name = tidy(text)
        if len(name) > MAX_CHARACTERS:
            raise InputError(
                f"{what} has a name of {len(name)} characters, more than {MAX_CHARACTERS}; shorten {name[:40] + '…'!r}."
            )
        reason = f"it has {SLOT}, which stands for the name in templates" if SLOT in name else problem(f"{SLOT} {name}")
        if reason:
            raise InputError(f"{what} has the name {name!r}, and {reason}; write it as plain text.")
        if as_read(name) in map(as_read, found):
            raise InputError(f"{what} has the name {name!r} twice; write it once.")
        found.append(name)
    return tuple(found)


# Codes, and names in WordNet.


def read_codes(data: DataSet, named: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the names of classes that have a number of WordNet, and the classes that have another code.

    Args:
        data: the data set.
        named: the classes that the user has named; they are left out of the result.

    Returns:
        A table of class → name from WordNet, and the classes whose only name is another code.
    """
    left = [name for name in data.class_names if name not in named]
    matches = {name: _WORDNET.match(name) for name in left}
    numbers = {name: int(found[1]) for name, found in matches.items() if found}
    known = _told_apart({name: synsets()[number] for name, number in numbers.items() if number in synsets()})
    return known, tuple(name for name in left if is_code(name) and name not in known)


def _told_apart(found: Mapping[str, Synset]) -> dict[str, str]:
    times = Counter(as_read(word.text) for synset in found.values() for word in synset.words)
    firsts = {name: synset.words[0].text for name, synset in found.items()}
    alike = Counter(map(as_read, firsts.values()))
    return {name: text if alike[as_read(text)] == 1 else _own(found[name], times) for name, text in firsts.items()}


def _own(synset: Synset, times: Mapping[str, int]) -> str:
    """Return the first word of a synset that no other class has, or else its first word followed by the hypernym."""
    kind = [synsets()[above].words[0].text for above in synset.hypernyms[:1]]
    own = (word.text for word in synset.words if times[as_read(word.text)] == 1)
    return next(own, " ".join([synset.words[0].text, *kind]))


def is_code(name: str) -> bool:
    """Return whether the name of a class is a number or a code.

    >>> [is_code(name) for name in ("17", "class_3", "/m/0k4j", "n99999999", "d41d8cd9")]
    [True, True, True, True, True]
    >>> [is_code(name) for name in ("cat", "Boeing 737", "001.Black_footed_Albatross", "facade", "ウシ")]
    [False, False, False, False, False]
    """
    return bool(_NUMBERED.fullmatch(name.strip()))


def refuse_codes(data: DataSet) -> None:
    """Refuse data in which the only name of a class is a code, such as `class_3`.

    Raises:
        InputError: there are such classes.
    """
    if not (codes := data.unnamed):
        return
    raise InputError(
        f"{len(codes)} of {len(data.class_names)} classes of {data.name} {'is' if len(codes) == 1 else 'are'} called "
        f"by a code, which no CLIP reads: {several([repr(name) for name in codes])}; "
        f"write the file {NAMES_FILE} into the folder of images, or name a file with class_names=, with a line "
        f"`{codes[0]!r}: name` for each."
    )


def unclear_names(data: DataSet) -> str:
    """Say which names have no word that WordNet or a list of English words has; empty if there are none.

    Names that somebody wrote, and codes, are not judged.
    """
    pairs = enumerate(zip(data.typed, data.class_names, strict=True))
    judged = [str(name) for label, (typed, name) in pairs if label in data.read or name == typed]
    unclear = [repr(name) for name in judged if name not in data.unnamed and _is_unclear(name)]
    if not unclear:
        return ""
    many = 2 * len(unclear) > len(data.class_names)
    which = f"{len(unclear)} of {len(data.class_names)} names" if many else several(unclear)
    return f"IPO cannot know the meaning of {which}; write it in {NAMES_FILE}: ipo docs class-names"


def _is_unclear(name: str) -> bool:
    words = re.findall(r"[^\W\d_]+", name)
    return bool(words) and not any(_known(word) or not unknown_words(word) for word in words)


# Names as captions write them.


def read_labels(data: DataSet, kept: Collection[str]) -> DataSet:
    """Return the data set with the names of its classes as captions write them.

    Args:
        data: the data set; codes are read already.
        kept: the classes whose names stay, as typed.
    """
    read = frozenset(label for label, name in enumerate(data.typed) if name not in kept)
    names = iter(_read(data, read)[0])
    classes = tuple(next(names) if label in read else name for label, name in enumerate(data.class_names))
    return replace(data, class_names=classes, task=task_of(data, classes), read=read)


def _read(data: DataSet, read: Collection[int]) -> tuple[list[str], list[str]]:
    """Read the typed names of some classes, see `read_names`, beside the names of all others."""
    others = [name for label, name in enumerate(data.class_names) if label not in read]
    return read_names([name for label, name in enumerate(data.typed) if label in read], others)


def answers(data: DataSet) -> tuple[str, ...]:
    """Return the labels of answers, in label order: as typed, but a code that has a name is called by this name."""
    pairs = zip(data.typed, data.class_names, strict=True)
    return tuple(
        str(name) if (is_code(typed) or _WORDNET.match(typed)) and name not in data.typed else typed
        for typed, name in pairs
    )


def names_in_words(data: DataSet, most: int = 5) -> str:
    """Say which names were read other than typed, and which were only separated; empty if all are as typed.

    Args:
        data: the data set.
        most: the most names that are listed.
    """
    changed = changed_names(data.typed, data.class_names, most)
    apart = _read(data, data.read)[1] if changed else []
    kept = f"; {several(apart)}: kept apart" if apart else ""
    return f"names: {changed}{kept}" if changed else ""


def changed_names(typed: Sequence[str], used: Sequence[str], most: int = SHOWN) -> str:
    """Return the first of the names that were changed, and how many were; empty if none was.

    >>> changed_names(["Birds", "FRUITS", "Hats_2019", "dog"], ["bird", "fruit", "hat", "dog"])
    'Birds → bird, FRUITS → fruit, Hats_2019 → hat (3 of 4)'
    """
    changed = [f"{before} → {name}" for before, name in zip(typed, used, strict=True) if before != name]
    return f"{several(changed, most)} ({len(changed)} of {len(used)})" if changed else ""


def read_names(typed: Sequence[str], taken: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Return the names as captions write them, in the given order, and the typed names that were only separated.

    No name that is read is one of `taken`.

    >>> read_names(["FRUITS", "flowers (all)", "Birds_2019", "Dads tools", "AlarmClocks", "glasses", "cat", "cats"])
    (['fruit', 'flower', 'bird', 'Dads tool', 'alarm clock', 'glasses', 'cat', 'cats'], ['cats'])
    """
    numbered = all(_NUMBER.match(name) for name in typed)
    readings = [(_cleaned(name, typed, numbered), separated(name), name) for name in typed]
    level = [0] * len(typed)
    others = Counter(map(as_read, taken))
    while True:
        names = [reading[at] for reading, at in zip(readings, level, strict=True)]
        times = others + Counter(map(as_read, names))
        times.update({as_read(typed[i]) for i, name in enumerate(names) if as_read(name) != as_read(typed[i])})
        clashing = [i for i, name in enumerate(names) if level[i] < 2 and (not name or times[as_read(name)] > 1)]
        if not clashing:
            return names, [reading[2] for name, reading in zip(names, readings, strict=True) if name != reading[0]]
        for i in clashing:
            level[i] += 1


def _cleaned(typed: str, siblings: Sequence[str], numbered: bool) -> str:
    name = _without_brackets(tidy(typed), siblings)
    name = (_NUMBER if numbered else _LISTED).sub("", name, count=1)
    return _singular_name(_without_filing(separated(_VERSION.sub("", name))))


def separated(name: str) -> str:
    """Return a name with spaces between its words.

    >>> separated("Black_Bear"), separated("BlackBear"), separated("bugs-and-insects"), separated("T-shirts")
    ('Black Bear', 'Black Bear', 'bugs and insects', 'T-shirts')
    """
    name = _SEPARATORS.sub(" ", _CAPITAL.sub(" ", tidy(name)))
    return " ".join(map(_apart, name.split()))


def _apart(word: str) -> str:
    """Return the words that WordNet has only apart, such as `golf course`; of several hyphens none is left.

    >>> [_apart(word) for word in ("teddy-bear", "golfcourse", "snowman", "T-shirt", "step-by-step")]
    ['teddy bear', 'golf course', 'snowman', 'T-shirt', 'step by step']
    """
    if any(map(str.isdigit, word)) or _known(word):
        return word
    apart = [word.replace("-", " "), *(f"{word[:at]} {word[at:]}" for at in range(2, len(word) - 1))]
    return apart[0] if word.count("-") > 1 else next(filter(_known, apart), word)


def _without_brackets(name: str, siblings: Sequence[str]) -> str:
    """Return a name without brackets. Their words stay if they are a kind of the name, or tell two classes apart."""
    bare = _bare(name)
    if not bare:
        return name
    told_apart = sum(as_read(_bare(one)) == as_read(bare) for one in siblings) > 1
    words = separated(bare).casefold()
    known = meanings(words) or meanings(_singular(words.rpartition(" ")[2]))
    above = {higher for _, number in known for higher in all_above(number)}
    kinds = {word.text.casefold() for number in above for word in synsets()[number].words}

    def kept(brackets: re.Match[str]) -> str:
        return f" {brackets[1]} " if told_apart or brackets[1].strip().casefold() in kinds else " "

    return " ".join(_BRACKETS.sub(kept, name).split())


def _bare(name: str) -> str:
    return _BRACKETS.sub(" ", name).strip()


def _without_filing(name: str) -> str:
    """Return a name without words that only file it, such as `batch2` and `final`, and without the number of a plural.

    >>> [_without_filing(name) for name in ("batch2-apples", "Dog images", "cups small", "dogs v3", "tree imgs old")]
    ['apples', 'Dog', 'cups', 'dogs', 'tree']
    >>> [_without_filing(name) for name in ("motion image", "old man", "extra small", "iPhone 12", "steam train")]
    ['motion image', 'old man', 'extra small', 'iPhone 12', 'steam train']
    """
    if _known(name):
        return name
    rest = _FILED.sub("", name)
    found = _FILED_PLURAL.fullmatch(rest)
    if found and _singular_name(found[1]) != found[1]:
        rest = found[1]
    return name if rest == name else _without_filing(rest)


def _singular_name(name: str) -> str:
    """Return a name with its last word in the singular; a name that WordNet has only if its singular is more usual."""
    if _JOINED.search(name):
        return name
    lower = name.casefold()
    if meanings(lower):
        usual = [one for one in singulars(lower) if _uses(one) > RARE * max(_uses(lower), 1)]
        return usual[0] if usual else name
    first, _, last = name.rpartition(" ")
    whole = _singular(name)
    return whole if whole != name else f"{first} {_singular(last)}".strip()


def _singular(name: str) -> str:
    """Return the most usual singular of a name that WordNet lacks; any other name as it is."""
    plural = name.casefold()
    if len(plural) < SHORTEST or meanings(plural) or plural in PLURAL:
        return name
    found = filter(meanings, singulars(plural))
    return max(found, key=lambda one: (_uses(one), one == plural[:-1]), default=name)


def _uses(word: str) -> int:
    return sum(found.tagged for found, _ in meanings(word))


def _known(words: str) -> bool:
    return any(map(meanings, [words.casefold(), *singulars(words.casefold())]))
