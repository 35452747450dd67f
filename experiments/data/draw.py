"""Draws the images of a run: a few to search, a few to select, and the test images.

Train images come from train and validation images from val. All test images are held out.

**The draw** follows the few-shot rule of the benchmark. If images have no variants, it draws the same images as the
benchmark. One random stream first draws K base images of each class of train, the classes in order of first
appearance. The same stream then draws the validation images of val. The draw takes all classes and is then cut to the
base classes; the other order would give other images. Without a val part (ImageNet), the validation images come from
the train images that the search did not draw. If a class has fewer than K images, all are taken and no random
number is used, as in CoOp. But without a val part, one image is left to select with if the class has two or more.

A shot is a base image with all its variants. Variants are not independent: four variants are one shot seen four
times. If variants were drawn one by one, a run would report too many shots.

**The parts** of a source without parts are cut class by class. A base image with all its variants (a group) goes into
one part:

- no split: half of the groups go to test, a fifth to val and the rest (about 30 %) to train; each part gets at least
  one group. Few-shot search needs few training images and a report needs many test images. If a class has two
  groups, one goes to train and one to test. If a class has one group, it goes to train. Such a class is untested, but
  it competes in the test of the other classes.
- train and test only: a fifth of train becomes val; if a class has one group, it stays in train.
- train and val only, or a test part without labels: val becomes the test part, as in ImageNet, and a fifth of train
  becomes val.

Groups are sorted by their key, then shuffled by `random.Random(seed)`, the classes in label order. The same images
and seed give the same parts on every machine. These parts are never the published split of a benchmark.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

from ipo_prompts.experiments.data.dataset import OWN, DataSet, Item, Part, base_count, lacking
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    import dspy

FRESH = 500
"""Most base images that `fresh` draws, unless there are more classes. Encoding them takes less time than the test."""
MANY = 16
"""The most shots that few-shot tables have, and that `many` proposes."""
DRAWN = ("train", "val", "test")
"""The parts of a draw that can be had as examples."""
_NAMES: Mapping[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Draw:
    """The images of one run. Labels count from 0, in the base classes and in the new classes.

    Attributes:
        train: the train images, on which the reward scores templates.
        val: the validation images, held back until the search has ended. Then the winner is chosen by its
            scores on train and validation images (`programs/selection.py`).
        test: all test images of `class_names`.
        new_test: all test images of `new_class_names`; empty unless the classes were cut.
        class_names: all classes, or the base classes.
        new_class_names: the new classes; empty unless the classes were cut.
    """

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    new_test: tuple[Item, ...]
    class_names: tuple[str, ...]
    new_class_names: tuple[str, ...]

    @property
    def untested(self) -> list[str]:
        """The classes of the search that have no test image, quoted. These classes still compete in the test."""
        tested = {item.label for item in self.test}
        return [repr(str(name)) for label, name in enumerate(self.class_names) if label not in tested]

    @property
    def labelled(self) -> float:
        """How many base images the median class has to search and select with."""
        base = base_images((*self.train, *self.val))
        return median(base[label] for label in range(len(self.class_names)))

    @property
    def imbalanced(self) -> bool:
        """Whether the classes of the test images are imbalanced."""
        return imbalanced(base_images(self.test).values())

    def __repr__(self) -> str:
        new = f", {len(self.new_test)} of {len(self.new_class_names)} new classes" if self.new_class_names else ""
        return (
            f"Draw({len(self.train)} train, {len(self.val)} validation and {len(self.test)} test images of "
            f"{len(self.class_names)} classes{new})"
        )

    def examples(self, part: Literal["train", "val", "test"]) -> list[dspy.Example]:
        """Return one part as DSPy examples.

        Each example has `image`, `group`, `label`, the class name, and `class_index`, because two classes may share a
        name (as in ImageNet). `group` has the number of the base image, not its name: the name is often a path, which
        must not get into prompts that hold examples.

        Raises:
            InputError: there is no such part.
        """
        import dspy

        if part not in DRAWN:
            raise InputError(f"a draw has no part {part!r}; its parts are {', '.join(DRAWN)}.")
        items: tuple[Item, ...] = getattr(self, part)
        numbers = {name: i for i, name in enumerate(dict.fromkeys(item.group for item in items))}

        return [
            dspy.Example(
                image=item.image,
                label=self.class_names[item.label],
                class_index=item.label,
                group=f"{part} {numbers[item.group]}",
            ).with_inputs("image")
            for item in items
        ]


def many(data: DataSet, shots: int, val_shots: int) -> list[str]:
    """Return settings with which a run uses more labelled images of the user's data; empty if there are no more.

    A published split is drawn as in the benchmark, so it has no such settings. A run that holds no validation images
    back stays so. For the arguments see `draw`.
    """
    found = {"shots": max(shots, _most(data.train))}
    if val_shots:
        found["val_shots"] = max(val_shots, _most(data.val))
    more = data.split == OWN and sum(found.values()) > shots + val_shots
    return [f"{key}={value}" for key, value in found.items()] if more else []


def _most(items: Iterable[Item]) -> int:
    """Return how many base images the largest class has, at most `MANY`."""
    return min(MANY, max(base_images(items).values(), default=0))


IMBALANCED = 3


def imbalanced(sizes: Collection[int]) -> bool:
    """Whether classes are imbalanced: the largest has `IMBALANCED` times the base images of the smallest, or more.

    `sizes` are the numbers of test images of the classes that have some. The verdict is about these.
    """
    return max(sizes, default=0) >= IMBALANCED * min(sizes, default=1)


def base_images(items: Iterable[Item]) -> Counter[int]:
    """Return label → number of base images."""
    return Counter(label for label, _ in {(item.label, item.group) for item in items})


def draw(
    data: DataSet,
    shots: int,
    val_shots: int,
    seed: int,
    classes: Literal["all", "base"] = "all",
    at_most: int | None = None,
) -> Draw:
    """Draw the images of a run. No image is opened.

    Args:
        data: the data set to draw from.
        shots: the number of base images of each class to search with, 1 or more; a class may have fewer.
        val_shots: the number of base images of each class to select with; 0 for none. The benchmark takes
            min(shots, 4).
        seed: the seed of the draw.
        classes: "all", or "base" to search on the base classes only (the first half of the labels, rounded up). The
            other classes are then the new classes.
        at_most: the largest number of base images to search with, whatever their classes; None sets no limit.

    Raises:
        InputError: a class has no image to search with; there are too few classes to cut; the data set has test
            images only.
    """
    if shots < 1 or val_shots < 0:
        raise InputError(f"shots must be at least 1 and validation shots at least 0, not {shots} and {val_shots}.")
    if not data.train:
        raise InputError(f"{data.name} has test images only, none to search with; search on other data and test here.")
    kept = kept_labels(data, classes)
    new = range(len(kept), len(data.class_names))
    if missing := sorted(set(kept) - {item.label for item in data.train}):
        raise lacking(data, missing, data.name, "image in train to search with", "one of each")
    rng = random.Random(seed)
    train = _sample(data.train, shots, rng, held_back=0 if data.val else min(1, val_shots))
    taken = {item.group for item in train}
    rest = data.val or [item for item in data.train if item.group not in taken]
    val = _sample(rest, val_shots, rng)
    return Draw(
        train=_fewer(cut_to(train, kept), at_most, random.Random(f"{seed} at most")),
        val=cut_to(val, kept),
        test=cut_to(data.test, kept),
        new_test=cut_to(data.test, new),
        class_names=tuple(data.class_names[label] for label in kept),
        new_class_names=tuple(data.class_names[label] for label in new),
    )


def _sample(items: Iterable[Item], shots: int, rng: random.Random, held_back: int = 0) -> list[Item]:
    """Draw `shots` base images of each class, with all variants; the classes are in order of first appearance.

    If a class has fewer than `shots + held_back` base images, all but the last `held_back` are taken, at least one.
    """
    drawn: list[Item] = []
    for groups in _by_class(items).values():
        images = list(groups.values())
        if len(images) >= shots + held_back:
            chosen = rng.sample(images, shots)
        else:
            chosen = images[: max(1, len(images) - held_back)]
        for variants in chosen:
            drawn.extend(variants)
    return drawn


def _by_class(items: Iterable[Item]) -> dict[int, dict[str, list[Item]]]:
    """Return a table of label → base image → its variants. All three are in order of first appearance."""
    found: dict[int, dict[str, list[Item]]] = {}
    for item in items:
        found.setdefault(item.label, {}).setdefault(item.group, []).append(item)
    return found


def _fewer(items: tuple[Item, ...], at_most: int | None, rng: random.Random) -> tuple[Item, ...]:
    # `rng` is a separate random stream, so methods with and without validation images search on the same images.
    groups = list(dict.fromkeys(item.group for item in items))
    if at_most is None or at_most >= len(groups):
        return items
    chosen = set(rng.sample(groups, at_most))
    return tuple(item for item in items if item.group in chosen)


def cut_to(items: Collection[Item], labels: range) -> tuple[Item, ...]:
    """Return the items whose labels are in `labels`; their new labels count from 0."""
    return tuple(replace(item, label=item.label - labels.start) for item in items if item.label in labels)


def fresh(data: DataSet, drawn: Draw, seed: int) -> tuple[Item, ...]:
    """Draw images of train and val that the search did not use, from the classes of the search.

    A separate random stream draws these images, so `draw` does not depend on them.

    Args:
        data: the data set that `drawn` was drawn from.
        drawn: the draw, whose train and validation images are not drawn again.
        seed: the seed of the draw.

    Returns:
        The items of equally many base images of each class, with all variants: `FRESH` divided by the number of
        classes, but at least one base image. If a class has fewer left, all of them are returned. Empty if fewer base
        images are left than there are classes.
    """
    taken = {item.group for item in (*drawn.train, *drawn.val)}
    classes = range(len(drawn.class_names))
    unseen = (item for item in (*data.train, *data.val) if item.label in classes and item.group not in taken)
    most = max(1, FRESH // len(classes))
    rng = random.Random(f"{seed} fresh")
    found = [
        variants
        for _, groups in sorted(_by_class(unseen).items())
        for variants in rng.sample(list(groups.values()), min(most, len(groups)))
    ]
    return tuple(item for variants in found for item in variants) if len(found) >= len(classes) else ()


def kept_labels(data: DataSet, classes: Literal["all", "base"]) -> range:
    """Return the labels of the classes that a search sees.

    Raises:
        InputError: there are too few classes to cut.
    """
    n = len(data.class_names)
    kept = range(n if classes == "all" else base_count(n))
    if 0 < n - len(kept) < 2:
        raise InputError(f"{data.name} has {n} classes and base-to-new needs at least 4, two a half; use all classes.")
    return kept


def part_named(name: str) -> Part | None:
    """Return the part that the name of a folder or split, or the text of a cell, stands for; None if it is no part.

    >>> part_named("Validation"), part_named("cat")
    ('val', None)
    """
    return next((part for part, names in _NAMES.items() if name.strip().casefold() in names), None)


def parts_named(names: Iterable[str], where: str, what: str) -> dict[str, Part]:
    """Return a table of name → part. Names of folders or splits that stand for no part are left out.

    Args:
        names: the names of the folders or splits.
        where: the source's name in messages.
        what: the word for the folders or splits in messages.

    Raises:
        InputError: two names stand for the same part.
    """
    found = {name: part for name in names if (part := part_named(name))}
    if len(set(found.values())) < len(found):
        raise InputError(f"{where} has two {what} for one part ({', '.join(found)}); join them.")
    return found


def cut(groups: Mapping[int, set[str]], seed: int, *, test: bool) -> dict[str, Part]:
    """Cut each class into parts; the head of this file has the rule.

    Args:
        groups: label → the groups of this class.
        seed: the seed of the shuffle.
        test: whether to cut a test part; if not, the parts are train and val.

    Returns:
        A table of group → part.
    """
    parts: dict[str, Part] = {}
    rng = random.Random(seed)
    for label in sorted(groups):
        keys = sorted(groups[label])
        n = len(keys)
        rng.shuffle(keys)
        n_test = n // 2 if test else 0
        n_val = max(1, n // 5) if n > n_test + 1 else 0
        for i, key in enumerate(keys):
            parts[key] = "test" if i < n_test else "val" if i < n_test + n_val else "train"
    return parts
