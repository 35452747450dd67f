"""`--data eurosat`: a registered data set, from a root in the CoOp layout or from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ipo.experiments.data.benchmarks import coop_split, hub, imagenet
from ipo.experiments.data.benchmarks.found import Found, finish
from ipo.experiments.data.benchmarks.registry import Registered, Rule
from ipo.experiments.data.benchmarks.roots import find_folder
from ipo.experiments.data.dataset import DataSet

READERS: Mapping[Rule, Callable[[Registered, Path], Found]] = {
    "split": coop_split.read_split,
    "variants": coop_split.read_variants,
    "imagenet": imagenet.read_imagenet,
    "wnids": imagenet.read_wnids,
    "numbers": imagenet.read_numbers,
}


def load(entry: Registered, rest: str, seed: int, task: str | None) -> DataSet:
    """Load a registered data set; pictures are found, not opened.

    Args:
        entry: the data set.
        rest: what stands behind its name: nothing (the root is in `IPO_DATA_ROOT`), the path of a root, `hf`, or
            `hf:ID` for another copy of the hub's data set, such as one on this machine.
        seed: cuts the parts that a copy on the hub lacks; without effect otherwise.
        task: replaces the registered wording.

    Raises:
        InputError: something is missing or does not fit, in one sentence.
    """
    if rest == "hf" or rest.startswith("hf:"):
        return hub.load(entry, rest[3:], seed, task)
    return finish(entry, READERS[entry.rule](entry, find_folder(entry, rest)), task)
