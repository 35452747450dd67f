"""A registered data set that is not on this machine, by its official sizes: enough to say what a run would cost."""

from __future__ import annotations

from functools import cache

from ipo_prompts.experiments.data.benchmarks.registry import REGISTRY, Registered
from ipo_prompts.experiments.data.benchmarks.roots import default_root, state
from ipo_prompts.experiments.data.dataset import OFFICIAL, DataSet, Item
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture

MOST = 40_000
"""Pictures in each part, spread evenly over the classes: no forecast draws as many, and a million takes a while."""


def absent(spec: str) -> Registered | None:
    """Return the registered data set that a spec names when it is not below the root, else None.

    A spec that says where the data are is taken at its word.
    """
    entry = REGISTRY.get(spec.strip())
    return entry if entry and state(entry, default_root()) != "yes" else None


@cache
def assumed(entry: Registered, task: str | None = None) -> DataSet:
    """Return a data set with as many classes and pictures as the official one, spread evenly; none can be opened."""

    def missing() -> bytes:
        raise InputError(f"{entry.name} is not on this machine; only its official sizes are known.")

    def part(name: str, size: int) -> tuple[Item, ...]:
        each = min(MOST, size) // entry.classes
        keys = ((f"{name}/{label}/{i}", label) for label in range(entry.classes) for i in range(each))
        return tuple(Item(Picture(key, missing), label, key) for key, label in keys)

    train, val, test = (part(name, size) for name, size in zip(("train", "val", "test"), entry.sizes, strict=True))
    names = tuple(f"class {label}" for label in range(entry.classes))
    return DataSet(entry.name, names, task or entry.task, train, val, test, False, (), entry.hand_written, OFFICIAL)


def sizes(entry: Registered) -> str:
    """Word the sizes: "imagenet (1,000 classes; 1,281,167 train, 50,000 test pictures)"."""
    parts = [f"{size:,} {part}" for part, size in zip(("train", "val", "test"), entry.sizes, strict=True) if size]
    return f"{entry.name} ({entry.classes:,} classes; {', '.join(parts)} pictures)"
