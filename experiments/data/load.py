"""Loads the data set that `--data` names: gathers rows, checks them, numbers the classes, cuts parts, names classes."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.dataset import (
    PARTS,
    DataSet,
    Gathered,
    Item,
    Part,
    Row,
    default_task,
    empty_classes,
    lacking,
    without,
)
from ipo_prompts.experiments.data.draw import cut
from ipo_prompts.experiments.data.names import NAMES_FILE, labels_of, read_codes, read_labels, with_names
from ipo_prompts.experiments.data.published import REGISTRY, load_registered
from ipo_prompts.experiments.data.sources import FORMS, SOURCES
from ipo_prompts.metrics.errors import InputError, did_you_mean, several
from ipo_prompts.metrics.files import read_json, read_yaml
from ipo_prompts.metrics.template import tidy

BAR = "|"
"""The character between the names of a label that names several classes, such as `cat|sofa`."""
GIVE_JSON = 'write {"sofa": ["sofa", "couch"]}'
TABLES = ("table", "csv", "parquet", "hf")
WORDNET = "the table of WordNet's numbers"


def load_data(
    spec: str,
    *,
    seed: int = 0,
    task: str | None = None,
    class_names: Mapping[Any, Any] | str | None = None,
    exclude: Sequence[str] = (),
    whole: bool = True,
    clean: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_unreadable: bool = False,
) -> DataSet:
    """Load a data set. Images are only listed, not opened, unless some are to be skipped or a table has faults.

    Args:
        spec: `embedded`, `embedded:NAME`, `embedded:OP+OP`, `folder:PATH`, `table:PATH` (CSV, JSON Lines, parquet
            or WebDataset; also `csv:PATH`, `parquet:PATH`), `hf:NAME[:CONFIG]`, `python:MODULE:FUNCTION[:REST]` (see
            sources.py), or a registered name: `eurosat` (below `IPO_DATA_ROOT`) or `eurosat:PATH_OF_ROOT`.
        seed: the seed with which missing parts are cut (draw.py); without effect if the source has train, val and test.
        task: a sentence that says what the images are, for the language model. None takes the registered task, or
            makes a sentence from a few class names.
        class_names: a table, in place of `classes.yaml`: class → its name in prompts, or a list of name and synonyms.
            Instead of a table, the path of a file that holds it.
        exclude: names of classes to leave out, as the source or `classes.yaml` spells them. The images of the other
            classes stay in their parts.
        whole: whether missing files and classes without images are errors here. If not, a missing file raises an
            error when it is read, and a class without images stays in the data set.
        clean: whether labels of folders, tables and `hf:` data are read as captions write names; see names.py. Names
            in `class_names` and `classes.yaml` are not.
        columns: `image`, `label` or `split` → the name of this column in a table that calls it otherwise.
        skip_unreadable: whether images that cannot be read are left out. All images are then read here, and the
            number that is left out stands in `DataSet.stray`.

    Raises:
        InputError: the spec is unknown, or something is wrong with the source; the message says what in one sentence.

    >>> load_data("foldr:images", seed=0)
    Traceback (most recent call last):
    ...
    ipo_prompts.metrics.errors.InputError: unknown data 'foldr:images' (did you mean folder?); use embedded[:NAME or \
:OP+OP], folder:PATH, table:PATH, hf:NAME[:CONFIG], python:MODULE:FUNCTION[:REST] or a registered name of \
`ipo data list`.
    """
    names = read_class_names(class_names) if isinstance(class_names, str) else class_names
    kind, _, rest = spec.strip().partition(":")
    _check_kind(spec, kind)
    if (columns and kind not in TABLES) or (skip_unreadable and kind not in SOURCES):
        raise InputError(
            f"image=, label= and split= are for tables, and skip_unreadable= is for images of your own; {spec} is "
            "neither, so leave them out."
        )
    if kind not in SOURCES:
        data = load_registered(REGISTRY[kind], rest.strip(), task)
        data = with_names(data, names, "class_names") if names else data
        return without(data, exclude) if exclude else data
    source = SOURCES[kind]
    if source.needs and not rest.strip():
        raise InputError(f"{source.form.partition(':')[0]}: needs {source.needs}.")
    gathered = source.gather(rest.strip(), columns or {}) if kind in TABLES else source.gather(rest.strip())
    if skip_unreadable:
        looked = zip(gathered.rows, faults([row.image for row in gathered.rows]), strict=True)
        rows = [row for row, fault in looked if not fault]
        left_out = f"{len(gathered.rows) - len(rows):,} images that cannot be read"
        gathered = replace(gathered, rows=rows, stray=(left_out, *gathered.stray))
    barred = [row.label for row in gathered.rows if kind in TABLES and BAR in row.label]
    if 2 * len(barred) > len(gathered.rows):  # a few names of classes may have a bar
        raise InputError(
            f"{gathered.where} has labels such as {barred[0]!r}, and several labels of an image are not supported; an "
            "own reward is the way: ipo docs own-reward."
        )
    if kind == "folder" and not (names or gathered.names):  # names for the folders say that these are the classes
        sources.refuse_collection(rest.strip(), gathered)
    gone = [row for row in gathered.rows if row.fault]
    if whole and gone:
        raise cannot_be_read(
            [row.image.name for row in gone], str(gone[0].fault), check_command(spec, exclude, columns)
        )
    data = _assemble(gathered, seed, task)
    where = "class_names" if names else gathered.where
    data = _called(data, names or gathered.names or {}, where, clean=clean and kind in ("folder", "python", *TABLES))
    data = without(data, exclude) if exclude else data
    if whole and (empty := empty_classes(data)):
        raise lacking(data, empty, gathered.where, "images", "some")
    if not data.test:
        raise InputError(
            f"nothing of {gathered.where} is left to test with: the only image of a class is searched on; add a "
            "second one of some classes."
        )
    return data


def _assemble(source: Gathered, seed: int, task: str | None) -> DataSet:
    """Check the rows, cut the parts that the source lacks (by the rule in draw.py), and build the data set.

    A class without images is no error here, because `exclude` may still leave it out. If it does not, `load_data`
    raises the error.

    Raises:
        InputError: there are no images; `labels_of` refuses the class names; a group is in two classes or two parts;
            only some rows have a part; or there are val and test parts but no train part.
    """
    where = source.where
    if not source.rows:
        raise InputError(f"{where} has no images; put images there or name another source.")
    names = source.class_names or tuple(sorted({row.label for row in source.rows}))
    labels = labels_of(names, where)
    if lost := next((row for row in source.rows if row.label not in labels), None):
        raise InputError(f"{lost.key} of {where} has the label {lost.label!r}, which is not in class_names; add it.")
    _whole_groups(source)
    place = _places(source, labels, seed)
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for row in source.rows:
        parts[place[row.base]].append(Item(row.image, labels[row.label], row.base))
    clean = tuple(tidy(name) for name in names)
    return DataSet(
        name=source.name,
        class_names=clean,
        task=task or default_task(clean),
        train=tuple(parts["train"]),
        val=tuple(parts["val"]),
        test=tuple(parts["test"]),
        variants=len(place) < len(source.rows),
        stray=source.stray,
    )


def _whole_groups(source: Gathered) -> None:
    first: dict[str, Row] = {}
    for row in source.rows:
        known = first.setdefault(row.base, row)
        if (known.label, known.split) != (row.label, row.split):
            what = "classes" if known.label != row.label else "parts"
            raise InputError(
                f"the group {row.base!r} of {source.where} is in two {what}: {known.key} is in {known.label!r} "
                f"({known.split}), {row.key} in {row.label!r} ({row.split}); variants of one image belong together."
            )


def _places(source: Gathered, labels: dict[str, int], seed: int) -> dict[str, Part]:
    """Return a table of group → part: the source's parts, or parts that are cut here."""
    given = {row.split for row in source.rows}
    divided = len(given) > 1
    if divided and None in given:
        lost = next(row for row in source.rows if row.split is None)
        raise InputError(f"{lost.key} of {source.where} has no split while others have one; give it one.")
    if divided and "train" not in given:
        raise InputError(f"{source.where} has val and test images but none to train on; add a train part.")
    groups: dict[int, set[str]] = defaultdict(set)
    places: dict[str, Part] = {}
    for row in source.rows:
        if not divided or row.split == "train":
            groups[labels[row.label]].add(row.base)
        if row.split:
            places[row.base] = "test" if row.split == "val" and "test" not in given else row.split
    if not divided:
        return cut(groups, seed, test=True)
    return places if len(given) == len(PARTS) else places | cut(groups, seed, test=False)


def _check_kind(spec: str, kind: str) -> None:
    if kind in SOURCES or kind in REGISTRY:
        return
    if spec == "IMAGES":  # typed as it stands in the commands that IPO prints
        raise InputError("IMAGES stands for images of yours; type the path of their folder in its place.")
    path = Path(spec).expanduser()
    sources.refuse_image(spec)
    form = "folder" if spec and path.is_dir() else "table" if path.is_file() else ""
    hint = f" (did you mean {form}:{spec}?)" if form else did_you_mean(kind, [*SOURCES, *REGISTRY])
    raise InputError(f"unknown data {spec!r}{hint}; use {FORMS} or a registered name of `ipo data list`.")


def check_spec(spec: str) -> None:
    """Refuse what `load_data` refuses, as far as the spec and the top of a folder show it: this takes no time.

    Raises:
        InputError: the kind of data is unknown, or the folder is missing or has no class folders.
    """
    kind, _, rest = spec.strip().partition(":")
    _check_kind(spec, kind)
    if kind == "folder":
        sources.top_folders(rest.strip())


def cannot_be_read(names: Sequence[str], sentence: str, check: str) -> InputError:
    """Return one error for all images that cannot be read.

    Args:
        names: the names of these images, at least one.
        sentence: a sentence that says why the first image cannot be read.
        check: the command that checks every image of the data.
    """
    if len(names) == 1:
        return InputError(f"{sentence.rstrip('.')}; `{check}` reads all images.")
    return InputError(
        f"{len(names):,} images cannot be read: {several(names)}; remove or replace them: `{check}` says what is "
        "wrong with each."
    )


def check_command(spec: str, exclude: Sequence[str], columns: Mapping[str, str] | None = None) -> str:
    """Return the command that checks the data that these arguments of `load_data` describe.

    >>> print(check_command("csv:my rooms.csv", ["hall"], {"label": "room"}))
    ipo data check 'csv:my rooms.csv' label=room 'exclude=["hall"]'
    """
    words = [f"{key}={name}" for key, name in (columns or {}).items()]
    if exclude:
        words.append(f"exclude={json.dumps(list(exclude), ensure_ascii=False)}")
    return shlex.join(["ipo", "data", "check", spec, *words])


def _called(data: DataSet, names: Mapping[Any, Any], where: str, *, clean: bool) -> DataSet:
    """Rename the classes by the user's names. Other classes with a number of WordNet get their name in WordNet.

    If `clean`, all other names are read as captions write them, but not codes.
    """
    given = {tidy(name) for name in names if isinstance(name, str)}
    known, unnamed = read_codes(data, given)  # before `with_names`: codes that the user wrote count as names
    said = [f"{NAMES_FILE} in {where}" if where != "class_names" else where] * bool(names) + [WORDNET] * bool(known)
    data = replace(with_names(data, {**known, **names}, " and ".join(said)), unnamed=unnamed)
    return read_labels(data, {*given, *unnamed, *known}) if clean else data


def names_data(word: str) -> bool:
    """Return whether a word of a command is the spec of a data set, not a setting.

    >>> names_data("folder:pets"), names_data("eurosat"), names_data("pets"), names_data("steps=3")
    (True, True, False, False)
    """
    kind, colon, _ = word.strip().partition(":")
    if kind in SOURCES:
        return bool(colon) or not SOURCES[kind].needs
    return kind in REGISTRY


def read_class_names(given: str) -> dict[Any, Any]:
    """Read a file of class names: a table in YAML or JSON.

    A class whose texts in JSON are sentences, as CuPL writes them (Pratt et al. 2023), is called by its key: the key
    becomes the first name, and the sentences synonyms.

    Raises:
        InputError: the file cannot be read, or has no class names.
    """
    file = Path(given).expanduser()
    is_json, what = file.suffix.lower() == ".json", "the class names"
    content = read_json(file, what, GIVE_JSON) if is_json else read_yaml(file, what)
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no table of class names; write a line for each class, such as sofa: [sofa].")
    if is_json:
        return {key: [key, *texts] if _are_sentences(texts) else texts for key, texts in content.items()}
    return content


def _are_sentences(texts: object) -> bool:
    listed = texts if isinstance(texts, list) else []
    return bool(listed) and all(isinstance(text, str) and text.rstrip().endswith(".") for text in listed)
