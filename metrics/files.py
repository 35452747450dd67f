"""Files that are written whole or not at all, files of bounded size to read, and the cache folder."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import secrets
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from ipo_prompts.metrics.errors import InputError, reason

# Files that are written whole or not at all.
#
# The content goes to a new file beside the target. The new file has a random name, because the folder may belong to a
# stranger, and a name that can be guessed may be a link to a file of the user. Then the new file is renamed and so
# replaces the target. If the target is a link, the link is replaced, never the file that it points to.


def write_whole(file: Path, content: bytes) -> None:
    """Write `content` to a file, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; then no part of the new content stays.
    """
    partial = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("x+b") as opened:  # x: opens no existing file and follows no link
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        _flush_folder(file.parent)  # so the new file is in the folder on disk before it is renamed
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(file.parent)


def _flush_folder(folder: Path) -> None:
    """Flush the list of names in a folder to disk; do nothing on systems that cannot do this."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The cache folder, for all that is kept between runs: weights, features, paid replies.


def refuse_taken(place: Path) -> None:
    """Refuse a path to write to if it exists already.

    Raises:
        InputError: the path exists.
    """
    if os.path.lexists(place):  # for a name that is too long this returns False; pathlib raises an error
        raise InputError(f"{place} already exists; name another --out.")


def cache_dir() -> Path:
    """Return the cache folder: `IPO_CACHE_DIR` if set, else `ipo` in the user's cache folder. It may not exist yet."""
    import platformdirs

    chosen = os.environ.get("IPO_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("ipo", appauthor=False))


# YAML and JSON from users. Their size is bounded, and every error is one sentence.
#
# A value is read only if it can also be written. Otherwise a number of 5,000 digits, or half a character, would cause
# an error later, when it is printed.


YAML_BYTES = 2**18
"""The most bytes of a YAML file. Settings have a few kilobytes, and PyYAML reads some 100 kB a second."""
JSON_BYTES = 2**26
JSON_VALUES = 2**22
"""The most values of a JSON file; a value takes some hundred bytes of memory.

The number of values is the number of commas and opening brackets.
"""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, changed to refuse aliases: with aliases a few lines can stand for millions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases (*name) are not read, write the value again{self.get_mark()}")
        return super().compose_node(parent, index)


def read_yaml(file: Path, what: str) -> Any:
    """Read a YAML file. `what` names the file in messages, such as "the configuration".

    Raises:
        InputError: the file cannot be read, is too large, or is not YAML.
    """
    return parse_yaml(read_text(file, what, YAML_BYTES, "YAML"), str(file))


def parse_yaml(text: str, where: str) -> Any:
    """Read a text of YAML. `where` names the source of the text in messages.

    Raises:
        InputError: the text is too large or not YAML.
    """
    if len(text) > YAML_BYTES:
        raise InputError(f"{where} has {len(text):,} characters of YAML, more than {YAML_BYTES:,}; make it smaller.")
    try:
        # `yaml.load` is safe with this loader: `_Loader` makes only plain values.
        return _writable(yaml.load(text, _Loader))
    except Exception as error:  # errors of PyYAML, and of Python for a bad date, a long number or deep nesting
        raise InputError(f"{where} is not valid YAML: {reason(error)}.") from error


def read_json(file: Path, what: str, fix: str) -> Any:
    """Read a JSON file. In messages `what` names the file, and `fix` says what to do about a damaged file.

    A file named `….gz` is decompressed; the bound on the size is for the text inside.

    Raises:
        InputError: the file cannot be read, is too large, or is not JSON.
    """
    text = read_text(file, what, JSON_BYTES, "JSON", fix)
    if sum(map(text.count, ",[{")) > JSON_VALUES:
        raise InputError(f"{what} {file} has more than {JSON_VALUES:,} values; is it the right file?")
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{what} {file} is not JSON ({error}); {fix}.") from error


def parse_json(text: str) -> Any:
    """Read a foreign text as JSON.

    Raises:
        ValueError: it is not JSON, is nested too deep, or could not be written again. The message is one line.
    """
    try:
        return _writable(json.loads(text))
    except Exception as error:
        raise ValueError(reason(error)) from error


def open_regular(file: Path | str) -> BinaryIO:
    """Open a regular file to read.

    If the path is a pipe or a device, this raises an error; it does not wait for a pipe, nor read a device without end.

    Raises:
        OSError: the file is missing, cannot be read, or is not a regular file.
        ValueError: no file can have such a name.
    """
    opened = open(file, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return opened


def read_bytes(file: Path, most: int) -> bytes:
    """Return the first `most` bytes of a regular file, or all if it has fewer; raise the errors of `open_regular`."""
    with open_regular(file) as opened:
        return opened.read(most)


def read_record(file: Path, most: int) -> bytes:
    """Return the bytes of a file to which a run appends; b"" if there is none.

    Raises:
        InputError: it is a link, and writing would change another file; or no regular file; or above `most` bytes.
    """
    if file.is_symlink():
        raise InputError(f"{file} is a link, which no run makes; remove it, or name another run directory.")
    try:
        content = read_bytes(file, most + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; name another run directory.") from error
    if len(content) > most:
        raise InputError(f"{file} has more than {most:,} bytes, so it is no record of a run; name another run.")
    return content


def read_text(file: Path, what: str, most: int, form: str, fix: str = "save it as such") -> str:
    """Read a text file, with the line ends that it has. A file named `….gz` is decompressed.

    In messages `what` names the file, `form` is its format, such as "YAML", and `fix` says what to do.

    Raises:
        InputError: the file cannot be read, has more than `most` bytes, or is not UTF-8.
    """
    try:
        content = read_bytes(file, most + 1)
        if file.suffix == ".gz":
            with gzip.open(io.BytesIO(content)) as opened:
                content = opened.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{what} {file} is not a whole gzip file ({error}); {fix}.") from error
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        raise InputError(f"cannot read {what} {file}: {getattr(error, 'strerror', error)}.") from error
    if len(content) > most:
        raise InputError(f"{what} {file} has more than {most:,} bytes; is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {file} is not {form} in UTF-8 ({error}); {fix}.") from error


def _writable(content: Any) -> Any:
    json.dumps(content, ensure_ascii=False, default=str).encode()
    return content
