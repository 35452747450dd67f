"""Makes `programs/templates/general.yaml` from WordNet 3.0: a vocabulary chosen without any picture or CLIP.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python -m tools.general_vocabulary wordnet/usr/share/wordnet

The rule takes the adjectives and the nouns that were tagged most often in texts, equally many of both, and together as
many as the shipped vocabulary has phrases. The tags of all senses of a word as that part of speech are summed; ties are
broken by the alphabet. Left out are

- words that name a transformation in the captions of any demo or control CLIP (`tools/embedded/words.yaml`), words with
  the same first five letters, and, if one of the two words is shorter than five letters, inflections such as "darker";
- words that do not consist of three or more letters a to z, and words that are taken as adjectives already;
- words whose first sense does not fit between "a" and "picture": numbers and quantities, and adjectives that are only
  used as predicates ("afraid");
- words whose first sense is written with a capital ("American"), and nouns whose first sense is a person: nobody says
  these of a picture, and some insult.

Adjectives stand before "picture" and nouns behind the class, as in the shipped vocabulary. No two words of one group
stand together in a template. So a group holds words that exclude one another most: adjectives that WordNet lists as
similar or opposite, or nouns of one of WordNet's 25 topics. The same files give the same bytes.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import yaml

from ipo_prompts.programs.templates.phrases import Vocabulary
from tools.embedded.vocabulary import WORDS

FILE = Path(__file__).parents[1] / "programs" / "templates" / "general.yaml"
FORMS = {"adj": "a PHRASE picture of a <CLASS>.", "noun": "a picture of a <CLASS>, PHRASE."}
KINDS = {"1": "noun", "3": "adj", "5": "adj"}
"""WordNet's number of a part of speech → the part; 5 is a satellite, an adjective that is similar to its head."""
PERSON = 18
"""WordNet's number of the topic of nouns for persons."""
QUANTITIES = frozenset({"cardinal", "ordinal", "some", "many", "much", "more", "most"})
"""Heads of the adjectives of number and quantity."""
BEGINNING = 5
INFLECTIONS = ("s", "es", "d", "ed", "er", "est", "r", "st", "ing", "ly", "y", "ish", "n", "en")
_HEAD = """# Made by `tools/general_vocabulary.py`, where the rule stands, of WordNet 3.0, whose licence is in
# `metrics/NOTICE.md`; never edit it by hand.

"""


def main(folder: Path) -> None:
    """Write the file."""
    half = len(Vocabulary.load().phrases) // 2
    counts, groups = tags(folder), {"adj": clusters(folder), "noun": topics(folder)}
    taken: set[str] = set()
    found: dict[tuple[str, str], list[str]] = {}
    for kind, group_of in groups.items():
        ranked = sorted(group_of, key=lambda word: (-counts[kind, word], word))
        words = [word for word in ranked if is_fit(word) and word not in taken][:half]
        taken |= {*words}
        for word in words:
            found.setdefault((kind, group_of[word]), []).append(word)
    content = {
        "bare": Vocabulary.load().bare,
        "groups": [{"name": name, "form": FORMS[kind], "phrases": words} for (kind, name), words in found.items()],
    }
    FILE.write_text(_HEAD + yaml.safe_dump(content, sort_keys=False, width=110, default_flow_style=None), "utf-8")


def captioned() -> set[str]:
    """Return every word that names a transformation in captions, whatever the recipe."""
    said = " ".join(one for words in WORDS.values() for place in astuple(words) for one in place)
    return {*re.findall("[a-z]+", said)}


def is_fit(word: str) -> bool:
    """Whether a word can be in the vocabulary, whatever its frequency."""
    return bool(re.fullmatch("[a-z]{3,}", word)) and not any(is_near(word, said) for said in captioned())


def is_near(word: str, said: str) -> bool:
    """Whether two words are the same word, or forms of one word.

    >>> is_near("darker", "dark"), is_near("negation", "negative"), is_near("general", "grainy")
    (True, True, False)
    """
    if min(len(word), len(said)) >= BEGINNING:
        return word[:BEGINNING] == said[:BEGINNING]
    short, long = sorted((word, said), key=len)
    return len(short) > 2 and (short == long or (long.startswith(short) and long[len(short) :] in INFLECTIONS))


def tags(folder: Path) -> Counter[tuple[str, str]]:
    """Return how often each word was tagged as an adjective or a noun."""
    found: Counter[tuple[str, str]] = Counter()
    for key, _, count in (line.split() for line in _lines(folder / "cntlist.rev")):
        word, sense = key.split("%")
        if kind := KINDS.get(sense[0]):
            found[kind, word] += int(count)
    return found


def topics(folder: Path) -> Mapping[str, str]:
    """Return noun → topic of its first sense, for the nouns that may be said of a picture."""
    files = {fields[0]: int(fields[1]) for fields in _synsets(folder, "noun")}
    words = {fields[0]: spelled(fields) for fields in _synsets(folder, "noun")}
    firsts = _firsts(folder, "noun")
    return {word: f"topic {files[first]}" for word, first in firsts if files[first] != PERSON and word in words[first]}


def clusters(folder: Path) -> Mapping[str, str]:
    """Return adjective → cluster of its first sense, for the adjectives that may stand before "picture".

    A cluster is named by its head. A head and its opposite are one cluster; a satellite is in the cluster of its head.
    """
    heads: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    opposites: dict[str, str] = {}
    for fields in _synsets(folder, "adj"):
        number, _, kind, many, *rest = fields
        words[number] = spelled(fields)
        pointers = rest[2 * int(many, 16) + 1 :]
        pairs = [(pointers[k], pointers[k + 1]) for k in range(0, len(pointers) - 3, 4)]
        heads[number] = number if kind != "s" else next(other for sign, other in pairs if sign == "&")
        opposites[number] = min([number, *(other for sign, other in pairs if sign == "!")])
    names = {number: words[opposites[head]][0].partition("(")[0] for number, head in heads.items()}
    return {
        word: f"like {names[first]}"
        for word, first in _firsts(folder, "adj")
        if {word, f"{word}(a)"} & {*words[first]} and not QUANTITIES & {names[first], words[heads[first]][0]}
    }


def spelled(fields: Sequence[str]) -> list[str]:
    """Return the words of a sense as they are written, with capitals and marks such as (p), used as predicate only."""
    return [fields[4 + 2 * k] for k in range(int(fields[3], 16))]


def _firsts(folder: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Yield each word with the number of its first sense."""
    for line in _lines(folder / f"index.{kind}"):
        if not line.startswith("  "):
            word, _, senses, *rest = line.split()
            yield word, rest[-int(senses)]


def _synsets(folder: Path, kind: str) -> Iterator[list[str]]:
    """Yield the fields of each sense, without its gloss."""
    lines: Iterable[str] = _lines(folder / f"data.{kind}")
    yield from (line.partition(" | ")[0].split() for line in lines if not line.startswith("  "))


def _lines(file: Path) -> Iterator[str]:
    yield from file.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
