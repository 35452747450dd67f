"""Loads the data set that `--data` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ipo_prompts.experiments.data.assemble import Gathered, assemble
from ipo_prompts.experiments.data.benchmarks import REGISTRY, Registered, find_folder, official_data
from ipo_prompts.experiments.data.benchmarks.hub import load_copy
from ipo_prompts.experiments.data.benchmarks.local import READERS
from ipo_prompts.experiments.data.codes import WHERE, known_codes, unnamed_in
from ipo_prompts.experiments.data.dataset import NAMES_FILE, DataSet, leaving_out, with_names, without
from ipo_prompts.experiments.data.several import assemble_several
from ipo_prompts.experiments.data.sources import FORMS, SOURCES
from ipo_prompts.experiments.data.unlabelled import (
    Names,
    both,
    gather_pictures,
    is_list,
    named_pictures,
    read_class_names,
    without_labels,
)
from ipo_prompts.metrics.errors import InputError, did_you_mean, several
from ipo_prompts.metrics.pictures import AS_STORED, AS_VIEWED, Background
from ipo_prompts.metrics.template import tidy


def load_data(
    spec: str,
    *,
    seed: int,
    task: str | None = None,
    background: Background = AS_VIEWED,
    class_names: Names | str | None = None,
    labels: Literal["given", "none", "several"] = "given",
    exclude: Sequence[str] = (),
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
        class_names: class → its name in prompts, or a list of that and synonyms; instead of `classes.yaml`. A list of
            names is for pictures without labels, see unlabelled.py.
        labels: "none" takes away the labels that there are; nothing looks at them. "several" reads `cat|sofa`.
        exclude: classes that are left out, as the source or as `classes.yaml` calls them; the pictures of the others
            stay in their parts.
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
    names = read_class_names(class_names) if isinstance(class_names, str) else class_names
    hidden = labels == "none"
    found = gather_pictures(kind, rest.strip(), names, hidden=hidden) if kind in SOURCES else None
    if found and names is not None:
        _check_files(found, whole)
        data = named_pictures(found, names, task).on(background)
        return without(data, exclude) if exclude else data
    if is_list(names) and not hidden:
        raise both(f"{spec} comes with labels")
    data = _labelled(spec, seed, task, background, names, exclude, whole, labels)
    return without_labels(data, names) if hidden else data


def _labelled(
    spec: str,
    seed: int,
    task: str | None,
    background: Background,
    names: Names | None,
    exclude: Sequence[str],
    whole: bool,
    labels: str,
) -> DataSet:
    """Load pictures with their labels; see `load_data`."""
    class_names = names if isinstance(names, Mapping) else {}
    kind, _, rest = spec.strip().partition(":")
    if labels == "several" and kind not in ("csv", "parquet"):
        raise InputError(f"labels=several reads the labels cat|sofa of a table, csv:PATH, and {spec} is none.")
    if kind in REGISTRY:
        data = load_registered(REGISTRY[kind], rest.strip(), seed, task)
        data = with_names(data, class_names, "class_names") if class_names else data
        return without(data, exclude) if exclude else data
    if kind not in SOURCES:
        raise InputError(
            f"unknown data {spec!r}{_hint(spec, kind)}; use {FORMS} or a registered name of `ipo data list`."
        )
    gathered = SOURCES[kind].gather(rest.strip())
    _check_files(gathered, whole)
    data = (assemble_several if labels == "several" else assemble)(gathered, seed, task).on(background)
    data = _called(data, class_names or gathered.names or {}, "class_names" if class_names else gathered.where)
    data = without(data, exclude) if exclude else data
    if empty := sorted(set(range(len(data.class_names))) - {label for _, item in data.items() for label in item.shows}):
        told = [repr(str(data.class_names[label])) for label in empty]
        raise InputError(
            f"{len(empty)} of {len(data.class_names)} classes of {gathered.where} "
            f"{'has' if len(empty) == 1 else 'have'} no pictures: {several(told)}; add "
            f"some, or leave them out with {leaving_out([data.class_names[label] for label in empty])}."
        )
    if not data.test:
        raise InputError(
            f"nothing of {gathered.where} is left to test with: the only picture of a class is searched on; add a "
            "second one of some classes."
        )
    return data


def _check_files(gathered: Gathered, whole: bool) -> None:
    for fault in (row.fault for row in gathered.rows if row.fault and whole):
        raise fault


def _called(data: DataSet, names: Mapping[Any, Any], where: str) -> DataSet:
    """Name the classes as somebody has said, and those with a number of WordNet as that says."""
    named = {tidy(name) for name in names if isinstance(name, str)}
    known = known_codes(data, named)
    unnamed = unnamed_in(data, {*named, *known})  # before: who calls a class by a code is believed
    said = [WHERE] * bool(known) + [f"{NAMES_FILE} in {where}" if where != "class_names" else where] * bool(names)
    if known or names:
        data = with_names(data, {**known, **names}, " and ".join(reversed(said)))
    return replace(data, unnamed=unnamed)


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
