"""How pictures are cut into parts when the source does not do it.

The rule, class by class, over groups (base pictures), so that no base picture is in two parts:

- no split: half to test, a fifth to val, the rest (about 30 %) to train; at least one group in each. Few-shot search
  needs few training pictures and a report needs many test pictures, hence the larger test part.
- train and test only: a fifth of train becomes val.
- train and val only, or a test part without labels: val is the test part, as in ImageNet, and a fifth of train
  becomes val.

Groups are sorted by their key, then shuffled by `random.Random(seed)`, the classes in label order. The same pictures
and seed give the same parts on every machine. This is never the published split of a benchmark.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from ipo.experiments.data.dataset import Part
from ipo.metrics.errors import InputError

_ALIASES: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def part_named(name: str) -> Part | None:
    """Return the part that a folder, a split or a cell names, or None.

    >>> part_named("Validation"), part_named("cat")
    ('val', None)
    """
    return _ALIASES.get(name.strip().casefold())


def settle_parts(present: Iterable[Part], where: str) -> dict[Part, Part] | None:
    """Return what each part of the source serves as, or None when the source is not split (one part at most).

    Raises:
        InputError: val and test without train.
    """
    parts = set(present)
    if len(parts) <= 1:
        return None
    if "train" not in parts:
        raise InputError(f"{where} has val and test pictures but none to train on; add a train part.")
    if "test" not in parts:
        return {"train": "train", "val": "test"}
    return {part: part for part in parts}


def cut_all(groups: Mapping[int, set[str]], names: tuple[str, ...], seed: int, where: str) -> dict[str, Part]:
    """Cut each class into train, val and test.

    Args:
        groups: label → group keys.
        names: the class names, for messages.
        seed: of the shuffle.
        where: what a message calls the source.

    Raises:
        InputError: a class has fewer than three base pictures.
    """
    parts: dict[str, Part] = {}
    for label, keys in _shuffled(groups, seed):
        n = len(keys)
        if n < 3:
            raise _too_few(names[label], n, 3, "train, val and test", where)
        n_test, n_val = max(1, n // 2), max(1, n // 5)
        for i, key in enumerate(keys):
            parts[key] = "test" if i < n_test else "val" if i < n_test + n_val else "train"
    return parts


def cut_val(groups: Mapping[int, set[str]], names: tuple[str, ...], seed: int, where: str) -> dict[str, Part]:
    """Cut the train groups of each class into train and val; see `cut_all`.

    Raises:
        InputError: a class has fewer than two base pictures.
    """
    parts: dict[str, Part] = {}
    for label, keys in _shuffled(groups, seed):
        n = len(keys)
        if n < 2:
            raise _too_few(names[label], n, 2, "train and val", f"the train part of {where}")
        n_val = max(1, n // 5)
        for i, key in enumerate(keys):
            parts[key] = "val" if i < n_val else "train"
    return parts


def _shuffled(groups: Mapping[int, set[str]], seed: int) -> Iterable[tuple[int, list[str]]]:
    rng = random.Random(seed)
    for label in sorted(groups):
        keys = sorted(groups[label])
        rng.shuffle(keys)
        yield label, keys


def _too_few(name: str, found: int, needed: int, parts: str, where: str) -> InputError:
    return InputError(
        f"the class {name!r} in {where} has {found} base picture{'' if found == 1 else 's'} and {parts} need "
        f"at least {needed}; add pictures or take the class out."
    )
