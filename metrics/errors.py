"""Messages to people: errors in one sentence, the nearest known name, and foreign text made safe to print.

An error that a user can fix is raised as `InputError`. Its one sentence says what is wrong, where, and how to fix it.
The command line prints the sentence and ends with exit code 2. Any other exception is a bug and keeps its traceback.

A message writes options as they are typed on the command line.
"""

from __future__ import annotations

import difflib
import logging
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

MOST_BESIDE = 10_000
"""Most names in a folder that are compared with a path that is missing: more would take seconds."""


def to_install(extra: str) -> str:
    """Return the command that installs the packages of an extra. This package itself is not on the package index."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = [line.partition(";") for line in requires("ipo-prompts") or ()]
    except PackageNotFoundError:  # it runs from a checkout
        return f"pip install '.[{extra}]'"
    named = [one.strip() for one, _, when in wanted if f"extra == {extra!r}" in when.replace('"', "'")]
    return shlex.join(["pip", "install", *named])


class Absent(Exception):
    """There is no result for a data set or a test set; `str(error)` says why.

    A table shows a gap; this is not a failure.
    """


class InputError(ValueError):
    """An error in the user's input or configuration; `str(error)` is one sentence for the user."""


class InputFaults(InputError):
    """Several errors of one input. Its arguments are the words for the input, and a list of clauses.

    A clause says what is wrong and what to do.
    """

    def __str__(self) -> str:
        where, faults = self.args
        return f"{where} has faults: {'; '.join(faults)}."


def first_error(error: ValidationError, whole: str = "it") -> tuple[str, str]:
    """Return the place of pydantic's first error and its text. `whole` is the name of the top level.

    Raises:
        InputError: the first error is an `InputError`, which already says everything.
    """
    first = error.errors()[0]
    if isinstance(ours := first.get("ctx", {}).get("error"), InputError):
        raise ours from error
    said = first["msg"].removeprefix("Value error, ")
    return ".".join(map(str, first["loc"])) or whole, f"{said[:1].lower()}{said[1:]}"


def input_error(error: ValidationError, where: str, prefix: str = "") -> InputError:
    """Return pydantic's first error as an `InputError` that names the key, the place `where` and the value.

    It raises the same error as `first_error`.
    """
    key, said = first_error(error, "configuration")
    if not error.errors()[0]["loc"]:  # all settings at once
        return InputError(f"{prefix}{where} is wrong: {said}.")
    given = repr(error.errors()[0]["input"])
    shown = given if len(given) <= 200 else f"{given[:200]} …"
    return InputError(f"{prefix}{key} in {where} is wrong: {said} (given: {shown}).")


def reason(error: BaseException) -> str:
    """Return the text of a library's error as part of a sentence: one line of at most 300 characters."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__


# The nearest known name, for messages.


def nearest(name: str, known: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` known names like `name`: first those that begin with it, then those that contain it as a word.

    Names that resemble it come last, the closest first. Case does not matter.

    Args:
        name: the name as a person wrote it.
        known: the names that could be meant.
        n: the most names to return.
        cutoff: how alike two names must be to resemble each other, from 0 (any two do) to 1 (only equal names do).

    >>> nearest("Foldr", ["folder", "csv"])
    ['folder']
    >>> nearest("hist", ["list", "history"])
    ['history']
    >>> nearest("template", ["temperature", "initial_template"])
    ['initial_template']
    """
    folded, written = {word.casefold(): word for word in known}, name.casefold()
    begun = [word for word in folded if len(written) > 2 and word.startswith(written)]
    within = [word for word in folded if len(written) > 2 and written in word.split("_")]
    close = difflib.get_close_matches(written, list(folded), n=n, cutoff=cutoff)
    return [folded[word] for word in dict.fromkeys([*sorted(begun, key=len), *within, *close])][:n]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the closest known name, or "" if no name is close.

    >>> did_you_mean("foldr", ["folder", "csv"])
    ' (did you mean folder?)'
    """
    close = nearest(name, known)
    return f" (did you mean {close[0]}?)" if close else ""


def meant(path: Path, form: str = "") -> str:
    """Return " (did you mean …?)" with the closest path beside one that cannot be used, or "" if none is close.

    Only names with the same ending are compared, because the ending would make any two of them look alike.

    Args:
        path: the path that a person typed.
        form: the words that stand before a path there, such as `folder:`; then only folders are compared.
    """
    try:
        entries = [one for one in islice(path.parent.iterdir(), MOST_BESIDE) if not form or one.is_dir()]
    except (OSError, ValueError):  # the folder above is missing, too, or closed
        return ""
    alike = {entry.stem: entry for entry in entries if entry.suffix.lower() == path.suffix.lower()}
    close = nearest(path.stem, alike)
    return f" (did you mean {form}{alike[close[0]]}?)" if close else ""


# Foreign text, such as file names and the errors of servers, is made safe to print.


_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""The invisible characters: Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode 17."""
_BLANK = frozenset("\u2800\U0001d159\U00013441\U00013442")
"""Characters that are drawn as a blank: the Braille pattern without dots, the null notehead, blank hieroglyphs."""


def invisible(text: str) -> str | None:
    """Return the first character of a text that cannot be seen (control, filler, blank), or None if all can be seen.

    Spaces count as seen.

    >>> invisible("a photo"), invisible("a\\u3164b") == "\\u3164"
    (None, True)
    """
    return next((one for one in text if _is_invisible(one)), None)


def _is_invisible(one: str) -> bool:
    if one in _BLANK or unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return True
    return _IGNORED.match(one) is not None


def several(texts: Sequence[str], most: int = 5) -> str:
    """Return the first `most` texts as one list, and the number of texts that are left out.

    >>> several(["cat", "dog", "bus"]), several(["cat", "dog", "bus"], most=1)
    ('cat, dog, bus', 'cat and 2 more')
    """
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest:,} more" if rest > 0 else "")


LONGEST = 4_000
"""The most characters of a line that are shown.

Every line of IPO itself is shorter, also with a command to type at its end.
"""


def money(usd: float | None) -> str:
    """Return an amount of US dollars as text, such as `$0.0123`; None means that the price is unknown."""
    return "price unknown" if usd is None else f"${usd:.4f}" if usd else "$0"


def at_most(usd: float | None) -> str:
    """Return the highest price as text, such as `at most $0.0123`; None means that the price is unknown."""
    return f"at most {money(usd)}" if usd else money(usd)


def printable(text: str) -> str:
    """Escape characters that would move a terminal's cursor or change a line's direction, and cut a very long line.

    A line is cut in the middle, where foreign text stands; IPO's own words stand at both ends.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … ({len(text) - LONGEST:,} characters) … {text[-LONGEST // 2 :]}"
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and the errors that it was raised from; each once."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


def one_line(text: str, most: int = 120) -> str:
    """Return a text as a `repr` of one line: no line breaks, and the middle left out if it is longer than `most`.

    >>> one_line("Clip('a very long name')", 16)
    "Clip('a… name')"
    """
    text = printable(text)
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) + 1 :]}"


def as_cell(text: str, harmless: str = "'") -> str:
    """Make foreign text safe as a cell of a CSV file: no control characters, no formula that a spreadsheet would run.

    All spaces stay, and so do bytes of a file name that are not UTF-8, so that a reader of the table can find the file.

    Args:
        text: the foreign text, such as the name of a file or of a class.
        harmless: the characters that are put before a formula, so that it is not run.

    >>> as_cell("=1+1"), as_cell("-a.png", "./"), as_cell("a\\x1b[2Jb")
    ("'=1+1", './-a.png', 'a\\\\x1b[2Jb')
    """
    kept = ("Zs", "Cs")
    shown = "".join(one if one.isprintable() or unicodedata.category(one) in kept else repr(one)[1:-1] for one in text)
    return harmless + shown if is_formula(text) else shown


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell as a formula, judged by its first character (or a wide form of it)."""
    return unicodedata.normalize("NFKC", text).lstrip().startswith(("=", "+", "-", "@"))


# Libraries are kept from logging errors that IPO itself reports, without the text that a server echoes.


@contextmanager
def silent(*libraries: str) -> Iterator[None]:
    """Silence the loggers of these names below CRITICAL while the block runs; then restore their levels."""
    loggers = [logging.getLogger(name) for name in libraries]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
