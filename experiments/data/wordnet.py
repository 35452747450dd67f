"""Finds names for classes that are named by numbers of WordNet.

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
from collections import Counter
from collections.abc import Collection, Mapping

from ipo_prompts.experiments.data.dataset import NAMES_FILE, DataSet
from ipo_prompts.metrics.errors import InputError, several
from ipo_prompts.metrics.nouns import Synset, synsets
from ipo_prompts.metrics.template import as_read

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
        f"write {NAMES_FILE}, with a line `{codes[0]}: name` for each."
    )
