"""Finds names for classes that are named by numbers of WordNet, and words for things that are none of the classes.

Some data have codes in place of class names. A number of WordNet, such as `n02084071`, stands for a set of synonyms. It
is replaced by the first synonym. If two classes would get the same name, each takes its first synonym that no other
class has, or else its first synonym followed by the hypernym: `crane wading bird`. Other text may follow the number, as
in `n02085620-Chihuahua`.

Other codes, such as `17`, `class_3` or `/m/0k4j`, mean nothing to a CLIP. A search refuses such classes, because its
prompts would have no meaningful class name. The user can write a name for each into `classes.yaml`; these names are
accepted without a check, even if they are codes.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import yaml

from ipo_prompts.experiments.data.dataset import NAMES_FILE, NONE, DataSet
from ipo_prompts.metrics.errors import InputError, setting, several
from ipo_prompts.metrics.nouns import Synset, common, irregular, meanings, synsets
from ipo_prompts.metrics.template import BASELINE, as_read, every_name, too_long, written

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip

SHOWN = 5
"""Most classes for which a message lists the nearest words."""
NOUNS = 4000
"""The number of common nouns among which the nearest words are found."""
PICTURES = 4
"""Most pictures of a class that are used to find its nearest words."""
WORDS = 3
"""The number of nearest words of a class."""
STRANGERS = 4000
"""The number of common nouns from which `strangers` chooses."""
SENSES = 4
"""Most senses of a class name whose synonyms and hypernyms count as words of the class."""
_WORDNET = re.compile(r"n(\d{8})(?![0-9A-Za-z])")
_NUMBERED = re.compile(
    r"""[\W\d_]*\d[\W\d_]*                                                   # 17, 0_3, 2024-05-01
    | (?:class|cls|category|cat|label|folder|group|type|kind|target|id|[cln])[\W_]*\d[\W\d_]*   # class_3, c12
    | /?m[/._]0[0-9a-z_]+                                                    # /m/0k4j, of Open Images
    | Q\d+                                                                   # Q144, of Wikidata
    | (?=[a-z\-]*\d)(?=[\d\-]*[a-f])[0-9a-f\-]{8,}                           # digests, UUIDs
    """,
    re.VERBOSE | re.IGNORECASE,
)


def read_codes(data: DataSet, named: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the names of classes that have a number of WordNet, and the classes that have another code.

    Args:
        data: the data set.
        named: the classes that the user has named; they are left out of the result.

    Returns:
        A table of class → name from WordNet, and the classes whose only name is another code.
    """
    left = [name for name in data.class_names if name not in named]
    numbered = {name: int(found[1]) for name in left if (found := _WORDNET.match(name))}
    numbered = {name: number for name, number in numbered.items() if number in synsets()}
    known = _told_apart({name: synsets()[number] for name, number in numbered.items()})
    return known, tuple(name for name in left if is_code(name) and name not in known)


def _told_apart(found: Mapping[str, Synset]) -> dict[str, str]:
    times = Counter(as_read(word.text) for synset in found.values() for word in synset.words)
    firsts = Counter(as_read(synset.words[0].text) for synset in found.values())
    return {
        name: synset.words[0].text if firsts[as_read(synset.words[0].text)] == 1 else _own(synset, times)
        for name, synset in found.items()
    }


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


def refuse_codes(data: DataSet, spec: str, clip: Clip | str) -> None:
    """Refuse data in which the only name of a class is a code, such as `class_3`.

    Args:
        data: the data set.
        spec: the spec of the data set, for the message.
        clip: a CLIP, or only its name. With a CLIP, the message also lists the words nearest to the first `SHOWN` of
            these classes.

    Raises:
        InputError: there are such classes; the message has a command that writes a file of class names to fill in. If
            every folder is called by a code, the message first says what to type if the pictures have no labels.
    """
    if not (codes := data.unnamed):
        return
    told = [repr(name) for name in codes]
    if not isinstance(clip, str):
        near = nearest_words(data, codes[:SHOWN], clip)
        told = [f"{name!r} (nearest words: {', '.join(near[name])})" for name in codes[:SHOWN]] + told[SHOWN:]
    clip_name = clip if isinstance(clip, str) else clip.name
    names = shlex.join(["ipo", "data", "names", spec, "--clip", clip_name])
    dates = spec.startswith("folder:") and len(codes) == len(data.class_names)  # folders by date, of no classes
    type_names = setting("class_names", "names.txt")
    unlabelled = f"if these pictures have no labels, type {type_names} (a file with one class name a line); else "
    raise InputError(
        f"{len(codes)} of {len(data.class_names)} classes of {data.name} {'is' if len(codes) == 1 else 'are'} called "
        f"by a code, which no CLIP reads: {several(told)}; "
        f"{unlabelled if dates else ''}`{names}` writes a {NAMES_FILE} to fill in."
    )


def nearest_words(data: DataSet, names: Sequence[str], clip: Clip) -> dict[str, tuple[str, ...]]:
    """Return a table of class → the common nouns that a CLIP finds nearest to its pictures, the nearest noun first.

    The words are hints for a person, not class names. On the shipped pictures, a classifier that used these words as
    names was right half as often as a classifier with the true names. If there are three classes or more, each word's
    mean similarity to all classes is subtracted, because a word that is near to all classes describes none of them.

    Raises:
        InputError: a picture cannot be read.
    """
    import numpy as np

    from ipo_prompts.metrics.classification import class_means
    from ipo_prompts.metrics.features import FeatureStore
    from ipo_prompts.metrics.text_tower import encode_templates

    nouns = [noun for noun in common(NOUNS) if too_long(BASELINE, [noun], clip) is None]
    texts = encode_templates(clip.model, clip.tokenizer, [BASELINE], nouns)[0]
    labels, pictures = [], []
    for place, name in enumerate(names):
        own = [item.picture for item in data.train if data.class_names[item.label] == name][:PICTURES]
        labels += [place] * len(own)
        pictures += own
    cosines = class_means(FeatureStore(clip).encode(pictures), np.array(labels, dtype=np.int64), len(names)) @ texts.T
    if len(names) > 2:
        cosines = cosines - cosines.mean(axis=0)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :WORDS].tolist()
    return {name: tuple(nouns[i] for i in row) for name, row in zip(names, best, strict=True)}


def names_to_edit(data: DataSet, near: Mapping[str, Sequence[str]]) -> str:
    """Return a `classes.yaml` with the names of all classes. A class whose only name is a code has no value.

    Args:
        data: the data set.
        near: class → its nearest words, which are written as a comment beside a class without a value.
    """
    lines = ["# What the classes are called in prompts; synonyms are written [road sign, traffic sign]."]
    for own, names in zip(data.renamed_from or data.class_names, written(data.class_names), strict=True):
        value = None if own in data.unnamed else names
        flow = None if isinstance(value, list) else False  # a list in one line, without outer braces
        line = yaml.safe_dump({str(own): value}, allow_unicode=True, width=1000, default_flow_style=flow).strip()
        if value is None:
            line = line.removesuffix("null").strip()
            line += f"  # nearest words: {', '.join(near[own])}" if own in near else "  # write a name"
        lines.append(line)
    if data.none:
        lines.append(
            yaml.safe_dump({NONE: list(data.none)}, allow_unicode=True, width=1000, default_flow_style=None).strip()
        )
    return "\n".join(lines) + "\n"


def strangers(class_names: Sequence[str], none: Iterable[str] = ()) -> tuple[str, ...]:
    """Return words for things that are none of the classes: the user's words, then common nouns, the most common first.

    Args:
        class_names: the classes. The result has no noun that is a class name, or a synonym or hypernym of a class name
            in WordNet: with a class "beagle", it does not have "dog".
        none: the user's words for things that are none of the classes; none of them is left out.
    """
    own = own_words(class_names)
    told = list(none)
    return (*told, *(word for word in common(STRANGERS) if as_read(word) not in own and word not in told))


def own_words(class_names: Sequence[str], *, hypernyms: bool = True) -> set[str]:
    """Return all words for the classes, normalised by `as_read`.

    They are the class names, their singulars, and the synonyms of both; with `hypernyms`, also all hypernyms.
    """
    names = {form for name in every_name(class_names) for form in _forms(as_read(name))}
    left = [number for name in names for _, number in meanings(name)[:SENSES]]
    words, seen = set(names), set(left)
    while left:
        synset = synsets()[left.pop()]
        words.update(as_read(word.text) for word in synset.words)
        if hypernyms:
            left += (above := [number for number in synset.hypernyms if number not in seen])
            seen.update(above)
    return words


def _forms(name: str) -> set[str]:
    """Return a name, and the words of which it may be the plural."""
    ends = (("ies", "y"), ("es", ""), ("s", ""))
    singular = {name.removesuffix(end) + instead for end, instead in ends if name.endswith(end)}
    return {name, *singular, *irregular().get(name, ())}
