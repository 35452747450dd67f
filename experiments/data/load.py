"""Loads the data set that `--data` names, with labels or without.

    ipo optimize --data folder:HOLIDAY class_names=names.txt

The pictures in this example have no labels, and the user names the classes. The names may be in a text file with one
name on each line, in a YAML or JSON file with a list or a table (with synonyms, as in `classes.yaml`), or in the
setting itself as a list. A list, also in a file, means that the pictures have no labels.

`labels=none` removes the labels of labelled pictures, so that a run with labels can be compared with a run without
labels. Without labels, all pictures are in one part, and no label is stored.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from ipo_prompts.experiments.data.assemble import Gathered, assemble, group_of, labels_of, refuse_several
from ipo_prompts.experiments.data.benchmarks.local import OFFICIAL
from ipo_prompts.experiments.data.dataset import (
    MOST_TYPED,
    NAMES_FILE,
    UNLABELLED,
    DataSet,
    Item,
    checked_names,
    default_task,
    empty_classes,
    lacking,
    owners,
    with_names,
    without,
)
from ipo_prompts.experiments.data.sources import FORMS, SOURCES, folder
from ipo_prompts.experiments.data.wordnet import read_codes
from ipo_prompts.metrics.decoding import AS_VIEWED, Background
from ipo_prompts.metrics.errors import InputError, did_you_mean, several
from ipo_prompts.metrics.files import read_json, read_text, read_yaml
from ipo_prompts.metrics.template import as_read, named, tidy

Names = Mapping[Any, Any] | Sequence[Any]
GIVE = "class_names=names.txt, a text file with one name a line"
GIVE_JSON = 'write {"sofa": ["sofa", "couch"]}'
TABLES = ("table", "csv", "parquet", "hf")
WORDNET = "the table of WordNet's numbers"
MOST_BYTES = 10_000_000
"""Largest size of a file of class names, in bytes: enough for a million names."""


def load_data(
    spec: str,
    *,
    seed: int = 0,
    task: str | None = None,
    background: Background = AS_VIEWED,
    class_names: Names | str | None = None,
    labels: Literal["given", "none"] = "given",
    exclude: Sequence[str] = (),
    whole: bool = True,
) -> DataSet:
    """Load a data set. Pictures are only listed, not opened.

    Args:
        spec: `embedded`, `embedded:NAME`, `embedded:OP+OP`, `folder:PATH`, `table:PATH` (CSV, JSON Lines, parquet
            or WebDataset; also `csv:PATH`, `parquet:PATH`), `hf:NAME[:CONFIG]`, `python:MODULE:FUNCTION[:REST]` (see
            `sources/own.py`), or a registered name: `eurosat` (below `IPO_DATA_ROOT`) or `eurosat:PATH_OF_ROOT`.
        seed: the seed with which missing parts are cut (draw.py); without effect if the source has train, val and test.
        task: a sentence that says what the pictures are, for the language model. None takes the registered task, or
            makes a sentence from a few class names.
        background: the background on which transparent pictures are read. Registered data are always read as stored,
            because the published numbers were measured so.
        class_names: a table, in place of `classes.yaml`: class → its name in prompts, or a list of name and synonyms.
            For pictures without labels, also a list of classes (see the head of this file). Instead of a table or a
            list, the path of a file that holds it.
        labels: "given" uses the labels of the data; "none" removes them, so that a run cannot use them.
        exclude: names of classes to leave out, as the source or `classes.yaml` spells them. The pictures of the other
            classes stay in their parts.
        whole: whether missing files and classes without pictures are errors here. If not, a missing file raises an
            error when it is read, and a class without pictures stays in the data set.

    Raises:
        InputError: the spec is unknown, or something is wrong with the source; the message says what in one sentence.

    >>> load_data("foldr:pictures", seed=0)
    Traceback (most recent call last):
    ...
    ipo_prompts.metrics.errors.InputError: unknown data 'foldr:pictures' (did you mean folder?); use embedded[:NAME or \
:OP+OP], folder:PATH, table:PATH, hf:NAME[:CONFIG], python:MODULE:FUNCTION[:REST] or a registered name of \
`ipo data list`.
    """
    kind, _, rest = spec.strip().partition(":")
    names = read_class_names(class_names) if isinstance(class_names, str) else class_names
    hidden = labels == "none"
    found = gather_pictures(kind, rest.strip(), names, hidden=hidden) if kind in SOURCES else None
    if found and names is not None:
        _check_files(found, whole, check_command(spec, class_names, labels, exclude))
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
    _check_kind(spec, kind)
    if kind not in SOURCES:
        data = OFFICIAL[kind](rest.strip(), task)
        data = with_names(data, class_names, "class_names") if class_names else data
        return without(data, exclude) if exclude else data
    gathered = SOURCES[kind].gather(rest.strip())
    if kind in TABLES:
        refuse_several(gathered)
    if kind == "folder" and not (class_names or gathered.names):  # names for the folders say that these are the classes
        folder.refuse_collection(rest.strip(), gathered)
    _check_files(gathered, whole, check_command(spec, class_names, labels, exclude))
    data = assemble(gathered, seed, task).on(background)
    data = _called(data, class_names or gathered.names or {}, "class_names" if class_names else gathered.where)
    data = without(data, exclude) if exclude else data
    if whole and (empty := empty_classes(data)):
        raise lacking(data, empty, gathered.where, "pictures", "some")
    if not data.test:
        raise InputError(
            f"nothing of {gathered.where} is left to test with: the only picture of a class is searched on; add a "
            "second one of some classes."
        )
    return data


def _check_kind(spec: str, kind: str) -> None:
    if kind in SOURCES or kind in OFFICIAL:
        return
    if spec == "PICTURES":  # typed as it stands in the commands that IPO prints
        raise InputError("PICTURES stands for pictures of yours; type the path of their folder in its place.")
    raise InputError(f"unknown data {spec!r}{_hint(spec, kind)}; use {FORMS} or a registered name of `ipo data list`.")


def check_spec(spec: str, class_names: object) -> None:
    """Refuse what `load_data` refuses, as far as the spec and the top of a folder show it: this takes no time.

    Raises:
        InputError: the kind of data is unknown or has no labels to read, or the folder is missing or has no folders.
    """
    if class_names is not None:
        return
    kind, _, rest = spec.strip().partition(":")
    _check_kind(spec, kind)
    if kind == "folder":
        gather_pictures(kind, rest.strip(), None, hidden=False)


def _check_files(gathered: Gathered, whole: bool, check: str) -> None:
    """Raise one error for all missing files, if `whole`; `check` is the command that lists them all."""
    gone = [row for row in gathered.rows if row.fault]
    if whole and len(gone) == 1:
        raise cast("InputError", gone[0].fault)
    if whole and gone:
        raise cannot_be_read([row.picture.name for row in gone], str(gone[0].fault), check)


def cannot_be_read(names: Sequence[str], sentence: str, check: str) -> InputError:
    """Return one error for all pictures that cannot be read.

    Args:
        names: the names of these pictures, at least one.
        sentence: a sentence that says why the first picture cannot be read.
        check: the command that checks every picture of the data.
    """
    if len(names) == 1:
        return InputError(f"{sentence.rstrip('.')}; `{check}` reads all pictures.")
    return InputError(
        f"{len(names):,} pictures cannot be read: {several(names)}; remove or replace them: `{check}` says what is "
        "wrong with each."
    )


def check_command(spec: str, class_names: object, labels: str, exclude: Sequence[str]) -> str:
    """Return the command that checks the data that these arguments of `load_data` describe.

    >>> print(check_command("csv:my rooms.csv", None, "none", ["hall"]))
    ipo data check 'csv:my rooms.csv' labels=none 'exclude=["hall"]'
    """
    words = [] if labels == "given" else [f"labels={labels}"]
    if isinstance(class_names, (list, tuple)):  # without class names, pictures that have no labels are refused
        listed = json.dumps(class_names, ensure_ascii=False)
        words.append(f"class_names={listed if len(class_names) <= MOST_TYPED else 'names.txt'}")
    if exclude:
        words.append(f"exclude={json.dumps(list(exclude), ensure_ascii=False)}")
    return shlex.join(["ipo", "data", "check", spec, *words])


def _called(data: DataSet, names: Mapping[Any, Any], where: str) -> DataSet:
    """Rename the classes by the user's names. Other classes with a number of WordNet get their name in WordNet."""
    given = {tidy(name) for name in names if isinstance(name, str)}
    known, unnamed = read_codes(data, given)  # before `with_names`: codes that the user wrote count as names
    said = [WORDNET] * bool(known) + [f"{NAMES_FILE} in {where}" if where != "class_names" else where] * bool(names)
    if known or names:
        data = with_names(data, {**known, **names}, " and ".join(reversed(said)))
    return replace(data, unnamed=unnamed)


def names_data(word: str) -> bool:
    """Return whether a word of a command is the spec of a data set, not a setting.

    >>> names_data("folder:pets"), names_data("eurosat"), names_data("pets"), names_data("steps=3")
    (True, True, False, False)
    """
    kind, colon, _ = word.strip().partition(":")
    if kind in SOURCES:
        return bool(colon) or not SOURCES[kind].needs
    return kind in OFFICIAL


def _hint(spec: str, kind: str) -> str:
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return f" (did you mean folder:{spec}?)"
    if spec and path.is_file():
        folder.refuse_picture(spec)
        return f" (did you mean table:{spec}?)"
    return did_you_mean(kind, [*SOURCES, *OFFICIAL])


def read_class_names(given: str) -> Names:
    """Read a file of class names: a table or a list in YAML or JSON, or a text file with one name on each line.

    A class whose texts in JSON are sentences, as CuPL writes them (Pratt et al. 2023), is called by its key: the key
    becomes the first name, and the sentences synonyms.

    Raises:
        InputError: the file cannot be read, or has no class names.
    """
    file = Path(given).expanduser()
    if (ending := file.suffix.lower()) in (".yaml", ".yml", ".json"):
        what = "the class names"
        content = read_json(file, what, GIVE_JSON) if ending == ".json" else read_yaml(file, what)
        if not isinstance(content, (dict, list)):
            raise InputError(f"{file} holds no class names; write a list of them, or a table such as sofa: [sofa].")
        if ending == ".json" and isinstance(content, dict):
            return {key: [key, *texts] if _sentences(texts) else texts for key, texts in content.items()}
        return content
    lines = read_text(file, "the file of class names", MOST_BYTES, "text").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise InputError(f"{file} names no class; write one name a line.")
    return found


def _sentences(texts: object) -> bool:
    return isinstance(texts, list) and set(map(_is_sentence, texts)) == {True}


def _is_sentence(text: object) -> bool:
    return isinstance(text, str) and text.rstrip().endswith(".")


def is_list(names: Names | None) -> bool:
    """Return whether `names` is a list, which means that the pictures have no labels; see the head of this file."""
    return names is not None and not isinstance(names, Mapping)


def gather_pictures(kind: str, rest: str, names: Names | None, *, hidden: bool) -> Gathered | None:
    """Gather the pictures of a folder or a table without labels; return None for all other data.

    Args:
        kind: the text before the first colon of the spec.
        rest: the text behind it.
        names: the class names that the user gave; None for no names.
        hidden: whether labels are removed anyway, so that data with labels and a list of names are no error.

    Raises:
        InputError: there are both labels and a list of names, and `hidden` is false; or there are neither.
    """
    found: Gathered | None = None
    if kind == "folder" and (is_list(names) or folder.is_flat(rest)):
        found = folder.gather_all(rest)
        if names is not None and is_list(names) and not hidden:
            _refuse_labels(found, names)
    elif kind in TABLES and names is not None:
        found = SOURCES[kind].gather(rest, labelled=False)
        if found.passed_over and is_list(names) and not hidden:
            raise both(f"{kind}:{rest} has a column of labels")
        found = None if found.passed_over and not is_list(names) else found
    if found and names is None:
        raise InputError(
            f"{found.where} has pictures but no class folders; put the pictures of each class in a folder, or, if "
            f"they have no labels, name the classes: {GIVE}."
        )
    return found


def _refuse_labels(found: Gathered, names: Names) -> None:
    tops = {as_read(row.key.partition("/")[0]) for row in found.rows if "/" in row.key}
    texts = [text for entry in names for text in (entry if isinstance(entry, list) else [entry])]
    if shared := sorted(tops & {as_read(text) for text in texts if isinstance(text, str)}):
        raise both(f"{found.where} has a folder {shared[0]!r}, as one of class_names is called")


def both(what: str) -> InputError:
    """Return the error for data that have labels although `class_names` is a list; `what` says where the labels are."""
    return InputError(
        f"{what}, so these pictures seem to have labels, and a list of class_names is for pictures that have none; "
        "leave class_names out to use the labels, or set labels=none so that they are not used."
    )


def named_pictures(source: Gathered, names: Names, task: str | None) -> DataSet:
    """Return pictures without labels as a data set of the named classes.

    Raises:
        InputError: there are no pictures or fewer than two classes, a name is too long or unusable, or two classes
            share a name.
    """
    if not source.rows:
        raise InputError(f"{source.where} has no pictures; put pictures there or name another source.")
    classes = classes_of(names)
    items = tuple(Item(row.picture, UNLABELLED, group_of(row)) for row in source.rows)
    return DataSet(
        name=source.name,
        class_names=classes,
        task=task or default_task(classes),
        train=items,
        val=(),
        test=(),
        variants=len({item.group for item in items}) < len(items),
        stray=source.stray,
        labelled=False,
    )


def classes_of(names: Names) -> tuple[str, ...]:
    """Return the classes that the user gave, in the order in which they were given.

    >>> classes_of({"sofa": ["sofa", "couch"], "cat": "cat"})
    ('sofa', 'cat')

    Raises:
        InputError: see `named_pictures`.
    """
    pairs = list(names.items()) if isinstance(names, Mapping) else [(None, entry) for entry in names]
    found = []
    for number, (key, value) in enumerate(pairs, 1):
        what = f"class_names: the class {key!r}" if key is not None else f"class_names: entry {number}"
        found.append(named(checked_names(value, what, "sofa" if key is None else str(key))))
    if len(found) < 2:
        raise InputError(
            f"class_names has {len(found) or 'no'} name{'s' * (len(found) != 1)} and a classifier needs at least two "
            "classes; write one name a line."
        )
    labels_of(tuple(map(str, found)), "class_names")
    owners(found, [str(name) for name in found], "class_names")
    return tuple(found)


def without_labels(data: DataSet, names: Names | None) -> DataSet:
    """Return a data set without its labels: all pictures are in `train`. A list of names replaces the classes."""
    given = classes_of(names) if names is not None and is_list(names) else None
    classes = given or data.class_names
    own_task = data.task == default_task(data.class_names)
    return replace(
        data,
        class_names=classes,
        task=default_task(classes) if own_task else data.task,
        train=tuple(replace(item, label=UNLABELLED) for _, item in data.items()),
        val=(),
        test=(),
        unnamed=() if given else data.unnamed,
        renamed_from=() if given else data.renamed_from,
        labelled=False,
    )
