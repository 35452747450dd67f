"""Where data come from: the images that ship with IPO, folders, tables, the hub, and functions of the user.

A source is a function that takes the text behind the colon of a spec and returns a `Gathered`. To add a source, write
such a function here, and add an entry to `SOURCES`. Tables and the hub are in tables.py.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data.dataset import PARTS, Gathered, Row, row_of_file
from ipo_prompts.experiments.data.draw import part_named, parts_named
from ipo_prompts.experiments.data.names import NAMES_FILE
from ipo_prompts.experiments.data.tables import FILES, gather_files, gather_hf, gather_lines
from ipo_prompts.metrics.errors import InputError, meant, several
from ipo_prompts.metrics.files import read_yaml
from ipo_prompts.metrics.images import ENDINGS, LazyImage
from ipo_prompts.metrics.registry import blaming, is_own, load
from ipo_prompts.programs.trust import OWN_DATA

_TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".tar")


def gather_embedded(rest: str) -> Gathered:
    """Read the shipped table, for `embedded[:NAME]` and `embedded:OP+OP`; no image is opened or rendered.

    NAME is a domain, by default the first domain. `OP+OP` is the clean domain, rendered with the transformations that
    are joined by +. Parts, classes and base images are the same in all these data sets.

    Raises:
        InputError: there is no such domain or transformation.
    """
    from ipo_prompts.experiments.embedded import shifts  # imported here because it loads numpy

    name = rest or embedded.DOMAINS[0]
    transformations = None if name in embedded.DOMAINS else shifts.transformations_of(name)
    folder = embedded.IMAGES_DIR / (name if transformations is None else embedded.CLEAN_DOMAIN)
    if transformations is not None:
        name = shifts.name_of_set(transformations)
    table = json.loads(embedded.SPLIT_FILE.read_text(encoding="utf-8"))
    rows = []
    for part in PARTS:
        for path, _, class_name, base in table[part]:
            image = LazyImage.from_path(folder / path)
            shown = image if transformations is None else shifts.shifted(image, path, transformations)
            rows.append(Row(shown, class_name, path, part, base))
    return Gathered(f"embedded:{name}", f"the embedded images {name!r}", rows, tuple(table["classes"]))


def gather_table(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a table, `table:PATH`, or a folder of parquet files or WebDataset shards; see tables.py.

    The ending of the file's name says how it is written. A file with an unknown ending is read as CSV.
    """
    refuse_image(rest)
    path = Path(rest).expanduser()
    ending = path.suffix.lower()[1:]
    if path.is_dir():
        ending = "tar" if next(path.rglob("*.tar"), None) else "parquet"
    return gather_files(ending, rest, columns) if ending in FILES else gather_lines(rest, columns)


# `folder:PATH`: a folder with a folder for each class, or with train, val and test folders that hold class folders. The
# file `classes.yaml` in the folder may name the classes.


def gather_folder(rest: str) -> Gathered:
    """Gather the images of class folders; no image is opened.

    Files whose names do not end like those of images, pipes and devices are listed as stray.

    Raises:
        InputError: the folder is missing or unreadable, mixes the two layouts, or has no class folders; or its
            `classes.yaml` cannot be read.
    """
    root, tops, stray = top_folders(rest)
    where = f"the folder {root}"
    rows: list[Row] = []
    names: set[str] = set()
    parts = parts_named((top.name for top in tops), where, "folders")
    others = [top.name for top in tops if top.name not in parts]
    if others and len(parts) > 1:
        raise InputError(
            f"{where} has split folders ({', '.join(parts)}) beside other folders ({', '.join(others[:3])}); "
            "keep only the split folders there, or only class folders."
        )
    for top in tops:
        # A folder "train" is a class if it lies beside a folder "bus", and a part if it lies beside a folder "test".
        part = None if others else parts[top.name]
        folders = _folders(top, root, stray) if part else [top]
        if not folders:
            raise InputError(f"the split folder {top} has no class folders; put the images of each class in a folder.")
        for folder in folders:
            names.add(folder.name)
            for path in _files(folder, root, stray):
                key = path.relative_to(root).as_posix()
                # A link that leads nowhere counts as a missing image.
                if _is_named(path) and (path.is_file() or not path.exists()):
                    rows.append(row_of_file(path, folder.name, key, part))
                else:
                    stray.append(key)
    tables = [name for name in stray if "/" not in name and Path(name).suffix.lower() in _TABLES]
    if len(names) == 1 and tables:
        raise InputError(
            f"{where} has one class only ({min(names)!r}), and a table lies beside it; if the table has the labels, "
            f"name it as the data: table:{Path(rest) / tables[0]}."
        )
    called = None
    if NAMES_FILE in stray:
        stray.remove(NAMES_FILE)
        called = read_yaml(root / NAMES_FILE, "the class names")
        if not isinstance(called, dict):
            raise InputError(
                f"{root / NAMES_FILE} holds no table of classes; write a line for each, such as road_sign: [road sign]."
            )
    return Gathered(f"folder:{root.resolve().name}", where, rows, tuple(sorted(names)), tuple(stray), called)


def refuse_collection(rest: str, gathered: Gathered) -> None:
    """Refuse a folder whose class folders seem to hold folders of classes themselves.

    Sub-folders of a class are often sessions, dates or parts, and are used. A class folder is suspicious if all its
    images lie in sub-folders, and two or more of these are called by a word that no other class folder has within: no
    name with a digit and no name of a part. A taxonomy, such as cat/persian and dog/poodle, is refused too: both levels
    could be meant, a wrong guess costs a run and opens the test images, and one setting says which level it is.

    Args:
        rest: the path that the user typed.
        gathered: the images of this folder.

    Raises:
        InputError: a class folder is suspicious; the message says what to type for either level.
    """
    within: dict[str, set[str]] = {}
    loose: set[str] = set()
    for row in gathered.rows:
        below = row.key.split("/")[2 if row.split else 1 : -1]
        within.setdefault(row.label, set()).update(below[:1])
        if not below:
            loose.add(row.label)
    holders = Counter(name for names in within.values() for name in names)
    for own, names in within.items():
        words = sorted(n for n in names if holders[n] == 1 and not part_named(n) and not re.search(r"\d", n))
        if own in loose or len(words) < 2 or len(within) < 2:
            continue
        split = gathered.rows[0].split is not None
        use = "move them up into the split folders" if split else f"type {shlex.quote(f'folder:{Path(rest) / own}')}"
        typed = shlex.quote(f"class_names={{{own}: {own}}}")
        raise InputError(
            f"{own} in {gathered.where} holds the folders {several(words)}, which look like classes; to use these, "
            f"{use}; if {several(sorted(within))} are the classes, say so with {typed}."
        )


def top_folders(rest: str) -> tuple[Path, list[Path], list[str]]:
    """Return a folder of images, its sub-folders, and the names of what else it holds.

    Raises:
        InputError: the folder is missing or unreadable, or holds images but no sub-folder that could be a class.
    """
    root = Path(rest).expanduser()
    try:
        problem = None if root.is_dir() else "is a file, not a folder" if root.exists() else "does not exist"
    except OSError as error:  # a folder above `root` cannot be entered
        _refuse(error)
    if problem:
        hint = meant(root, "folder:")
        raise InputError(f"the folder {root} {problem}{hint}; give the folder that holds the class folders.")
    stray: list[str] = []
    tops = _folders(root, root, stray)
    if not tops and any(Path(name).suffix.lower() in ENDINGS for name in stray):
        raise InputError(
            f"the folder {root} has images but no class folders; few labels are enough: put about six images of "
            "each class into a folder with its name, and give the folder that holds these."
        )
    return root, tops, stray


def _folders(folder: Path, root: Path, stray: list[str]) -> list[Path]:
    """Return the sub-folders, sorted by name. Files, and folders of other programs, are added to `stray`."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        _refuse(error)
    found = []
    for entry in entries:
        if entry.is_dir() and not of_a_program(entry.name):
            found.append(entry)
        else:
            stray.append(entry.relative_to(root).as_posix())
    return found


def refuse_image(given: str) -> None:
    """Refuse the path of an image in place of data.

    Raises:
        InputError: it is an image; the message names the folder above its class folder.
    """
    path = Path(given).expanduser()
    if path.suffix.lower() in ENDINGS and path.is_file():
        above = shlex.quote(f"folder:{os.path.normpath(path.parent / '..')}")
        raise InputError(f"{path} is an image, not a table; name the folder that holds the class folders: {above}.")


def find_images(folder: Path) -> Iterator[Path]:
    """Return the images below a folder; for any other path, return the path alone.

    Those of a folder come first, sorted by name, then those of each sub-folder. One folder is listed at a time.
    Hidden folders and folders of other programs are skipped, as they are in class folders.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib raises where a name is too long
        return iter([folder])
    return filter(_is_named, _files(folder, folder, []))


def _is_named(path: Path) -> bool:
    """Return whether a path is named like an image."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def of_a_program(name: str) -> bool:
    """Return whether a folder is hidden, or is one in which a program stores its notes (`__MACOSX`, `@eaDir`)."""
    return name.startswith((".", "__")) or name == "@eaDir"


def _files(folder: Path, root: Path, stray: list[str]) -> Iterator[Path]:
    """Yield the files below a class folder, sorted. Folders of other programs are added to `stray` and not entered."""
    for top, folders, files in os.walk(folder, onerror=_refuse):
        stray.extend(Path(top, name).relative_to(root).as_posix() for name in sorted(folders) if of_a_program(name))
        folders[:] = sorted(name for name in folders if not of_a_program(name))  # os.walk continues with these
        yield from (Path(top, name) for name in sorted(files))


def _refuse(error: OSError) -> NoReturn:
    raise InputError(f"cannot read the folder {error.filename}: {error.strerror}; check its permissions.") from error


# `python:MODULE:FUNCTION[:REST]`: data that a function of the user gathers; the function gets the text REST.
#
# Calling a function of a module runs the module's code. So a module is imported only if a person typed its name, and
# never because a spec was read, for example from a file. `gather_own` refuses all other modules, however the data are
# loaded.

_allowed: set[str] = set()


def allow(specs: object) -> None:
    """Allow calls of the functions that are named in a spec or a list of specs, which a person must have typed.

    Values that name no function have no effect, whatever their type.
    """
    _allowed.update(map(_function_of, _each(specs)))


def check_allowed(specs: object) -> None:
    """Refuse specs whose functions are not allowed.

    Raises:
        InputError: a spec names a function that no person typed; see `allow`.
    """
    for spec in _each(specs):
        name = _function_of(spec)
        if spec.startswith(OWN_DATA) and name not in _allowed:
            raise InputError(
                f"the data {spec} are gathered by code, and code is only run where a person types its name; if you "
                f"trust {name.removeprefix(OWN_DATA)}, type {spec} again."
            )


def gather_own(rest: str) -> Gathered:
    """Call the function that `rest` names, with the text behind its name, and return the result.

    Raises:
        InputError: no person typed the function's name; or the function does not exist, fails, or returns no
            `Gathered`.
    """
    what = f"data={OWN_DATA}{rest}"
    name = _function_of(OWN_DATA + rest).removeprefix(OWN_DATA)
    if not is_own(name):
        raise InputError(f"{what} names no function; write {OWN_DATA}MODULE:FUNCTION, such as {OWN_DATA}mine:gather.")
    check_allowed(OWN_DATA + rest)
    function = load(name, what)
    with blaming(what):
        found = function(rest.removeprefix(name).removeprefix(":"))
    if not isinstance(found, Gathered):
        raise InputError(f"{what} returned a {type(found).__name__} and no Gathered; see ipo docs data.")
    return found


def _each(specs: object) -> list[str]:
    """Return a spec, or each spec of a list, as text."""
    return [str(spec).strip() for spec in (specs if isinstance(specs, (list, tuple)) else [specs])]


def _function_of(spec: str) -> str:
    """Return a spec without the text behind its function.

    >>> _function_of("python:mine:gather:some/folder")
    'python:mine:gather'
    """
    return ":".join(spec.split(":")[:3])


class Source(NamedTuple):
    """A kind of data.

    Attributes:
        gather: the function that reads such data, given the text behind the colon. For a table, it is also given the
            columns that the user named.
        form: the form of a spec, as a user types it.
        needs: words for the text that must stand behind the colon, with an example; "" if the text may be missing.
    """

    gather: Callable[..., Gathered]
    form: str
    needs: str = ""


_TABLE = "table:PATH"
"""The form of a table's spec. `csv:` and `parquet:` are older forms that say how a file with any ending is written."""

SOURCES = {
    "embedded": Source(gather_embedded, "embedded[:NAME or :OP+OP]"),
    "folder": Source(gather_folder, "folder:PATH", "a path, for example folder:images/animals"),
    "table": Source(gather_table, _TABLE, "a path, for example table:images/labels.csv"),
    "csv": Source(gather_lines, _TABLE, "a path, for example csv:images/labels.csv"),
    "parquet": Source(partial(gather_files, "parquet"), _TABLE, "a path, for example parquet:images/train.parquet"),
    "hf": Source(
        gather_hf, "hf:NAME[:CONFIG]", "the name of a data set on the Hugging Face hub, for example hf:tanganke/dtd"
    ),
    "python": Source(
        gather_own, "python:MODULE:FUNCTION[:REST]", "a function of your own, for example python:mine:gather"
    ),
}
"""The text before the first colon of a spec → the source that reads the rest. Specs may also begin with the name of a
registered data set, see `REGISTRY`."""

FORMS = ", ".join(dict.fromkeys(source.form for source in SOURCES.values()))
"""The forms of all specs, as messages list them."""
