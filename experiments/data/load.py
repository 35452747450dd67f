"""Loads the data set that `--data` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data.assemble import assemble
from ipo_prompts.experiments.data.benchmarks import REGISTRY, Registered, find_folder, official_data
from ipo_prompts.experiments.data.benchmarks.hub import load_copy
from ipo_prompts.experiments.data.benchmarks.local import READERS
from ipo_prompts.experiments.data.dataset import NAMES_FILE, DataSet, with_names
from ipo_prompts.experiments.data.sources import FORMS, SOURCES
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.pictures import AS_STORED, AS_VIEWED, Background


def load_data(
    spec: str,
    *,
    seed: int,
    task: str | None = None,
    background: Background = AS_VIEWED,
    class_names: Mapping[Any, Any] | None = None,
    whole: bool = True,
) -> DataSet:
    """Load a data set; pictures are found, not opened.

    Args:
        spec: `embedded`, `embedded:NAME`, `embedded:OP+OP`, `folder:PATH`, `csv:PATH`, `parquet:PATH`,
            `hf:NAME[:CONFIG]`, or a registered name: `eurosat` (below `IPO_DATA_ROOT`), `eurosat:PATH_OF_ROOT`,
            `eurosat:hf`, or `eurosat:hf:ID` for another copy on the hub or on this machine.
        seed: cuts the parts that the source lacks (draw.py); without effect when it has train, val and test.
        task: what the pictures are, for the language model; None takes the registered task, or makes one from a few
            class names.
        background: how the pixels are read; registered data are read as stored, as their published numbers were.
        class_names: class → its name in prompts, or a list of that and synonyms; instead of `classes.yaml`.
        whole: a file that a folder or a table names and that is not there is an error; else reading it will be.

    Raises:
        InputError: an unknown spec, or what is wrong with the source, in one sentence.

    >>> load_data("foldr:pictures", seed=0)
    Traceback (most recent call last):
    ...
    ipo_prompts.metrics.errors.InputError: unknown data 'foldr:pictures' (did you mean folder?); use embedded[:NAME or \
:OP+OP], folder:PATH, csv:PATH, parquet:PATH, hf:NAME[:CONFIG] or a registered name of `ipo data list`.
    """
    kind, _, rest = spec.strip().partition(":")
    if kind in REGISTRY:
        data = load_registered(REGISTRY[kind], rest.strip(), seed, task)
        return with_names(data, class_names, "class_names") if class_names else data
    if kind not in SOURCES:
        raise InputError(
            f"unknown data {spec!r}{_hint(spec, kind)}; use {FORMS} or a registered name of `ipo data list`."
        )
    gathered = SOURCES[kind].gather(rest.strip())
    for fault in (row.fault for row in gathered.rows if row.fault and whole):
        raise fault
    data = assemble(gathered, seed, task).on(background)
    if class_names:
        return with_names(data, class_names, "class_names")
    return with_names(data, gathered.names, f"{NAMES_FILE} in {gathered.where}") if gathered.names else data


def names_data(word: str) -> bool:
    """Whether a word of a command names data rather than a setting.

    >>> names_data("folder:pets"), names_data("eurosat"), names_data("pets"), names_data("steps=3")
    (True, True, False, False)
    """
    kind, colon, _ = word.strip().partition(":")
    return kind in REGISTRY or (kind in SOURCES and (bool(colon) or not SOURCES[kind].form.startswith(f"{kind}:")))


def load_registered(entry: Registered, rest: str, seed: int, task: str | None) -> DataSet:
    """Load a registered data set; `rest` is what stands behind its name, see `load_data`."""
    if rest == "hf" or rest.startswith("hf:"):
        return load_copy(entry, rest[3:], seed, task).on(AS_STORED)
    return official_data(entry, READERS[entry.rule](entry, find_folder(entry, rest)), task)


def _hint(spec: str, kind: str) -> str:
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return f" (did you mean folder:{spec}?)"
    if spec and path.is_file():
        return f" (did you mean {'parquet' if path.suffix == '.parquet' else 'csv'}:{spec}?)"
    return did_you_mean(kind, [*SOURCES, *REGISTRY])
