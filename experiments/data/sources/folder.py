"""`folder:PATH`: a folder with a folder for each class, or with train, val and test folders that hold class folders.

The file `classes.yaml` in the folder may name the classes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ipo_prompts.experiments.data.assemble import Gathered, SourceRow, row_of_file
from ipo_prompts.experiments.data.dataset import NAMES_FILE, Part
from ipo_prompts.experiments.data.draw import part_named, parts_named
from ipo_prompts.metrics.errors import InputError, meant, several
from ipo_prompts.metrics.files import read_yaml
from ipo_prompts.metrics.pictures import ENDINGS

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
"""The endings of tables, for the advice to use the table beside a folder of pictures."""


def gather_folder(rest: str) -> Gathered:
    """Gather the pictures of class folders; no picture is opened.

    Files whose names do not end like those of pictures, pipes and devices are listed as stray.

    Raises:
        InputError: the folder is missing or unreadable, mixes the two layouts, or has no class folders; or its
            `classes.yaml` cannot be read.
    """
    refuse_flat(rest)
    root = _root(rest)
    where = f"the folder {root}"
    stray: list[str] = []
    rows: list[SourceRow] = []
    names: set[str] = set()
    tops = _folders(root, root, stray)
    for part, top in _layout(tops, where):
        folders = _folders(top, root, stray) if part else [top]
        if not folders:
            raise InputError(
                f"the split folder {top} has no class folders; put the pictures of each class in a folder."
            )
        for folder in folders:
            names.add(folder.name)
            rows.extend(_class_rows(folder, root, part, stray))
    tables = [name for name in stray if "/" not in name and Path(name).suffix.lower() in TABLES]
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
    pictures lie in sub-folders, and two or more of these are called by a word that no other class folder has within: no
    name with a digit and no name of a part. A taxonomy, such as cat/persian and dog/poodle, is refused too: both levels
    could be meant, a wrong guess costs a run and opens the sealed pictures, and one setting says which level it is.

    Args:
        rest: the path that the user typed.
        gathered: the pictures of this folder.

    Raises:
        InputError: a class folder is suspicious; the message says what to type for either level.
    """
    within: dict[str, set[str]] = {}
    loose: set[str] = set()
    for row in gathered.rows:
        below = row.key.split("/")[2 if row.part else 1 : -1]
        within.setdefault(row.class_name, set()).update(below[:1])
        if not below:
            loose.add(row.class_name)
    holders = Counter(name for names in within.values() for name in names)
    for own, names in within.items():
        words = sorted(n for n in names if holders[n] == 1 and not part_named(n) and not re.search(r"\d", n))
        if own in loose or len(words) < 2 or len(within) < 2:
            continue
        split = gathered.rows[0].part is not None
        use = "move them up into the split folders" if split else f"type {shlex.quote(f'folder:{Path(rest) / own}')}"
        typed = shlex.quote(f"class_names={{{own}: {own}}}")
        raise InputError(
            f"{own} in {gathered.where} holds the folders {several(words)}, which look like classes; to use these, "
            f"{use}; if {several(sorted(within))} are the classes, say so with {typed}."
        )


def refuse_flat(rest: str) -> None:
    """Refuse a folder that holds pictures, but no sub-folder that could be a class.

    Raises:
        InputError: it is such a folder, or it is missing or unreadable.
    """
    root = _root(rest)
    stray: list[str] = []
    if not _folders(root, root, stray) and any(Path(name).suffix.lower() in ENDINGS for name in stray):
        raise InputError(
            f"the folder {root} has pictures but no class folders; few labels are enough: put about six pictures of "
            "each class into a folder with its name, and give the folder that holds these."
        )


def _root(rest: str) -> Path:
    root = Path(rest).expanduser()
    try:
        problem = None if root.is_dir() else "is a file, not a folder" if root.exists() else "does not exist"
    except OSError as error:  # a folder above `root` cannot be entered
        _refuse(error)
    if problem:
        hint = meant(root, "folder:")
        raise InputError(f"the folder {root} {problem}{hint}; give the folder that holds the class folders.")
    return root


def _layout(tops: list[Path], where: str) -> Iterator[tuple[Part | None, Path]]:
    """Yield each folder with its part; the part is None for a class folder.

    A folder "train" is a class if it lies beside a folder "bus", and a part if it lies beside a folder "test".
    """
    parts = parts_named((top.name for top in tops), where, "folders")
    others = [top.name for top in tops if top.name not in parts]
    if others and len(parts) > 1:
        raise InputError(
            f"{where} has split folders ({', '.join(parts)}) beside other folders ({', '.join(others[:3])}); "
            "keep only the split folders there, or only class folders."
        )
    yield from ((None if others else parts[top.name], top) for top in tops)


def _class_rows(folder: Path, root: Path, part: Part | None, stray: list[str]) -> list[SourceRow]:
    rows = []
    for path in _files(folder, root, stray):
        key = path.relative_to(root).as_posix()
        # A link that leads nowhere counts as a missing picture.
        if _is_named(path) and (path.is_file() or not path.exists()):
            rows.append(row_of_file(path, folder.name, key, part))
        else:
            stray.append(key)
    return rows


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


def refuse_picture(given: str) -> None:
    """Refuse the path of a picture in place of data.

    Raises:
        InputError: it is a picture; the message names the folder above its class folder.
    """
    path = Path(given).expanduser()
    if path.suffix.lower() in ENDINGS and path.is_file():
        above = shlex.quote(f"folder:{os.path.normpath(path.parent / '..')}")
        raise InputError(f"{path} is a picture, not a table; name the folder that holds the class folders: {above}.")


def find_pictures(folder: Path) -> Iterator[Path]:
    """Return the pictures below a folder, sorted by name within each sub-folder.

    The first picture is yielded before all folders are listed. Hidden folders and folders of other programs are
    skipped, as they are in class folders.
    """
    return filter(_is_named, _files(folder, folder, []))


def _is_named(path: Path) -> bool:
    """Return whether a path is named like a picture."""
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
