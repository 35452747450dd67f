"""What every source is made into: labelled pictures in three parts, identified by content, under their class names.

A user may write other names for classes, in `classes.yaml` beside the class folders, or as `class_names` of a run:

    road_sign: [road sign, traffic sign]
    n02084071: dog

The first name of a class stands in prompts and in reports; the others are synonyms. A class that is not listed keeps
the name that the source gives. The order of the labels stays that of the source. A line `none: [hole, circle]` names
what else pictures may show, for `ipo predict --reject`; but if the data have a class `none`, the line names that class.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal, TypeVar

from ipo_prompts.metrics.errors import InputError, did_you_mean, several
from ipo_prompts.metrics.pictures import Background, Picture
from ipo_prompts.metrics.template import SLOT, as_read, named, names_of, problem, tidy, written

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
UNLABELLED = -1
"""The label of a picture that has none."""
OWN = "own"
OFFICIAL = "official"
COUNTED = "official by its counts alone: the list of its pictures is not known here"
DIFFERENT = "different: "
"""Where the parts of a data set come from: the source or a cut here, a benchmark's published split, a split that has
the sizes of the published one, or another split, followed by the reason."""
THREADS = 8
"""More gained nothing on a local disk."""
NAMES_FILE = "classes.yaml"
MAX_CHARACTERS = 100
"""Characters in one name: a template has to fit beside it."""
MAX_NAMES = 20
"""Names of one class: each is one more text to encode for every template."""
NONE = "none"
"""Stands in the place of a class name for what is none of the classes."""
MAX_STRANGERS = 1000

MOST_TYPED = 8
"""Classes that a message writes out as words to type."""

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


def why_different(split: str) -> str | None:
    """Return why a split is not the official one of a benchmark; None if it is, or there is no official split.

    >>> why_different("different: 3 classes are missing"), why_different("official")
    ('3 classes are missing', None)
    """
    return split.removeprefix(DIFFERENT) if split.startswith(DIFFERENT) else None


@dataclass(frozen=True)
class Item:
    """One labelled picture.

    Attributes:
        picture: read only when its pixels are needed.
        label: index into the class names; `UNLABELLED` without a label.
        group: the base picture; the variants of one picture share it and stay in one part.
        also: all classes that the picture shows, the label among them; empty unless pictures may show several.
    """

    picture: Picture
    label: int
    group: str
    also: tuple[int, ...] = ()

    @property
    def shows(self) -> tuple[int, ...]:
        """The classes that the picture shows."""
        return self.also or (self.label,)


@dataclass(frozen=True)
class DataSet:
    """Pictures in three parts: search and selection draw from `train` and `val`, `test` is opened once at the end.

    A data set to test on has test pictures only; one without `val` selects on pictures of `train` (see draw.py).

    Attributes:
        name: short, without a machine's paths.
        class_names: in label order, as the source or `classes.yaml` spells them (underscores become spaces in
            prompts); a name with synonyms is a `ClassName`.
        task: a neutral sentence for the language model; it names base classes only.
        train: items in the order of the source, which the few-shot draw depends on.
        val: as `train`.
        test: as `train`.
        variants: whether some groups hold several pictures.
        stray: what the source holds besides pictures; it was left out.
        hand_written: the template that the field uses for these pictures; None when there is none.
        split: where the parts come from: "official" (a benchmark's published split, picture by picture), `COUNTED`
            (only the sizes could be compared), "own" (the source's parts, or cut by draw.py), or "different: " and why
            a benchmark's pictures are not in the published split.
        unnamed: the classes that have codes for names and no other names; a search refuses them (wordnet.py).
        renamed_from: in label order, what the source calls the classes; empty unless they were given other names.
        labelled: whether the pictures have labels; without labels, all are in `train` (load.py).
        none: words for what pictures may show that is none of the classes.
        several: whether pictures may show several classes; the label is then the rarest class that the picture shows.
    """

    name: str
    class_names: tuple[str, ...]
    task: str
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    variants: bool
    stray: tuple[str, ...] = ()
    hand_written: str | None = None
    split: str = OWN
    unnamed: tuple[str, ...] = ()
    renamed_from: tuple[str, ...] = ()
    labelled: bool = True
    none: tuple[str, ...] = ()
    several: bool = False

    def part(self, part: Part) -> tuple[Item, ...]:
        """Return the items of one part."""
        return {"train": self.train, "val": self.val, "test": self.test}[part]

    def items(self) -> Iterator[tuple[Part, Item]]:
        """Yield all items, each with its part."""
        return ((part, item) for part in PARTS for item in self.part(part))

    def on(self, background: Background) -> DataSet:
        """Return the same data set, its pictures read on this background."""
        if all(item.picture.background == background for _, item in self.items()):
            return self
        parts = {
            part: tuple(replace(item, picture=item.picture.on(background)) for item in self.part(part))
            for part in PARTS
        }
        return replace(self, train=parts["train"], val=parts["val"], test=parts["test"])

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits that identify the class names, and each picture's bytes, reading, label, group, part and place.

        The order of the pictures counts, because the few-shot draw depends on it; their names and paths do not. Every
        file is read once and not decoded, test pictures included; the result is kept. An unreadable picture counts by
        its name.
        """
        return self.fingerprint_of(in_threads(content_or_name, [item.picture for _, item in self.items()]))

    def fingerprint_of(self, contents: Sequence[str]) -> str:
        """Return `fingerprint` from the digests of the pictures' bytes, in the order of `items`."""
        rows = list(self.items())
        groups: dict[str, int] = {}
        total = hashlib.sha256(json.dumps(written(self.class_names)).encode())
        for (part, item), content in zip(rows, contents, strict=True):
            group = groups.setdefault(item.group, len(groups))
            label = list(item.also) or item.label
            total.update(json.dumps([part, label, group, item.picture.key(content)]).encode())
        return total.hexdigest()


def content_or_name(picture: Picture) -> str:
    """Return the digest of a picture's bytes; for an unreadable picture, the text that stands for the digest."""
    try:
        return picture.content()
    except InputError:
        return unreadable_content(picture)


def unreadable_content(picture: Picture) -> str:
    """Return the text that stands for the digest of a picture that cannot be read."""
    return f"unreadable {PurePath(picture.name).name}"


def in_threads(function: Callable[[_Row], _Result], rows: Iterable[_Row]) -> list[_Result]:
    """Call `function` for each row with a few threads; return the results in the order of the rows."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, rows))


def base_count(classes: int) -> int:
    """Return how many of the classes, in label order, are base classes.

    >>> base_count(37), base_count(47), base_count(397)
    (19, 24, 199)
    """
    return math.ceil(classes / 2)


def default_task(class_names: Sequence[str]) -> str:
    """Return a task with a few names, spread over the base classes so that no new class gets into a prompt.

    >>> default_task(["cat", "hot_dog", "bus", "pizza", "tree", "car"])
    'pictures of 6 kinds of things, such as cat, hot dog, bus'
    """
    few = len(class_names) < 4  # too few for a new half (see draw.py)
    shown = list(class_names) if few else list(class_names[: base_count(len(class_names))])
    picks = shown if len(shown) <= 3 else [shown[0], shown[len(shown) // 2], shown[-1]]
    words = ", ".join(name.replace("_", " ") for name in picks)
    return f"pictures of {len(class_names)} kinds of things, such as {words}"


def without(data: DataSet, excluded: Sequence[str]) -> DataSet:
    """Return the data set without some classes; the pictures of the others stay in their parts.

    Args:
        data: the data set.
        excluded: classes, as the source or as `classes.yaml` calls them.

    Raises:
        InputError: there is no such class, fewer than two classes are left, or pictures may show several classes.
    """
    if data.several:
        raise InputError(
            "exclude= leaves the pictures of classes out, and with labels=several they show others too; take the names "
            "out of the table instead."
        )
    own = data.renamed_from or data.class_names
    left_out = set()
    for name in excluded:
        found = {label for label, names in enumerate(zip(own, data.class_names, strict=True)) if tidy(name) in names}
        if not found:
            raise InputError(
                f"exclude names the class {name!r}, which is not in the data{did_you_mean(name, own)}; write a class "
                f"as the data do, such as {str(own[0])!r}, or remove it."
            )
        left_out |= found
    kept = [label for label in range(len(own)) if label not in left_out]
    if len(kept) < 2:
        raise InputError(f"exclude leaves {len(kept)} of {len(own)} classes, and a classifier needs two; name fewer.")
    place = {UNLABELLED: UNLABELLED, **{label: i for i, label in enumerate(kept)}}

    def of(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(replace(item, label=place[item.label]) for item in items if item.label in place)

    names = tuple(data.class_names[label] for label in kept)
    return replace(
        data,
        class_names=names,
        task=default_task(names) if data.task == default_task(data.class_names) else data.task,
        train=of(data.train),
        val=of(data.val),
        test=of(data.test),
        unnamed=tuple(name for name in data.unnamed if name in names),
        renamed_from=tuple(own[label] for label in kept) if data.renamed_from else (),
    )


def empty_classes(data: DataSet) -> list[int]:
    """Return the labels of the classes that no picture shows; an empty list for data without labels."""
    return sorted(
        set(range(len(data.class_names) * data.labelled)) - {at for _, item in data.items() for at in item.shows}
    )


def leaving_out(names: Sequence[str]) -> str:
    """Return the setting that leaves these classes out; for many classes, only its beginning."""
    if len(names) > MOST_TYPED:
        return "exclude="
    return shlex.quote(f"exclude={json.dumps([str(name) for name in names], ensure_ascii=False)}")


def lacking(data: DataSet, labels: Sequence[int], where: str, what: str, add: str) -> InputError:
    """Return the error for classes without pictures: which classes, what pictures they lack, how to leave them out."""
    names = [str(data.class_names[label]) for label in labels]
    return InputError(
        f"{len(names)} of {len(data.class_names)} classes of {where} {'has' if len(names) == 1 else 'have'} no {what}: "
        f"{several([repr(name) for name in names])}; add {add}, or leave them out with {leaving_out(names)}."
    )


def with_names(data: DataSet, names: Mapping[Any, Any], where: str) -> DataSet:
    """Return the same pictures under other class names.

    Args:
        data: the data set, its classes named as in the source.
        names: class as the source spells it → its name, or a list of its name and synonyms.
        where: where the names were written, for messages.

    Raises:
        InputError: a class is unknown, a name is no text, empty, too long or unusable, or two classes share a name.
    """
    given: dict[str, tuple[str, ...]] = {}
    none: tuple[str, ...] = ()
    for key, value in names.items():
        if not isinstance(key, str):
            raise InputError(
                f"{where} has the class {key}, which YAML does not read as text; write '{key}': in quotes."
            )
        own = tidy(key)
        if own == NONE and NONE not in data.class_names:
            none = checked_names(value, f"{where}: {NONE}", own, MAX_STRANGERS)
            continue
        if own not in data.class_names:
            raise InputError(
                f"{where} names the class {key!r}, which is not in the data{did_you_mean(own, data.class_names)}; "
                f"write a class as the data do, such as {data.class_names[0]!r}, or remove the line."
            )
        given[own] = checked_names(value, f"{where}: the class {key!r}", own)
    classes = tuple(named(given.get(name, (name,))) for name in data.class_names)
    owner = owners(classes, data.class_names, where)
    if known := [word for word in none if as_read(word) in owner]:
        raise InputError(
            f"{where} says that {known[0]!r} is none of the classes, and {owner[as_read(known[0])]!r} is called so; "
            "remove it from one of them."
        )
    task = default_task(classes) if data.task == default_task(data.class_names) else data.task
    return replace(data, class_names=classes, task=task, renamed_from=data.class_names, none=none)


def owners(classes: Sequence[str], own: Sequence[str], where: str) -> dict[str, str]:
    """Return a table: each name of each class, in the form that `as_read` gives it → what `own` calls the class.

    Args:
        classes: the classes, with all their names.
        own: one name for each of these classes.
        where: where the names were written, for messages.

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
    return found


def checked_names(value: Any, what: str, own: str, most: int = MAX_NAMES) -> tuple[str, ...]:
    """Return the names that were written for one class, or for `none`.

    Args:
        value: a name, or a list of names.
        what: the names' owner, for messages.
        own: what the source calls the class, for examples in messages.
        most: the largest number of names.

    Raises:
        InputError: there are no names or too many, or a name is no text, empty, too long, unusable or there twice.
    """
    texts = value if isinstance(value, list) else [value]
    if not 1 <= len(texts) <= most:
        raise InputError(f"{what} has {len(texts)} names; write 1 to {most}, such as {own}: [road sign].")
    found: list[str] = []
    for text in texts:
        if text is None or (isinstance(text, str) and not as_read(text)):
            raise InputError(f"{what} has an empty name; write one, or {own!r} again to keep that.")
        if isinstance(text, (dict, list)):
            raise InputError(f"{what} has a name that is no text; write {own}: [road sign, traffic sign].")
        if not isinstance(text, str):
            raise InputError(f"{what} has the name {text}, which YAML does not read as text; write '{text}' in quotes.")
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
