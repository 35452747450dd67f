"""`Gathered`, which a source returns: one row for each image. `DataSet`, into which `load_data` makes the rows."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ipo_prompts.metrics.errors import InputError, did_you_mean, one_line, several
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import tidy

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
OWN = "own"
OFFICIAL = "official"
COUNTED = "official by its counts alone: the list of its images is not known here"
DIFFERENT = "different: "
"""Values of `DataSet.split`. OWN: the parts are those of the source, or were cut by draw.py. OFFICIAL: the parts are a
benchmark's published split. COUNTED: the parts have the sizes of the published split. DIFFERENT begins the text for any
other split of a benchmark; the reason follows."""
MOST_TYPED = 8
"""Most classes that a message lists in a setting for the user to type."""


def why_different(split: str) -> str | None:
    """Return why a split differs from the official split of a benchmark; None if `split` names no difference.

    >>> why_different("different: 3 classes are missing"), why_different("official")
    ('3 classes are missing', None)
    """
    return split.removeprefix(DIFFERENT) if split.startswith(DIFFERENT) else None


@dataclass(frozen=True)
class Row:
    """One image of a source.

    Attributes:
        image: the image; its file is read only when the pixels are needed.
        label: the name of the class, as the source spells it.
        key: a name of the image that is the same on every machine: its relative path, or its row number.
        split: the part that the source assigns; None if the source assigns none.
        group: the name of the base image; None if the image is its own base image.
        fault: the error that says why there is no file; None if there is one. Reading `image` raises the same error.
    """

    image: LazyImage
    label: str
    key: str
    split: Part | None = None
    group: str | None = None
    fault: InputError | None = None

    @property
    def base(self) -> str:
        """The name of the base image."""
        return self.key if self.group is None else self.group


def row_of_file(
    path: Path, label: str, key: str, split: Part | None = None, group: str | None = None, *, said: str = ""
) -> Row:
    """Return the row of an image file. If the file is missing, the row has a fault, whose text begins with `said`."""
    try:
        return Row(LazyImage.from_path(path), label, key, split, group)
    except InputError as error:
        fault = InputError(f"{said}{error}")
        return Row(LazyImage.absent(path, fault), label, key, split, group, fault)


@dataclass(frozen=True)
class Gathered:
    """The images of a source. `load_data` checks them, and cuts the parts that the source lacks.

    Attributes:
        name: the data set's short name.
        where: the source's name in messages.
        rows: one row for each image, in an order that is the same on every machine.
        class_names: the class names in label order; None stands for the sorted labels of the rows.
        stray: the names of files and splits that were left out.
        names: class → its names in prompts; None if the source gives no such names. See names.py.
    """

    name: str
    where: str
    rows: list[Row]
    class_names: tuple[str, ...] | None = None
    stray: tuple[str, ...] = ()
    names: Mapping[Any, Any] | None = None


@dataclass(frozen=True)
class Item:
    """One image with its label.

    Attributes:
        image: the image; its file is read only when the pixels are needed.
        label: the index of the class in the class names.
        group: the name of the base image. All variants of a base image have the same group, and are in one part.
    """

    image: LazyImage
    label: int
    group: str


@dataclass(frozen=True)
class DataSet:
    """Images in three parts, with their class names.

    Train images are drawn from `train` and validation images from `val`; `test` is opened once, at the end. If
    `val` is empty, validation images come from `train` (see draw.py). A data set for testing has test images only.

    Attributes:
        name: a short name, without paths of this machine.
        class_names: the class names in label order, as the source or `classes.yaml` spells them (underscores become
            spaces in prompts). A name with synonyms is a `ClassName`.
        task: a neutral sentence for the language model that says what the images are; it names base classes only.
        train: the items of the train part, in the order of the source; the few-shot draw depends on this order.
        val: the items of the val part, in the same way.
        test: the items of the test part, in the same way.
        variants: whether some base images have several variants.
        stray: the names of files and splits of the source that were left out, because they hold no usable images.
        hand_written: the template that other work on these images uses; None if there is none.
        split: where the parts come from: "official" (a benchmark's published split, compared image by image),
            `COUNTED` (only the sizes could be compared), "own" (the source's parts, or parts that draw.py cut), or
            "different: " and the reason why the parts are not the benchmark's published split.
        unnamed: the classes whose only name is a code, such as `class_3`; a search refuses them (names.py).
        typed: the source's names of the classes, in label order.
        read: the classes, by number, whose names in prompts were read from the source's names (names.py).
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
    typed: tuple[str, ...] = ()
    read: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.typed:  # a source's own data set
            object.__setattr__(self, "typed", self.class_names)

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        return one_line(f"DataSet({self.name!r}, {len(self.class_names)} classes, images: {parts})")

    @property
    def unread(self) -> tuple[str, ...]:
        """The class names that the source or somebody gave, in label order: those in prompts, but none read by rule."""
        pairs = enumerate(zip(self.typed, self.class_names, strict=True))
        return tuple(typed if label in self.read else name for label, (typed, name) in pairs)

    def part(self, part: Part) -> tuple[Item, ...]:
        """Return the items of one part."""
        items: tuple[Item, ...] = getattr(self, part)
        return items

    def items(self) -> Iterator[tuple[Part, Item]]:
        """Yield all items, each with its part."""
        return ((part, item) for part in PARTS for item in self.part(part))


def base_count(classes: int) -> int:
    """Return the number of base classes, given the number of all classes. Base classes have the first labels.

    >>> base_count(37), base_count(47), base_count(397)
    (19, 24, 199)
    """
    return math.ceil(classes / 2)


def default_task(class_names: Sequence[str]) -> str:
    """Return a sentence that names up to three base classes, for the language model; it names no new class.

    >>> default_task(["cat", "hot_dog", "bus", "pizza", "tree", "car"])
    'pictures of 6 kinds of things, such as cat, hot dog, bus'
    """
    few = len(class_names) < 4  # too few to be cut into base and new classes (see draw.py)
    shown = list(class_names) if few else list(class_names[: base_count(len(class_names))])
    picks = shown if len(shown) <= 3 else [shown[0], shown[len(shown) // 2], shown[-1]]
    words = ", ".join(name.replace("_", " ") for name in picks)
    return f"pictures of {len(class_names)} kinds of things, such as {words}"


def task_of(data: DataSet, class_names: Sequence[str]) -> str:
    """Return the data set's task under other class names: only a task that names classes changes."""
    return default_task(class_names) if data.task == default_task(data.class_names) else data.task


def without(data: DataSet, excluded: Sequence[str]) -> DataSet:
    """Return the data set without some classes. The images of the other classes stay in their parts.

    Args:
        data: the data set.
        excluded: names of the classes to leave out, as the source or `classes.yaml` spells them.

    Raises:
        InputError: an excluded class does not exist, or fewer than two classes are left.
    """
    own = data.typed
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
    place = {label: i for i, label in enumerate(kept)}

    def of(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(replace(item, label=place[item.label]) for item in items if item.label in place)

    names = tuple(data.class_names[label] for label in kept)
    return replace(
        data,
        class_names=names,
        task=task_of(data, names),
        train=of(data.train),
        val=of(data.val),
        test=of(data.test),
        unnamed=tuple(name for name in data.unnamed if name in names),
        typed=tuple(own[label] for label in kept),
        read=frozenset(place[label] for label in data.read if label in place),
    )


def empty_classes(data: DataSet) -> list[int]:
    """Return the labels of the classes that no image shows, sorted."""
    return sorted(set(range(len(data.class_names))) - {item.label for _, item in data.items()})


def leaving_out(names: Sequence[str]) -> str:
    """Return the setting `exclude=` that leaves these classes out. For more than `MOST_TYPED`, no class is listed."""
    if len(names) > MOST_TYPED:
        return "exclude="
    return shlex.quote(f"exclude={json.dumps([str(name) for name in names], ensure_ascii=False)}")


def left_out(data: DataSet) -> str:
    """Say what of the source is left out; "" if nothing is."""
    return f"left out: {several(data.stray)}" if data.stray else ""


def lacking(data: DataSet, labels: Sequence[int], where: str, what: str, add: str) -> InputError:
    """Return the error for classes that have no images of some kind; it says how to leave the classes out.

    Args:
        data: the data set.
        labels: the labels of these classes.
        where: the data set's name in the message.
        what: the words for the images that the classes lack.
        add: the words for what the user should add.
    """
    names = [data.typed[label] for label in labels]
    return InputError(
        f"{len(names)} of {len(data.class_names)} classes of {where} {'has' if len(names) == 1 else 'have'} no {what}: "
        f"{several([repr(name) for name in names])}; add {add}, or leave them out with {leaving_out(names)}."
    )
