"""The rows of a table in JSON: a list of objects (`.json`), an object a line (`.jsonl`), or an export of Label Studio.

A key is a column. A label may be a list of names, which is read as the cell `cat|sofa`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ipo_prompts.experiments.data.assemble import BAR
from ipo_prompts.metrics.errors import InputError, several
from ipo_prompts.metrics.files import read_json, read_json_lines

_FORM = 'write [{"image": "a.jpg", "label": "cat"}, …], or one such object a line in a file called .jsonl'

Rows = list[tuple[int, dict[str, Any]]]
"""The number of each row, from 1, and its cells. The number is the line of a `.jsonl` file."""


def read_records(path: Path, where: str, labelled: bool, stray: list[str], at_once: int) -> Iterator[Any]:
    """Yield frames of cells, indexed by row number. The first frame is the header, each other one has `at_once` rows.

    A cell is text without surrounding spaces; None if the value is neither a text, a whole number, a list of them nor
    null.

    Args:
        path: the file.
        where: the table's name in messages.
        labelled: whether to leave out what nobody has labelled in Label Studio, and to note it in `stray`.
        stray: a list to which words for the rows that are left out are added.
        at_once: the most rows of a frame.

    Raises:
        InputError: the file cannot be read, is not JSON, or has other values than objects; or see `_from_label_studio`.
    """
    import pandas as pd

    if path.suffix.lower() == ".jsonl":
        rows = read_json_lines(path, "the table", _FORM)
    else:
        content = read_json(path, "the table", _FORM)
        rows = list(enumerate(content if isinstance(content, list) else [None], 1))
    if odd := next((number for number, row in rows if not isinstance(row, dict)), None):
        raise InputError(f"row {odd} of {where} is no object with the keys image and label; {_FORM}.")
    if not rows:
        raise InputError(f"{where} holds no rows; {_FORM}.")
    if all(isinstance(row.get("data"), dict) and "annotations" in row for _, row in rows):
        _check_place(path, rows, where)
        rows = _from_label_studio(rows, where, labelled, stray)
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    yield pd.DataFrame([header])
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        cells = [[_text(row.get(key)) for key in header] for _, row in some]
        yield pd.DataFrame(cells, index=[number for number, _ in some], dtype=object)


def _text(value: object) -> str | None:
    """Return a value as the text of a cell; None for a value that no cell can hold.

    >>> _text(["cat", "sofa"]), _text(7), _text(None), _text([["cat"]])
    ('cat|sofa', '7', '', None)
    """
    if isinstance(value, list):
        texts = [None if isinstance(one, list) else _text(one) for one in value]
        return None if any(text is None or BAR in text for text in texts) else BAR.join(map(str, texts))
    if value is None:
        return ""
    return str(value).strip() if isinstance(value, (str, int)) else None


def _from_label_studio(tasks: Rows, where: str, labelled: bool, stray: list[str]) -> Rows:
    """Return the rows of an export in Label Studio's format JSON: the `data` of each task, and its choices as `label`.

    Cancelled annotations, and results other than choices (boxes, text), are ignored.

    Raises:
        InputError: a task has another form; or, if `labelled`, there are choices for several questions, or annotations
            that disagree.
    """
    rows: Rows = []
    questions: set[str] = set()
    differ: list[str] = []
    for number, task in tasks:
        try:
            answers = _answers(task)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"row {number} of {where} is no task of Label Studio as far as known; export it again, as JSON."
            ) from error
        questions |= {question for question, _ in answers}
        if len(answers) > 1:
            differ.append(f"row {number}")
        chosen = {"label": list(min(answers)[1])} if answers else {}
        row = {key: _beside(value, number, where) for key, value in task["data"].items()}
        if re.match(r"[a-z0-9]+://", str(row.get("image"))):
            raise InputError(
                f"row {number} of {where} has a picture on another machine, {str(row['image'])[:80]!r}; export the "
                "pictures, too, and name files of this machine."
            )
        rows.append((number, {**row, **chosen}))
    if not labelled or not questions:
        return rows
    if len(questions) > 1:
        raise InputError(
            f"{where} has choices for {len(questions)} questions, {several(sorted(questions))}; export a project that "
            "asks which class it is, and nothing else."
        )
    if differ:
        raise InputError(
            f"{where} has annotations that disagree, at {several(differ)}; settle them in Label Studio, or remove the "
            "wrong ones."
        )
    stray.extend(f"row {number}: nobody chose a class" for number, row in rows if "label" not in row)
    return [(number, row) for number, row in rows if "label" in row]


def _answers(task: dict[str, Any]) -> set[tuple[str, tuple[str, ...]]]:
    """Return the different answers to a task: the name of the question, and the choices, sorted."""
    return {
        (str(result["from_name"]), tuple(sorted(result["value"]["choices"])))
        for annotation in task["annotations"]
        if not annotation.get("was_cancelled")
        for result in annotation["result"]
        if result["type"] == "choices" and result["value"]["choices"]
    }


def _check_place(path: Path, tasks: Rows, where: str) -> None:
    """Refuse an export that stands in another folder than the pictures of Label Studio's server.

    Raises:
        InputError: none of the pictures that the server keeps is below the folder of the export.
    """
    asked = [(number, str(value)) for number, task in tasks for value in [task["data"].get("image")]]
    kept = [(_beside(value, number, where), value) for number, value in asked if value.startswith("/data/")]
    if not kept or any((path.parent / str(file)).exists() for file, _ in kept):
        return
    file, value = kept[0]
    folder = "its folder `media`" if value.startswith("/data/upload/") else "its LOCAL_FILES_DOCUMENT_ROOT"
    raise InputError(
        f"{where} names pictures of Label Studio's server, such as {value!r}, and there is no "
        f"{path.parent / str(file)}; copy the export into {folder}, the folder on the server that holds "
        f"{PurePosixPath(str(file)).parts[0]!r}, and type table:FOLDER/{path.name}."
    )


def _beside(value: object, number: int, where: str) -> object:
    """Return an address on the server of Label Studio as the path of a file beside the export; other values unchanged.

    >>> _beside("/data/local-files/?d=pets/1.jpg", 1, ""), _beside("/data/upload/3/1.jpg", 1, "")
    ('pets/1.jpg', 'upload/3/1.jpg')
    """
    if not isinstance(value, str) or not value.startswith("/data/"):
        return value
    local = parse_qs(urlsplit(value).query).get("d")  # a path below the server's LOCAL_FILES_DOCUMENT_ROOT
    path = local[0].lstrip("/") if local else unquote(value.removeprefix("/data/"))
    if ".." in PurePosixPath(path).parts:
        raise InputError(f"row {number} of {where} names a picture outside of its folder, {value!r}; correct it.")
    return path
