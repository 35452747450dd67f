"""Finds domain words: from the names of the classes, from what the data are called, from the pictures, from an answer.

Everyday words are listed in `templates/domain.yaml`, each with its anchors in WordNet. A class name that lies below an
anchor of a word speaks for the word. No word is taken at random, and no word that names a class is used.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.nouns import all_above, all_below, meanings, synsets
from ipo_prompts.metrics.template import SLOT, names_class, names_of
from ipo_prompts.programs.candidates import SENSES, forms_of, known_forms, senses
from ipo_prompts.programs.strategies.base import Forecast
from ipo_prompts.programs.templates.domain_words import DomainWord, WordKind
from ipo_prompts.programs.templates.phrases import Phrase, Vocabulary

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.reward import Reward, Units

MOST = 70
"""The most domain words of a data set."""
MOST_OF_A_SOURCE = 10
"""The most hypernyms of the names, words from the pictures, and words of each kind from a language model."""
COVERED = 0.2
"""The least share of the names that WordNet knows, and of names below a word."""
AGAINST = 0.05
"""If fewer names than this share lie below a word, the names speak against the word."""
WIDEST = 0.06
"""A hypernym with more than this share of all nouns below it says nothing: a person, an artifact."""
SAID = 5
"""How often texts have to use a hypernym in this sense: "solid", and not "sustenance" or "vertebrate"."""
TOO_WIDE = ("object", "act.2", "region.3", "container")
"""Hypernyms that say nothing, and so do those above them: a thing, an event, a location, a container (to WordNet, a car
is one). No name of a person is used: many names of animals are also said of people."""
SHOWN = 40
"""The most class names in the question to a language model."""
FORMS: dict[WordKind, str] = {
    "thing": f"a picture of a {SLOT}, a type of PHRASE.",
    "place": f"a picture of a {SLOT}, a type of PHRASE.",
    "doing": f"a picture of a {SLOT}, a type of PHRASE.",
    "picture": f"a PHRASE picture of a {SLOT}.",
}
"""The template in which the CLIP compares words of a kind with pictures."""


def find_domain(
    reward: Reward, units: Units, texts: Sequence[str], lm: dspy.LM | None, task: str, seed: int
) -> tuple[DomainWord, ...]:
    """Find the domain words of a search.

    Args:
        reward, units: the reward, and the search units.
        texts: what the data are called, and the task.
        lm: the language model, which records its questions; None asks nothing.
        task, seed: see `ask_for_domain`.
    """
    names, labels = reward.class_names, units.labels
    seen: tuple[DomainWord, ...] = ()
    if isinstance(reward, ClipReward) and isinstance(units, EncodedPictures):
        truth = None if labels is None else labels.tolist()  # a reward of the user's own may have units without
        seen = from_clip(reward.clip, units.features, truth, names)
    asked = ask_for_domain(lm, task, names, seed) if lm else ()
    return domain_of(names, texts, seen, asked)


def domain_of(
    class_names: Sequence[str],
    texts: Iterable[str],
    seen: Sequence[DomainWord] = (),
    asked: Sequence[DomainWord] = (),
) -> tuple[DomainWord, ...]:
    """Return the domain words of a data set: at most `MOST`, each once, and none that names a class.

    Three sources take turns, so that the best word of each comes early: a language model, what the data are called, and
    the names of the classes. What the CLIP sees comes next, because on the embedded pictures it found no right word.
    Words of the data that the names speak against come last.

    Args:
        class_names: the names of the classes.
        texts: the sentence on the task, and what data, folder or table are called.
        seen: the words of `from_clip`.
        asked: the words of `ask_for_domain`.
    """
    said = from_words(texts, class_names)
    doubted = [word for word in said if _against(word, class_names)]
    trusted = [word for word in said if word not in doubted]
    in_turn = _in_turn(asked, trusted, from_names(class_names))
    return _usable((*in_turn, *seen, *doubted), class_names)[:MOST]


def _in_turn(*sources: Iterable[DomainWord]) -> list[DomainWord]:
    return [word for turn in zip_longest(*sources) for word in turn if word is not None]


def _usable(words: Iterable[DomainWord], class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return each word once, without the words that name a class."""
    once: dict[str, DomainWord] = {}
    for word in words:
        once.setdefault(word.text, word)
    named = {text for name in class_names for text in once if names_class(text, name)}
    return tuple(word for text, word in once.items() if text not in named)


class _Listed(NamedTuple):
    """A word of the list: its kind, and the numbers of its anchors in WordNet."""

    kind: WordKind
    anchors: tuple[int, ...]


@cache
def _file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "templates/domain.yaml").read_text("utf-8"))
    return content


@cache
def everyday() -> dict[str, _Listed]:
    """Return the words of the list, in its order."""
    return {
        word: _Listed(kind, tuple(_number(anchor) for anchor in anchors))
        for kind, words in _file()["words"].items()
        for word, anchors in words.items()
    }


def _number(anchor: str) -> int:
    word, _, sense = anchor.partition(".")
    return next(number for one, number in meanings(word) if one.sense == int(sense or 1) and one.text == word)


@cache
def _information(numbers: tuple[int, ...]) -> float:
    """Return −log of the share of WordNet's nouns that lie below meanings, in nats."""
    return -math.log(len(all_below(numbers)) / len(synsets()))


def _says_something(number: int) -> bool:
    return _information((number,)) >= -math.log(WIDEST)


# From the names of the classes.


def from_names(class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return the words below which at least a share `COVERED` of the class names lies, by share × information.

    Words of the list take turns with at most `MOST_OF_A_SOURCE` hypernyms. First come words that are true of half of
    the names, then words that are narrower than one of these. Names that WordNet lacks say nothing, and a rarer sense
    of a name weighs less. Without a word that is true of half of the names there is no domain, and no word.

    >>> [word.text for word in from_names(["rose", "daffodil", "tulip", "orchid"])][:2]
    ['plant', 'flower']
    """
    lifted = _lifted(tuple(class_names))
    if not lifted or len(lifted) < COVERED * len(class_names):
        return ()
    lists = [everyday(), _hypernyms(lifted)]
    anchors = {text: one.anchors for words in lists for text, one in words.items()}
    share = {text: _weight(lifted, numbers) for text, numbers in anchors.items()}
    found = list[list[DomainWord]]()
    for words in lists:
        score = {text: share[text] * _information(one.anchors) for text, one in words.items() if share[text] >= COVERED}
        best = sorted(score, key=lambda text: -score[text])
        found.append([DomainWord(text, words[text].kind, "names") for text in best])
    turns = _usable(_in_turn(found[0], found[1][:MOST_OF_A_SOURCE]), class_names)
    true = [word for word in turns if share[word.text] >= 0.5]
    within = all_below(number for word in true for number in anchors[word.text])
    narrower = [word for word in turns if word not in true and not within.isdisjoint(anchors[word.text])]
    return (*true, *narrower)


def _hypernyms(lifted: Sequence[dict[int, float]]) -> dict[str, _Listed]:
    """Return the hypernyms of enough names that are not in the list: the word of each most tagged in this sense."""
    total, found = Counter[int](), dict[str, _Listed]()
    for up in lifted:
        total.update(up)
    wide = {higher for anchor in TOO_WIDE for higher in all_above(_number(anchor))} | all_below([_number("person")])
    for number, weight in reversed(total.most_common()):
        if weight >= COVERED * len(lifted) and number not in wide and _says_something(number):
            word = max(synsets()[number].words, key=lambda one: one.tagged)
            if word.tagged >= SAID and word.text.islower() and word.text not in everyday():
                found[word.text] = _Listed(_kind(number), (number,))
    return found


@lru_cache(maxsize=8)
def _lifted(class_names: tuple[str, ...]) -> list[dict[int, float]]:
    """Return for each class that WordNet knows the meanings above its names → their weight; rarer senses weigh less."""
    found = []
    for class_name in class_names:
        up: dict[int, float] = {}
        for form in (form for name in names_of(class_name) for form in known_forms(name)):
            for rank, number in enumerate(senses(form)[:SENSES]):
                for one in all_above(number):
                    up[one] = max(up.get(one, 0.0), 1 / (1 + rank / 2))
        found.append(up)
    return [up for up in found if up]


def _weight(lifted: Sequence[dict[int, float]], anchors: Iterable[int]) -> float:
    """Return the mean, over classes, of the weight of the most usual meaning that lies below anchors."""
    return sum(max((up.get(anchor, 0.0) for anchor in anchors), default=0.0) for up in lifted) / len(lifted)


def _kind(number: int) -> WordKind:
    higher = all_above(number)
    return "doing" if _number("act.2") in higher else "place" if _number("location") in higher else "thing"


# From what the user calls the data.


def from_words(texts: Iterable[str], class_names: Sequence[str] = ()) -> tuple[DomainWord, ...]:
    """Return the domain words in a sentence on the task and in names of data sets, folders and tables.

    Words of the list come first, and words that the names speak against come last. Any other noun counts only if names
    lie below it, or if it is a thing in the plural: `data/guitars` holds guitars, but `data/garage` holds no garages.

    >>> [word.text for word in from_words(["hf:nelorth/oxford-flowers", "data/train", "sun397", "EuroSAT_RGB"])]
    ['flower']
    """
    listed = {re.sub(r"[^a-z]", "", word.casefold()): word for word in everyday()}
    found, others = list[DomainWord](), list[DomainWord]()
    for text in texts:
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
        tokens = [token.casefold() for token in re.findall(r"[^\W\d_]+", parted)]
        for token, after in zip_longest(tokens, tokens[1:], fillvalue=""):
            forms = _singulars(token)
            if any(form in _no_domain() for form in forms):
                continue
            joined = [token + form for form in _singulars(after)]
            if word := next((listed[form] for form in (*joined, *forms) if form in listed), None):
                found.append(DomainWord(word, everyday()[word].kind, "said"))
            elif len(token) > 2 and senses(forms[-1]) and _is_thing(forms[-1], forms[-1] != token, class_names):
                others.append(DomainWord(forms[-1], "thing", "said"))
    words = _usable((*found, *others), class_names)
    return tuple(sorted(words, key=lambda word: _against(word, class_names)))


@cache
def _no_domain() -> frozenset[str]:
    return frozenset(_file()["no_domain"].split())


def _singulars(token: str) -> list[str]:
    """Return a word and the singulars that it may have."""
    return list(dict.fromkeys([token, token.removesuffix("s"), *forms_of(token)]))


def _is_thing(noun: str, is_plural: bool, class_names: Sequence[str]) -> bool:
    usual = senses(noun)[0]
    if not any(word.text == noun for word in synsets()[usual].words):  # a proper name
        return False
    if _share(_lifted(tuple(class_names)), [usual]) >= AGAINST:
        return True
    things = [one.anchors for word, one in everyday().items() if one.kind == "thing" and word != "person"]
    return is_plural and not set(all_above(usual)).isdisjoint(chain(*things))


def _against(word: DomainWord, class_names: Sequence[str]) -> bool:
    """Return whether WordNet knows most names, and hardly any lies below the word or below what the word is."""
    lifted = _lifted(tuple(class_names))
    anchors = everyday()[word.text].anchors if word.text in everyday() else tuple(senses(word.text)[:1])
    if word.kind == "picture" or not anchors or 2 * len(lifted) <= len(class_names):
        return False
    near = {higher for anchor in anchors for higher in all_above(anchor) if _says_something(higher)}
    return _share(lifted, anchors) < AGAINST and all(_share(lifted, [higher]) < COVERED for higher in near)


def _share(lifted: Sequence[dict[int, float]], numbers: Collection[int]) -> float:
    """Return the share of the known names that have a meaning below any of `numbers`."""
    return sum(any(number in up for number in numbers) for up in lifted) / max(1, len(lifted))


# From the pictures.


def from_clip(
    clip: Clip, features: Floats, labels: Sequence[int] | None, class_names: Sequence[str]
) -> tuple[DomainWord, ...]:
    """Return the words of the list that stand out to the CLIP, the strongest first; see `interrogator.py`.

    Args:
        clip: the CLIP that encodes pictures and prompts.
        features: the features of n pictures, float32 (n, D), unit rows.
        labels: for each picture, the index of its class in `class_names`; None compares all pictures without a class.
        class_names: the names of the classes.
    """
    from ipo_prompts.programs.interrogator import looks_like

    phrases = tuple(Phrase(word, word, FORMS[one.kind]) for word, one in everyday().items())
    vocabulary = Vocabulary(phrases, f"a picture of a {SLOT}.")
    words = [phrase.text for phrase in looks_like(clip, features, labels, class_names, vocabulary)]
    return tuple(DomainWord(word, everyday()[word].kind, "pictures") for word in words[:MOST_OF_A_SOURCE])


# From a language model.


def ask_for_domain(lm: dspy.LM, task: str, class_names: Sequence[str], seed: int) -> tuple[DomainWord, ...]:
    """Ask a language model once what all classes are and what all pictures are. At most `SHOWN` names are sent.

    If a limit of the run is reached, or the answer cannot be read, no words are returned.

    Args:
        lm: the language model, which records its questions.
        task: one sentence on what the pictures are.
        class_names: the classes.
        seed: the seed of the question.

    Raises:
        dspy.LMError: the language model cannot be reached.
    """
    import dspy

    from ipo_prompts.programs.lm.replies import adapter_of, ask_lm
    from ipo_prompts.signatures.propose import ProposeDomain

    with dspy.context(lm=lm), dspy.context(adapter=adapter_of()):
        try:
            answer = ask_lm(dspy.Predict(ProposeDomain), _question(task, class_names), {"rollout_id": seed})
        except (dspy.AdapterParseError, BudgetReached):
            return ()
    return _usable(_in_turn(_read(answer.kinds, "thing"), _read(answer.pictures, "picture")), class_names)


def forecast_domain(class_names: Sequence[str], task: str, reply_tokens: int) -> Forecast:
    """Return an upper bound of the call and tokens of the question for domain words: one token for each byte."""
    import dspy

    from ipo_prompts.signatures.propose import ProposeDomain

    asked = dspy.ChatAdapter().format(ProposeDomain, [], _question(task, class_names))
    return Forecast(1, sum(len(str(one["content"]).encode()) for one in asked), reply_tokens)


def _question(task: str, class_names: Sequence[str]) -> dict[str, Any]:
    return {"task": task, "classes": [str(class_names[label]) for label in spread(len(class_names), SHOWN)]}


def _read(answer: Any, kind: WordKind) -> list[DomainWord]:
    """Read the words of a language model: at most three words each, letters only, in lower case and in the singular.

    >>> [word.text for word in _read(["Flowers", "a plant", "<b>", "one of many things", 3], "thing")]
    ['flower', 'plant']
    """
    found = list[str]()
    for text in answer if isinstance(answer, list) else ():
        words = re.sub(
            r"^(?:an?|the) | (?:photo|photograph|picture|image)s?$", "", str(text).casefold().strip(" .\"'`*-")
        )
        if re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,2}", words):
            first, _, last = words.rpartition(" ")
            found.append(f"{first} {(forms_of(last) or [last])[-1]}".strip())
    return [
        DomainWord(word, everyday()[word].kind if word in everyday() else kind, "language model")
        for word in [*dict.fromkeys(found)][:MOST_OF_A_SOURCE]
    ]
