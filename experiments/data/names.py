"""Reads the names of folders and labels as captions write class names: `001.Alarm_Clocks (new)` is an alarm clock.

WordNet says what a word is. A name that the rule would empty, or make equal to another name, is only separated into
words. Reading names a second time changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ipo_prompts.experiments.data.dataset import DataSet, default_task
from ipo_prompts.metrics.errors import several
from ipo_prompts.metrics.nouns import all_above, meanings, singulars, synsets
from ipo_prompts.metrics.template import as_read

_BRACKETS = re.compile(r"[\s_]*[(\[{]([^()\[\]{}]*)[)\]}]")
_NUMBER = re.compile(r"\d+\s*[._)\-]\s*(?=\S)")
_VERSION = re.compile(r"(.*[^\W\d])[._\-](?:v\d+|(?:19|20)\d\d)", re.IGNORECASE)
_OWNER = re.compile(r"(?:my|our)\s+(?=\S)", re.IGNORECASE)
_LAST = re.compile(r"(.*\S)[\s\-]+(?:(\d{1,3})|final|copy|new|old|misc)", re.IGNORECASE)
_JOINED = re.compile(r"\b(?:and|or|of|in|with)\b|&", re.IGNORECASE)
_SEPARATORS = re.compile(r"_+|(?<=[^\W\d])[.](?=[^\W\d])|\s+-+\s+")
_CAPITAL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
PLURAL = {"jeans", "goods", "headphones", "pajamas", "noodles", "oats", "nachos", "chopsticks", "trousers"}
"""Words that captions use in the plural, though WordNet has only their singular."""
SHORTEST = 4
"""Shorter words are no plurals, and words of fewer capitals are abbreviations (`SUV`, `bus`)."""
SHOWN = 3
"""The most names that a line shows."""
RARE = 25
"""A plural that WordNet has is one all the same if its singular is more than so many times as usual (`shoes`)."""


def read_labels(data: DataSet, named: Collection[int]) -> DataSet:
    """Return the data set with the names of its classes as captions write them, and the typed names as answers.

    Args:
        data: the data set; codes are read already.
        named: the labels of the classes whose names stay.
    """
    typed = {label: name for label, name in enumerate(data.class_names) if label not in named}
    names, _ = read_names([*typed.values()], [data.class_names[label] for label in named])
    read = dict(zip(typed, names, strict=True))
    classes = tuple(read.get(label, name) for label, name in enumerate(data.class_names))
    task = default_task(classes) if data.task == default_task(data.class_names) else data.task
    own = data.renamed_from or (data.class_names if classes != data.class_names else ())
    return replace(data, class_names=classes, task=task, renamed_from=own, typed=typed)


def names_in_words(data: DataSet, most: int = 5) -> str:
    """Say which names were read other than typed, and which were only separated; empty if all are as typed.

    Args:
        data: the data set.
        most: the most names that are listed.
    """
    own = data.renamed_from or data.class_names
    changed = [f"{typed} → {name}" for typed, name in zip(own, data.class_names, strict=True) if typed != name]
    if not changed:
        return ""
    apart = kept_apart(data)
    kept = f"; {several(apart)}: kept apart" if apart else ""
    return f"names: {several(changed, most)} ({len(changed)} of {len(data.class_names)}){kept}"


def changed_names(typed: Sequence[str], used: Sequence[str]) -> str:
    """Return the first of the names that were changed, and how many were; empty if none was.

    >>> changed_names(["Birds", "FRUIT", "flowers", "my hats", "dog"], ["bird", "fruit", "flower", "hat", "dog"])
    'bird, fruit, flower, … (4 of 5)'
    """
    changed = [str(name) for before, name in zip(typed, used, strict=True) if before != name]
    more = ["…"] * (len(changed) > SHOWN)
    return f"{', '.join(changed[:SHOWN] + more)} ({len(changed)} of {len(used)})" if changed else ""


def kept_apart(data: DataSet) -> list[str]:
    """Return the typed names that were only separated into words, because two classes would have the same name."""
    others = [name for label, name in enumerate(data.class_names) if label not in data.typed]
    return read_names([*data.typed.values()], others)[1]


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
    name = _without_brackets(unicodedata.normalize("NFC", typed).strip(), siblings)
    if numbered:
        name = _NUMBER.sub("", name, count=1)
    version = _VERSION.fullmatch(name)
    if version and _is_word(re.split(r"[\s_\-.]+", version[1])[-1]):
        name = version[1]
    return _spelled(_singular_name(_without_filing(separated(name))))


def separated(name: str) -> str:
    """Return a name with spaces between its words.

    >>> separated("Black_Bear"), separated("BlackBear"), separated("bugs-and-insects"), separated("T-shirts")
    ('Black Bear', 'Black Bear', 'bugs and insects', 'T-shirts')
    """
    name = _SEPARATORS.sub(" ", _CAPITAL.sub(" ", unicodedata.normalize("NFC", name)))
    return " ".join(map(_without_hyphens, name.split()))


def _without_hyphens(word: str) -> str:
    """Return a word without hyphens if WordNet has it only with spaces, or if it has several hyphens."""
    if "-" not in word or any(map(str.isdigit, word)) or _known(word):
        return word
    apart = word.replace("-", " ")
    return apart if word.count("-") > 1 or _known(apart) else word


def _without_brackets(name: str, siblings: Sequence[str]) -> str:
    """Return a name without brackets. Their words stay if they are a kind of the name, or tell two classes apart."""
    bare = _bare(name)
    if not bare:
        return name
    told_apart = sum(as_read(_bare(one)) == as_read(bare) for one in siblings) > 1
    kinds = _kinds(separated(bare))

    def kept(brackets: re.Match[str]) -> str:
        return f" {brackets[1]} " if told_apart or brackets[1].strip().casefold() in kinds else " "

    return " ".join(_BRACKETS.sub(kept, name).split())


def _bare(name: str) -> str:
    return _BRACKETS.sub(" ", name).strip()


def _kinds(name: str) -> set[str]:
    """Return the words, in lower case, for what a name is in any meaning. If WordNet lacks it, its last word counts."""
    known = meanings(name.casefold()) or meanings(_singular(name.split()[-1]).casefold())
    above = {higher for _, number in known for higher in all_above(number)}
    return {word.text.casefold() for number in above for word in synsets()[number].words}


def _without_filing(name: str) -> str:
    """Return a name without words that only file it: `my`, `final`, and the number behind a plural."""
    name = _OWNER.sub("", name, count=1) if _OWNER.match(name) else name
    found = _LAST.fullmatch(name)
    if not found or meanings(name.casefold()):
        return name
    word = found[1].split()[-1]
    return found[1] if _is_plural(word) or (not found[2] and _known(word)) else name


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


def _is_plural(word: str) -> bool:
    return not meanings(word.casefold()) and _known(word)


def _known(words: str) -> bool:
    return any(map(meanings, [words.casefold(), *singulars(words.casefold())]))


def _is_word(word: str) -> bool:
    """Return whether a word is a common noun or a plural: a year behind it is no part of the name."""
    if _is_plural(word):
        return True
    return len(word) > 2 and any(found.text.islower() for found, _ in meanings(word.casefold()))


def _spelled(name: str) -> str:
    """Return a name in WordNet's case; if WordNet lacks it, without words in capitals other than abbreviations."""
    known = [found.text for found, _ in meanings(name.casefold())]
    if known:
        return name if name in known else known[0]
    return " ".join(map(_lowered, name.split()))


def _lowered(word: str) -> str:
    written = [found.text for found, _ in meanings(word.casefold())]
    shouted = word.isupper() and sum(map(str.isalpha, word)) >= SHORTEST
    return word.lower() if shouted and word not in written else word
