"""Candidates for class names: from WordNet, from a language model, or synonyms that the user wrote.

WordNet gives the singular of a name and the synonyms of its four most usual meanings, but no persons and no parts of
the body. It also gives the name with the word for its kind ("crane bird"), and two words for each hypernym (a more
general meaning, such as "feline" for "cat"). If WordNet lacks a name, its last words and its first
words are looked up. Candidates are guesses: the images decide which candidate is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ipo_prompts.metrics.arrays import batches
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.nouns import all_above, meanings, singulars, synsets
from ipo_prompts.metrics.template import SLOT, as_read, every_name, names_of, tidy
from ipo_prompts.programs.strategies.base import Forecast, most_tokens

if TYPE_CHECKING:
    import dspy

SENSES = 4
ABOVE = 2
"""The number of words that are taken from each hypernym of a meaning."""
MOST = 24
"""The most candidates of a class. Each candidate is a text that the CLIP has to encode."""
LONGEST = 60
"""The most characters of a candidate."""
BATCH = 20
"""The number of classes in one question to a language model."""
ASKED = 5
"""The most names of one class that are taken from a language model's answer."""
NO_THINGS = {7846, 5220461}
"""WordNet's numbers of a person and of a part of the body."""
_LINE = re.compile(r"^\W*(?P<name>.+?)\s*[:=→–]\s*(?P<names>.+)$")


def candidates_of(class_names: Sequence[str], more: Sequence[Sequence[str]] = ()) -> list[list[str]]:
    """Return the candidates of each class. No candidate is the name of another class.

    Args:
        class_names: the class names. Each synonym of a class is looked up in WordNet, and is itself a candidate.
        more: further candidates of each class, which come first.

    >>> candidates_of(["puppies", "dog"])[0]
    ['puppy', 'puppy pup', 'pup', 'whelp', 'domestic dog']
    """
    taken = {as_read(name) for name in every_name(class_names)}
    found = []
    for label, class_name in enumerate(class_names):
        own = [*(more[label] if more else ())]
        names = names_of(class_name)
        own += names if len(names) > 1 else ()
        own += [word for name in names for word in in_wordnet(name)]
        mine = {as_read(name) for name in names} if len(names) > 1 else set()
        once = {as_read(name): tidy(name) for name in reversed(own) if usable_name(name)}
        wanted = dict.fromkeys(as_read(name) for name in own)
        found.append([once[name] for name in wanted if name in once and (name in mine or name not in taken)][:MOST])
    return found


def usable_name(name: str) -> bool:
    """Return whether a text can stand for a class in a prompt.

    >>> [usable_name(name) for name in ("tabby cat", "17", "a <CLASS>", "")]
    [True, False, False, False]
    """
    plain = any(character.isalpha() for character in name) and name.isprintable()
    return plain and len(name) <= LONGEST and SLOT not in name and not set("<>{}[]\\") & set(name)


def in_wordnet(name: str) -> list[str]:
    """Return the words that WordNet has for a name: the singular, synonyms, the name with its kind, and hypernyms.

    Meanings that are persons or parts of the body are left out, unless the most usual meaning is one.

    >>> in_wordnet("Tabby_Cats"), in_wordnet("xyzzy")
    (['tabby cat', 'tabby', 'domestic cat', 'house cat'], [])
    >>> "crane bird" in in_wordnet("crane"), "writer" in in_wordnet("crane")
    (True, False)
    """
    forms = known_forms(name)
    meant = [(form, number) for form in forms for number in things(form)]
    found = [*forms, *(word.text for _, number in meant for word in synsets()[number].words)]
    found += [one for form, number in meant for one in _with_kind(form, number)]
    for _, number in meant:
        for above in synsets()[number].hypernyms:
            found += [word.text for word in synsets()[above].words[:ABOVE]]
    return [word for word in dict.fromkeys(found) if word.casefold() != as_read(name)]


def _with_kind(form: str, number: int) -> list[str]:
    """Return a word with the last word of the next hypernym that it does not end with: `crane bird`."""
    kinds = (synsets()[above].words[0].text.split()[-1] for above in synsets()[number].hypernyms[:1])
    return [f"{form} {kind}" for kind in kinds if kind.casefold() not in form.casefold().split()]


def things(form: str) -> list[int]:
    """Return the most usual meanings of a word, without persons and parts of the body unless the first is one."""
    found = senses(form)
    if found and not NO_THINGS & set(all_above(found[0])):
        found = [number for number in found if not NO_THINGS & set(all_above(number))]
    return found[:SENSES]


def known_forms(name: str) -> list[str]:
    """Return the forms of a name that WordNet has.

    Numbers are ignored. If WordNet lacks the whole name, return the forms of the longest end and of the longest
    beginning that it has. The end comes first, because the last word mostly says what the thing is.
    """
    words = [word for word in re.split(r"[\s\-.]+", as_read(name)) if not word.isdigit()]
    if whole := forms_of(" ".join(words)) or forms_of("-".join(words)):
        return whole
    ends = (words[start:] for start in range(1, len(words)))
    starts = (words[:end] for end in range(len(words) - 1, 0, -1))
    found = [next((forms for part in parts if (forms := forms_of(" ".join(part)))), []) for parts in (ends, starts)]
    return list(dict.fromkeys(form for forms in found for form in forms))


def forms_of(name: str) -> list[str]:
    """Return the forms of a name that WordNet has: the name itself and its singulars."""
    found = [name] if senses(name) else []
    for form in singulars(name):
        usual = senses(form)[:1]
        if any(word.text == form for number in usual for word in synsets()[number].words):
            found.append(form)
    return list(dict.fromkeys(found))


@cache
def senses(word: str) -> list[int]:
    """Return the numbers of a word's meanings, the most usual meaning first.

    Proper names are left out, unless all meanings are proper names.
    """
    found = meanings(word)
    proper = all(one.text[0].isupper() for one, _ in found)
    return [number for one, number in found if one.text[0].isupper() == proper]


def ask_for_names(lm: dspy.LM, task: str, class_names: Sequence[str], seed: int) -> list[list[str]]:
    """Ask a language model for other names of the classes. Answers that cannot be read give no candidates.

    If a limit of the run is reached, the asking ends, and the names given so far are returned.

    Args:
        lm: the language model, which records its questions.
        task: one sentence on what the images are.
        class_names: the classes.
        seed: the seed of the questions.

    Raises:
        dspy.LMError: the language model cannot be reached.
    """
    import dspy

    from ipo_prompts.programs.lm.replies import ask_lm
    from ipo_prompts.signatures.propose import ProposeNames

    found: list[list[str]] = [[] for _ in class_names]
    for batch in batches(range(len(class_names)), BATCH):
        inputs = {"task": task, "classes": [str(class_names[label]) for label in batch]}
        with dspy.context(lm=lm):
            try:
                lines = ask_lm(ProposeNames, inputs, seed).lines
            except dspy.AdapterParseError as error:
                lines = str(error.lm_response or "").splitlines()
            except BudgetReached:
                break
        for label, names in read_candidates(lines, {as_read(class_names[label]): label for label in batch}).items():
            found[label] = names
    return found


def forecast_names(class_names: Sequence[str], task: str, reply_tokens: int) -> Forecast:
    """Return an upper bound of the calls and tokens that a question for names takes; each byte counts as a token."""
    from ipo_prompts.signatures.propose import ProposeNames

    asked = [{"task": task, "classes": batch} for batch in batches(list(map(str, class_names)), BATCH)]
    told = sum(most_tokens(ProposeNames, inputs) for inputs in asked)
    return Forecast(len(asked), told, len(asked) * reply_tokens)


def read_candidates(lines: Any, label_of: Mapping[str, int]) -> dict[int, list[str]]:
    """Read `class: name, name` lines. Lines of unknown classes and names that cannot stand in a prompt are dropped.

    >>> read_candidates(["- Pups: puppy, <b>dog</b>, young dog", "nothing", 3], {"pups": 0})
    {0: ['puppy', 'young dog']}
    """
    found: dict[int, list[str]] = {}
    for line in lines if isinstance(lines, list) else ():
        match = _LINE.match(line) if isinstance(line, str) else None
        if match and (label := label_of.get(as_read(match["name"].strip("`'\"*")))) is not None:
            names = [tidy(name.strip("`'\"*. ")) for name in re.split(r"[,;/]", match["names"])]
            found[label] = [name for name in dict.fromkeys(names) if usable_name(name)][:ASKED]
    return found
