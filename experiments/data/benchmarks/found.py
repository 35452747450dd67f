"""Makes a data set of what a reader found, checked against the registry."""

from __future__ import annotations

from dataclasses import dataclass

from ipo_prompts.experiments.data.assemble import labels_of
from ipo_prompts.experiments.data.benchmarks.registry import Registered
from ipo_prompts.experiments.data.dataset import DIFFERENT, OFFICIAL, PARTS, DataSet, Item, Part
from ipo_prompts.metrics.errors import InputError


@dataclass(frozen=True)
class Found:
    """What a reader found.

    Attributes:
        where: the source's name in messages.
        class_names: in label order.
        parts: the pictures of each part; a part that the data set does not have is empty.
        stray: what was left out.
    """

    where: str
    class_names: tuple[str, ...]
    parts: dict[Part, list[Item]]
    stray: tuple[str, ...] = ()


def finish(entry: Registered, found: Found, task: str | None, name: str | None = None) -> DataSet:
    """Check what was found against the registry and build the data set.

    Raises:
        InputError: class names that read the same, or a class without pictures in a part.
    """
    if not entry.twins:
        labels_of(found.class_names, found.where)
    n = len(found.class_names)
    for part, official in zip(PARTS, entry.sizes, strict=True):
        if not official:
            continue
        missing = sorted(set(range(n)) - {item.label for item in found.parts[part]})
        if missing:
            raise InputError(
                f"the class {found.class_names[missing[0]]!r} (label {missing[0]}) has no pictures in the {part} part "
                f"of {found.where} ({len(missing)} of {n} classes have none); every class needs pictures in each part."
            )
    return DataSet(
        name=name or entry.name,
        class_names=found.class_names,
        task=task or entry.task,
        train=tuple(found.parts["train"]),
        val=tuple(found.parts["val"]),
        test=tuple(found.parts["test"]),
        variants=False,
        stray=found.stray,
        hand_written=entry.hand_written,
        split=_split(entry, found),
    )


def _split(entry: Registered, found: Found) -> str:
    """Recognise the official split by its counts: another rule, or fewer pictures, give other counts."""
    reasons = []
    if len(found.class_names) != entry.classes:
        reasons.append(f"{len(found.class_names)} classes where the official split has {entry.classes}")
    for part, official in zip(PARTS, entry.sizes, strict=True):
        if len(found.parts[part]) != official:
            reasons.append(f"{len(found.parts[part])} {part} pictures where the official split has {official}")
    return DIFFERENT + "; ".join(reasons) if reasons else OFFICIAL
