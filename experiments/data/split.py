"""How pictures are cut into parts when the source does not do it.

The rule, class by class, over groups (base pictures), so that no base picture is in two parts:

- no split: half to test, a fifth to val, the rest (about 30 %) to train; at least one group in each. Few-shot search
  needs few training pictures and a report needs many test pictures.
- train and test only: a fifth of train becomes val.
- train and val only, or a test part without labels: val is the test part, as in ImageNet, and a fifth of train
  becomes val.

Groups are sorted by their key, then shuffled by `random.Random(seed)`, the classes in label order. The same pictures
and seed give the same parts on every machine. This is never the published split of a benchmark.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from ipo_prompts.experiments.data.dataset import Part
from ipo_prompts.metrics.errors import InputError, several

_NAMES: Mapping[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def part_named(name: str) -> Part | None:
    """Return the part that a folder, a split or a cell names, or None.

    >>> part_named("Validation"), part_named("cat")
    ('val', None)
    """
    return next((part for part, names in _NAMES.items() if name.strip().casefold() in names), None)


def part_in_cell(cell: str, at: str) -> Part | None:
    """Return the part that the column `split` of a table says; None where the cell is empty.

    Raises:
        InputError: it names no part; `at` is the row in the message.
    """
    part = part_named(cell)
    if cell.strip() and part is None:
        raise InputError(f"{at} has the split {cell.strip()!r}; write train, val or test.")
    return part


def settle_parts(parts: Collection[Part], where: str) -> dict[Part, Part] | None:
    """Return what each part of the source is used as, or None when the source is not split (one part at most).

    Raises:
        InputError: val and test without train.
    """
    if len(parts) <= 1:
        return None
    if "train" not in parts:
        raise InputError(f"{where} has val and test pictures but none to train on; add a train part.")
    if "test" not in parts:
        return {"train": "train", "val": "test"}
    return {part: part for part in parts}


def cut(
    groups: Mapping[int, set[str]], names: tuple[str, ...], seed: int, where: str, *, test: bool
) -> dict[str, Part]:
    """Cut each class into parts.

    Args:
        groups: label → group keys.
        names: the class names, for messages.
        seed: of the shuffle.
        where: the source's name in messages.
        test: whether to cut a test part too, or train and val only.

    Raises:
        InputError: a class has fewer base pictures than there are parts.
    """
    parts: dict[str, Part] = {}
    rng = random.Random(seed)
    needed, kinds = (3, "train, val and test") if test else (2, "train and val")
    short = [label for label in sorted(groups) if len(groups[label]) < needed]
    if short:
        named = several([f"{names[label]!r} has {len(groups[label])}" for label in short])
        raise InputError(
            f"{len(short)} of {len(groups)} classes in {where} {'has' if len(short) == 1 else 'have'} too few base "
            f"pictures: {kinds} need at least {needed}, and {named}; add pictures or take "
            f"{'the class' if len(short) == 1 else 'these classes'} out."
        )
    for label in sorted(groups):
        keys = sorted(groups[label])
        n = len(keys)
        rng.shuffle(keys)
        n_test, n_val = max(1, n // 2) if test else 0, max(1, n // 5)
        for i, key in enumerate(keys):
            parts[key] = "test" if i < n_test else "val" if i < n_test + n_val else "train"
    return parts
