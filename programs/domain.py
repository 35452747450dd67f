"""Finds domain words: in the names of the classes, in what the data are called, in the pictures, in an answer.

Everyday words are listed in `templates/domain.yaml`, each with its anchors in WordNet. A class name that lies below an
anchor of a word speaks for the word. Names, data and pictures choose among the listed words; only a language model
gives others. No word that names a class is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from scipy import special

from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.nouns import all_above, all_below, meanings, synsets
from ipo_prompts.metrics.template import SLOT, names_class, names_of
from ipo_prompts.programs.candidates import SENSES, forms_of, known_forms, senses
from ipo_prompts.programs.phrases import DomainWord, Phrase, Vocabulary, WordKind
from ipo_prompts.programs.strategies.base import Forecast

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.reward import Reward, Units

Gains = npt.NDArray[np.float64]

MOST_OF_A_SOURCE = 10
"""The most words from the pictures, and of each kind from a language model."""
COVERED = 0.2
"""The least share of the names that WordNet knows, and of names below a word."""
OFTEN_MEANT_OTHERWISE = ("train", "part", "document", "shop", "place")
"""Words of the list that are seldom meant as such in the name of a folder or a data set."""
MAX_CLASSES = 20
"""The most classes that phrases are tried with. A few classes show how pictures look; more would only cost time."""
ERROR = 0.05
"""The accepted probability that any phrase is reported for pictures that no phrase of the vocabulary fits."""
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
    names = reward.class_names
    seen: tuple[DomainWord, ...] = ()
    if isinstance(reward, ClipReward) and isinstance(units, EncodedPictures) and units.labels is not None:
        seen = from_clip(reward.clip, units, names)
    asked = ask_for_domain(lm, task, names, seed) if lm else ()
    return domain_of(names, texts, seen, asked)


def domain_of(
    class_names: Sequence[str],
    texts: Iterable[str],
    seen: Sequence[DomainWord] = (),
    asked: Sequence[DomainWord] = (),
) -> tuple[DomainWord, ...]:
    """Return the domain words of a data set, each once, without words that name a class.

    Three sources take turns, so that the best word of each comes early: a language model, what the data are called, and
    the names of the classes. What the CLIP sees comes last, because on the embedded pictures it found no right word.

    Args:
        class_names: the names of the classes.
        texts: the sentence on the task, and what data, folder or table are called.
        seen: the words of `from_clip`.
        asked: the words of `ask_for_domain`.
    """
    return _usable((*_in_turn(asked, from_words(texts), from_names(class_names)), *seen), class_names)


def _in_turn(*sources: Iterable[DomainWord]) -> list[DomainWord]:
    return [word for turn in zip_longest(*sources) for word in turn if word is not None]


def _usable(words: Iterable[DomainWord], class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return each word once, without words that name a class, as "grape" names the class "grapes"."""
    once: dict[str, DomainWord] = {}
    for word in words:
        once.setdefault(word.text, word)
    names = [form for name in class_names for form in (name, *forms_of(str(name).casefold()))]
    return tuple(word for text, word in once.items() if not any(names_class(text, name) for name in names))


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


# From the pictures: the words that the pictures look like to the frozen CLIP.
#
# The prompt with a word ("a satellite picture of a <CLASS>.") is compared with the bare prompt ("a picture of a
# <CLASS>."). Two gains are measured on every picture, in logits: the gain in similarity to the text with the right
# class (does the word describe the picture?), and the gain in the right class's margin over the mean of all classes
# (does naming the look help?). The log-probability would also rise with words that only make an overconfident CLIP less
# sure.
#
# Added words change the logits even if they do not fit. So the median gain of all words of the same form is subtracted
# from each gain. A word's strength is the mean, over all pictures, of the sum of both gains.


def from_clip(clip: Clip, pictures: EncodedPictures, class_names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Return the words of the list that stand out to the CLIP, the strongest first."""
    phrases = tuple(Phrase(word, word, FORMS[one.kind]) for word, one in everyday().items())
    vocabulary = Vocabulary(phrases, f"a picture of a {SLOT}.")
    found = looks_like(clip, pictures.features, pictures.labels, class_names, vocabulary)[:MOST_OF_A_SOURCE]
    return tuple(DomainWord(one.text, everyday()[one.text].kind, "pictures") for one in found)


def looks_like(
    clip: Clip, features: Floats, labels: npt.NDArray[np.int64], class_names: Sequence[str], vocabulary: Vocabulary
) -> list[Phrase]:
    """Return the phrases that stand out, strongest first.

    One phrase is always the strongest, so a phrase is returned only if it stands out. This has two conditions: its
    strength is an outlier among all phrases (Tukey's fence: above the third quartile by 1.5 interquartile ranges), and
    its strength is significantly above 0, corrected for the number of phrases.

    Args:
        clip: the CLIP that encodes prompts.
        features: the features of n pictures, float32 (n, D), unit rows.
        labels: int64 (n,), for each picture, the index of its class in `class_names`.
        class_names: the names of the classes; phrases that name a class are not used.
        vocabulary: the phrases.
    """
    from ipo_prompts.metrics.text_tower import encode_classes  # imports torch

    phrases = vocabulary.usable(class_names, clip)
    if not phrases:
        return []
    present = np.unique(labels)
    tried = present[spread(len(present), MAX_CLASSES)]
    kept = np.isin(labels, tried)
    truth = np.searchsorted(tried, labels[kept])
    templates = [vocabulary.bare, *(phrase.template for phrase in phrases)]
    values = []
    for classes in encode_classes(clip.encode_texts, templates, [class_names[i] for i in tried]):
        logits = clip.logit_scale * (features[kept] @ classes.T).astype(np.float64)
        right = logits[np.arange(len(truth)), truth]
        values.append(right + (right - logits.mean(axis=1)))
    return _standing_out(np.stack(values[1:]) - values[0], phrases)


def _standing_out(gains: Gains, phrases: Sequence[Phrase]) -> list[Phrase]:
    n = gains.shape[1]
    relative = gains - _middle_of_form(gains, [phrase.form for phrase in phrases])
    strength = relative.mean(axis=1)
    # With one picture, the error is infinite and no phrase is reported: one picture does not show how a set looks.
    error = relative.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(phrases), np.inf)
    clear = strength > special.stdtrit(max(1, n - 1), 1 - ERROR / len(phrases)) * error
    low, high = np.quantile(strength, [0.25, 0.75])
    order = np.argsort(-strength, kind="stable")
    return [phrases[i] for i in order if clear[i] and strength[i] > high + 1.5 * (high - low)]


def _middle_of_form(gains: Gains, forms: Sequence[str]) -> Gains:
    """Return the median gain of all phrases of the same form, for each phrase and picture: float64, as `gains`."""
    middle = np.empty_like(gains)
    for form in set(forms):
        rows = [i for i, other in enumerate(forms) if other == form]
        middle[rows] = np.median(gains[rows], axis=0)
    return middle


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
        for word in [*dict.fromkeys(found)][:MOST_OF_A_SOURCE]
    ]
