"""Finds domain words: in the names of the classes, in what the data are called, in an answer of a language model.

Everyday words are listed in `domain.yaml`, each with its anchors in WordNet. A class name that lies below an anchor of
a word speaks for the word. Names and data choose among the listed words; only a language model gives others. No word
that names a class is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.nouns import all_above, all_below, meanings, synsets
from ipo_prompts.metrics.template import names_class, names_of
from ipo_prompts.programs.other_names import SENSES, forms_of, known_forms, senses
from ipo_prompts.programs.phrases import DomainWord, WordKind
from ipo_prompts.programs.strategies.base import Forecast, most_tokens

if TYPE_CHECKING:
    import dspy

MOST_ASKED = 10
"""The most words of each kind from a language model."""
COVERED = 0.2
"""The least share of the names that WordNet knows, and of names below a word."""
OFTEN_MEANT_OTHERWISE = ("train", "part", "document", "shop", "place")
"""Words of the list that are seldom meant as such in the name of a folder or a data set."""
SHOWN = 40
"""The most class names in the question to a language model."""


def domain_of(
    class_names: Sequence[str], texts: Iterable[str], asked: Sequence[DomainWord] = ()
) -> tuple[DomainWord, ...]:
    """Return the domain words of a data set, each once, without words that name a class.

    Three sources take turns, so that the best word of each comes early: a language model, what the data are called, and
    the names of the classes.

    Args:
        class_names: the names of the classes.
        texts: the sentence on the task, and what data, folder or table are called.
        asked: the words of `ask_for_domain`.
    """
    return _usable(_in_turn(asked, from_words(texts), from_names(class_names)), class_names)


def _in_turn(*sources: Iterable[DomainWord]) -> list[DomainWord]:
    return [word for turn in zip_longest(*sources) for word in turn if word is not None]


def _usable(words: Iterable[DomainWord], class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return each word once, without words that name a class, as "grape" names the class "grapes"."""
    once: dict[str, DomainWord] = {}
    for word in words:
        once.setdefault(word.text, word)
    for name in class_names:  # the outer loop, because `re` keeps the patterns of few names
        for form in (name, *forms_of(str(name).casefold())):
            once = {text: word for text, word in once.items() if not names_class(text, form)}
    return tuple(once.values())


class _Listed(NamedTuple):
    """A word of the list: its kind, and the numbers of its anchors in WordNet."""

    kind: WordKind
    anchors: tuple[int, ...]


@cache
def everyday() -> dict[str, _Listed]:
    """Return the words of the list, in its order."""
    content = yaml.safe_load((Path(__file__).parent / "domain.yaml").read_text("utf-8"))
    return {
        word: _Listed(kind, tuple(_number(anchor) for anchor in anchors))
        for kind, words in content.items()
        for word, anchors in words.items()
    }


def _number(anchor: str) -> int:
    word, _, sense = anchor.partition(".")
    return next(number for one, number in meanings(word) if one.sense == int(sense or 1) and one.text == word)


# From the names of the classes.


def from_names(class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return the words below which at least a share `COVERED` of the class names lies, by share × information.

    First come words that are true of half of the names, then words that are narrower than one of these. Names that
    WordNet lacks say nothing, and a rarer sense of a name weighs less. Without a word that is true of half of the names
    there is no domain, and no word. The information of a word is −log of the share of all nouns below it, in nats.

    >>> [word.text for word in from_names(["rose", "daffodil", "tulip", "orchid"])][:2]
    ['plant', 'flower']
    """
    lifted = [up for name in class_names if (up := _above(name))]
    if not lifted or len(lifted) < COVERED * len(class_names):
        return ()
    score: dict[str, float] = {}
    share: dict[str, float] = {}
    for text, word in everyday().items():
        share[text] = sum(max((up.get(one, 0.0) for one in word.anchors), default=0.0) for up in lifted) / len(lifted)
        if share[text] >= COVERED:
            score[text] = -share[text] * math.log(len(all_below(word.anchors)) / len(synsets()))
    best = sorted(score, key=lambda text: -score[text])
    true = [text for text in best if share[text] >= 0.5]
    within = all_below(number for text in true for number in everyday()[text].anchors)
    narrower = [text for text in best if text not in true and not within.isdisjoint(everyday()[text].anchors)]
    return tuple(DomainWord(text, everyday()[text].kind, "names") for text in (*true, *narrower))


def _above(class_name: str) -> dict[int, float]:
    """Return the meanings above the names of a class → their weight; rarer senses weigh less."""
    up: dict[int, float] = {}
    for form in (form for name in names_of(class_name) for form in known_forms(name)):
        for rank, number in enumerate(senses(form)[:SENSES]):
            for one in all_above(number):
                up[one] = max(up.get(one, 0.0), 1 / (1 + rank / 2))
    return up


# From what the user calls the data.


def from_words(texts: Iterable[str]) -> tuple[DomainWord, ...]:
    """Return the words of the list in a sentence on the task and in names of data sets, folders and tables.

    >>> [word.text for word in from_words(["hf:nelorth/oxford-flowers", "data/train", "sun397", "MyXRays_v2"])]
    ['flower', 'x-ray']
    """
    listed = {re.sub(r"[^a-z]", "", word): word for word in everyday() if word not in OFTEN_MEANT_OTHERWISE}
    found = []
    for text in texts:
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
        tokens = [token.casefold() for token in re.findall(r"[^\W\d_]+", parted)]
        for token, after in zip_longest(tokens, tokens[1:], fillvalue=""):
            tried = [*(token + form for form in _singulars(after)), *_singulars(token)]
            found += [listed[form] for form in tried if form in listed][:1]
    return tuple(DomainWord(word, everyday()[word].kind, "said") for word in found)


def _singulars(token: str) -> list[str]:
    """Return a word and the singulars that it may have."""
    return [token, token.removesuffix("s"), *forms_of(token)]


# From a language model.


def ask_for_domain(lm: dspy.LM, task: str, class_names: Sequence[str], seed: int) -> tuple[DomainWord, ...]:
    """Ask a language model once what all classes are and what all images are. At most `SHOWN` names are sent.

    The words may name classes, and a word may come twice: `domain_of` leaves such words out. If a limit of the run is
    reached, or the answer cannot be read, no words are returned.

    Args:
        lm: the language model, which records its questions.
        task: one sentence on what the images are.
        class_names: the classes.
        seed: the seed of the question.

    Raises:
        dspy.LMError: the language model cannot be reached.
    """
    import dspy

    from ipo_prompts.programs.lm.replies import ask_lm
    from ipo_prompts.signatures.propose import ProposeDomain

    with dspy.context(lm=lm):
        try:
            answer = ask_lm(ProposeDomain, _question(task, class_names), seed)
        except (dspy.AdapterParseError, BudgetReached):
            return ()
    return tuple(_in_turn(_read(answer.kinds, "thing"), _read(answer.pictures, "image")))


def forecast_domain(class_names: Sequence[str], task: str, reply_tokens: int) -> Forecast:
    """Return an upper bound of the call and tokens of the question for domain words: one token for each byte."""
    from ipo_prompts.signatures.propose import ProposeDomain

    return Forecast(1, most_tokens(ProposeDomain, _question(task, class_names)), reply_tokens)


def _question(task: str, class_names: Sequence[str]) -> dict[str, Any]:
    return {"task": task, "classes": [str(class_names[label]) for label in spread(len(class_names), SHOWN)]}


def _read(answer: Any, kind: WordKind) -> list[DomainWord]:
    """Read the words of a language model: at most three words each, letters only, in lower case and in the singular.

    >>> [word.text for word in _read(["Flowers", "a plant", "<b>", "one of many things", 3], "thing")]
    ['flower', 'plant']
    """
    found = []
    for text in answer if isinstance(answer, list) else ():
        words = re.sub(
            r"^(?:an?|the) | (?:photo|photograph|picture|image)s?$", "", str(text).casefold().strip(" .\"'`*-")
        )
        if re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,2}", words):
            first, _, last = words.rpartition(" ")
            found.append(f"{first} {(forms_of(last) or [last])[-1]}".strip())
    return [
        DomainWord(word, everyday()[word].kind if word in everyday() else kind, "language model")
        for word in [*dict.fromkeys(found)][:MOST_ASKED]
    ]
