"""Stores that keep features of images and class embeddings, so that nothing is encoded twice."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from ipo_prompts.metrics.arrays import Floats, batches
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import cache_dir
from ipo_prompts.metrics.images import CHUNK, LazyImage, in_threads, to_image
from ipo_prompts.metrics.template import written

WAIT = 60
"""The seconds to wait for other processes that are writing to the file."""
PAGE = 2**15
"""The bytes of a page of the file. A vector of 512 numbers would leave half of SQLite's usual page empty."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors
(clip TEXT, content TEXT, vector BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (clip, content))
"""
_FOUND = """
SELECT content, vector, crc FROM vectors WHERE clip = ? AND content IN (SELECT value FROM json_each(?))
"""

_log = logging.getLogger(__name__)

IN_FILE = 2**27
"""From this many bytes on, features lie in a temporary file and not in memory."""

Progress = Callable[[int, int], None]


def contents(images: Sequence[LazyImage]) -> list[str]:
    """Return the content of each image (`LazyImage.key`): the SHA-256 of its bytes, and how they are read.

    An image is read if it was not read before.

    Raises:
        InputError: an image cannot be read; the message names it.
    """
    in_threads(LazyImage.content, [image for image in images if image.known is None])
    return [image.key(image.content()) for image in images]


class FeatureStore:
    """The features of images that one CLIP has encoded, in a SQLite file: (CLIP, content) → feature.

    A feature depends on the image's bytes, how they are read, the image transform and the weights; the content and
    the CLIP's fingerprint stand for all four. Features are kept to the last bit. Several processes may use the file at
    once, and a killed process leaves it whole. A damaged file, and a feature whose checksum is wrong, are made again
    with a warning. A file that this user may not write is only read.

    Args:
        clip: the CLIP that encodes.
        folder: the folder of the file, which all CLIPs share; None means `features` in the cache folder.

    Attributes:
        path: the path of the file, which is made when first used.
        encoded: the number of images that this object had to encode; the others came from the file.
        read_only: whether the file, when last used, could be read but not written.
    """

    def __init__(self, clip: Clip, folder: Path | None = None) -> None:
        self.clip = clip
        self.path = (folder or cache_dir() / "features") / "images.sqlite"
        self.encoded = 0
        self.read_only = False
        self._said: set[str] = set()

    def encode(self, images: Sequence[Any], progress: Progress | None = None) -> Floats:
        """Return the features of `images`; encode the images whose features are not in the store.

        The images have any form that `to_image` takes.

        A batch of another size uses other kernels, whose sums differ in the last bits. So every batch has `Clip.batch`
        rows, and the last batch is padded. Then, on one type of device, the feature of an image has the same bits in
        every list of images, and also after a run that was killed half-way.

        If the file is damaged, it is removed, and all images are encoded again.

        Returns:
            float32 (len(images), D), unit rows. From `IN_FILE` bytes on they lie in an unnamed file that is mapped
            into memory; it goes with the array.

        Raises:
            InputError: an image cannot be decoded, the disk is full, or the folder cannot be written; the message
                names the image or the folder.
        """
        images = list(map(to_image, images))
        try:
            try:
                with closing(self._open()) as database:
                    return self._encode(database, images, progress)
            except sqlite3.DatabaseError as error:
                # An OperationalError is about the disk or a lock, unless the file has another table of the same name.
                if self.read_only or (isinstance(error, sqlite3.OperationalError) and "column" not in str(error)):
                    raise
                self._warn("the store %s was damaged (%s); what it held is made again", error)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            with closing(self._open()) as database:
                return self._encode(database, images, progress)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"cannot use the feature store {self.path} ({error}); make room, or point IPO_CACHE_DIR to a folder "
                "that can be written."
            ) from error

    def views(self, images: Sequence[Any]) -> Floats:
        """Return the features of V further views of each image, see `images.VIEWS`: float32 (n, V, D), unit rows.

        Raises:
            InputError: see `encode`.
        """
        every = [view for image in images for view in to_image(image).views()]
        return self.encode(every).reshape(len(images), -1, self.clip.width)

    def _encode(self, database: sqlite3.Connection, images: Sequence[LazyImage], progress: Progress | None) -> Floats:
        rows = self._empty(len(images))
        for start in range(0, len(images), CHUNK):
            some = images[start : start + CHUNK]
            keys = contents(some)
            there = self._get(database, keys)
            lacking = {key: image for key, image in zip(keys, some, strict=True) if key not in there}
            groups = list(batches(list(lacking), self.clip.batch))
            made = self.clip.encode_batches([lacking[key] for key in group] for group in groups)
            for group, fresh in zip(groups, made, strict=True):
                there |= self._put(database, dict(zip(group, fresh, strict=True)))
                if progress:
                    progress(start + sum(key in there for key in keys), len(images))
            if progress and not groups:
                progress(start + len(keys), len(images))
            rows[start : start + len(keys)] = [there[key] for key in keys]
        return rows

    def _empty(self, count: int) -> Floats:
        """Return an array for the features of `count` images."""
        rows, size = (count, self.clip.width), 4 * count * self.clip.width
        if size < IN_FILE:
            return np.empty(rows, np.float32)
        with TemporaryFile(dir=None if self.read_only else self.path.parent) as file:
            if sys.platform == "linux":  # on a disk that is full, writing a row would end the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, np.float32, shape=rows))

    def _get(self, database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Floats]:
        """Return the features, float32 (D,), that the file has for some of the contents. Damaged ones are left out."""
        there = {}
        for key, vector, crc in database.execute(_FOUND, (self.clip.fingerprint, json.dumps(keys))):
            whole = isinstance(vector, bytes) and len(vector) == 4 * self.clip.width
            if whole and self._checksum(key, vector) == crc:
                there[key] = np.frombuffer(vector, "<f4")
            else:
                self._warn("the store %s has damaged entries, which are made again")
        return there

    def _put(self, database: sqlite3.Connection, made: dict[str, Floats]) -> dict[str, Floats]:
        """Store a feature for each content, all or none; return the feature that the file now has for each.

        If another process has already stored a feature, that feature stays and is returned. So all processes compute
        with the same bits. A file that can only be read stores nothing; the features are returned as given.
        """
        self.encoded += len(made)
        if self.read_only:
            self._warn("the store %s cannot be written: missing entries are made, and not kept")
            return made
        with database:
            database.execute("BEGIN IMMEDIATE")
            there = self._get(database, list(made))
            new = {key: vector.astype("<f4").tobytes() for key, vector in made.items() if key not in there}
            rows = [(self.clip.fingerprint, key, vector, self._checksum(key, vector)) for key, vector in new.items()]
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
        return made | there

    def _checksum(self, key: str, vector: bytes) -> int:
        return zlib.crc32(vector, zlib.crc32(f"{self.clip.fingerprint}|{key}".encode()))

    def _open(self) -> sqlite3.Connection:
        """Open the file to write; if it cannot be written, to read."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.read_only = False
        database = sqlite3.connect(self.path, timeout=WAIT)
        try:
            database.execute(f"PRAGMA page_size={PAGE}")  # must come first in a new file
            _write_ahead(database)
            database.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last features, not the file
            database.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            database.close()
            refused = "readonly" in str(error) or "unable to open" in str(error)
            if not refused or not self.path.is_file():
                raise
            self.read_only = True
            # `immutable`, because reading with write-ahead logging makes files beside the file.
            return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        return database

    def _warn(self, said: str, *values: object) -> None:
        """Tell the user what happened to the store, each text only once; its first `%s` is the path of the store."""
        if said not in self._said:
            self._said.add(said)
            _log.warning(said, self.path, *values, extra={"progress": True})


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch a file to write-ahead logging.

    If another process locks the file, wait for it, up to `WAIT` seconds: SQLite itself does not wait here.
    """
    until = time.monotonic() + WAIT
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


# Class embeddings of a template with a list of class names. They are computed once and kept in memory.
#
# An entry is one template with one list of classes, and it is encoded alone. Floating-point sums depend on which texts
# are encoded together. If single texts were kept and used in another call, a score would depend on earlier calls. This
# costs little: templates share only their beginnings, and a beginning is one path of tokens for all classes.


IN_MEMORY = 256 * 2**20
"""The most bytes of embeddings that are kept."""


class TextStore:
    """The class embeddings of templates that one CLIP has encoded.

    Args:
        clip: the CLIP that encodes.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._recent: dict[tuple[str, str], Floats] = {}

    def encode(self, templates: Sequence[str], class_names: Sequence[str]) -> list[Floats]:
        """Return a list with the class embeddings of each template: float32 (C, D), unit rows, read-only."""
        from ipo_prompts.metrics.text_tower import encode_templates

        names = json.dumps(written(class_names))
        found: dict[str, Floats] = {}
        for template in dict.fromkeys(templates):
            rows = self._recent.pop((template, names), None)
            if rows is None:
                with self.clip.timed("text"):
                    rows = encode_templates(self.clip.model, self.clip.tokenizer, [template], class_names)[0]
                rows.setflags(write=False)
            found[template] = self._recent[template, names] = rows
        while len(self._recent) > 1 and sum(one.nbytes for one in self._recent.values()) > IN_MEMORY:
            del self._recent[next(iter(self._recent))]  # the first entry is the one used longest ago
        return [found[template] for template in templates]


def as_features(given: Any, width: int, what: str) -> Floats:
    """Turn numbers into features: float32 (n, width), unit rows. `what` names the numbers in messages.

    Raises:
        InputError: the numbers do not have the shape (n, width), a number is not finite, or a row is all zeros.

    >>> as_features([[3, 4]], 2, "X").tolist() == [[np.float32(0.6), np.float32(0.8)]]
    True
    """
    try:
        rows = np.asarray(given, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} has rows that are not lists of {width} numbers each.") from error
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputError(
            f"{what} has the shape {rows.shape}, and features of this CLIP are (n, {width}); give features of that "
            "shape, or images as paths or PIL images."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    usable = np.isfinite(lengths) & (lengths > 0)
    if not usable.all():
        wrong = int(usable.argmin())
        raise InputError(f"{what} has a row that is all zeros or not finite, the row {wrong}; leave it out.")
    # A row that has length 1 already is not changed, so that features keep the bits that the CLIP or a store gave them.
    return np.where(np.abs(lengths - 1) < 1e-6, rows, rows / lengths).astype(np.float32)
