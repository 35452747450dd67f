"""Stores that keep features of pictures and class embeddings, so that nothing is encoded twice."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import KeptFile, Result, cache_dir, checksum
from ipo_prompts.metrics.pictures import Exchanged, Picture
from ipo_prompts.metrics.template import written

# A file of vectors, each found by its key. Vectors are expensive to encode, and are kept to the last bit.
#
# Every entry of the file is checked by its checksum. A damaged entry is made again, with a warning.


_DAMAGED = re.compile("not a database|malformed|no such column|has no column|columns but")
"""The texts of SQLite's errors for a file that is no database, a broken database, or one with other tables."""

DAMAGED_ENTRIES = "the store %s has damaged entries, which are made again"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (content TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
"""

_log = logging.getLogger(__name__)


class VectorFile(KeptFile):
    """A file of float32 vectors, each with its checksum.

    Args:
        path: the path of the file, which is made when first used.
        schema: the SQL of further tables beside the table of vectors.
    """

    unusable = (
        "cannot use the feature store %s (%s); make room, or point IPO_CACHE_DIR to a folder that can be written."
    )

    def __init__(self, path: Path, schema: str = "") -> None:
        super().__init__(path, _SCHEMA + schema)
        self._said: set[str] = set()

    def warn(self, said: str, *values: object) -> None:
        """Tell the user what happened to the store, each text only once; its first `%s` is the path of the store."""
        if said not in self._said:
            self._said.add(said)
            _log.warning(said, self.path, *values, extra={"progress": True})

    def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return the result of `work` on the open file. If the file is damaged, `work` runs again on a new, empty file.

        Raises:
            InputError: the disk is full, or the folder cannot be written.
        """
        try:
            return super().use(work)
        except InputError as error:
            cause = error.__cause__
            if self.read_only or not (isinstance(cause, sqlite3.Error) and _DAMAGED.search(str(cause))):
                raise
            self.warn("the store %s was damaged (%s); what it held is made again", cause)
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            raise InputError(self.unusable % (self.path, error)) from error
        return super().use(work)

    def get(self, database: sqlite3.Connection, key: str, size: int) -> Floats | None:
        """Return the vector of a key: float32 (size,); None if it is missing or damaged and must be made again."""
        row = database.execute("SELECT vector, crc FROM vectors WHERE content = ?", (key,)).fetchone()
        if row is None:
            return None
        vector, crc = row
        if not isinstance(vector, bytes) or len(vector) != 4 * size or checksum(key, vector) != crc:
            self.warn(DAMAGED_ENTRIES)
            return None
        return np.frombuffer(vector, dtype="<f4").astype(np.float32)

    def put(
        self, database: sqlite3.Connection, keys: Sequence[str], vectors: Sequence[Floats] | Floats
    ) -> list[Floats]:
        """Store one vector for each key, all vectors or none; return the vector that the file now has for each key.

        If another process has already stored a vector for a key, that vector stays and is returned. So all processes
        compute with the same bits. A file that can only be read stores nothing; the vectors are returned as given.
        """
        if self.read_only:
            self.warn("the store %s cannot be written: missing entries are made, and not kept")
            return list(vectors)
        kept = []
        with database:
            database.execute("BEGIN IMMEDIATE")
            for key, vector in zip(keys, vectors, strict=True):
                there = self.get(database, key, vector.size)
                if there is None:
                    blob = vector.astype("<f4").tobytes()
                    row = (key, blob, checksum(key, blob))
                    database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", row)
                kept.append(vector if there is None else there.reshape(vector.shape))
        return kept


# Features of pictures. A feature depends on the picture's bytes, how they are read, the picture transform and the
# weights; the file and the key stand for all four.


BATCH = 32
"""How many pictures each forward pass and each commit has; a smaller batch is padded: see `FeatureStore.encode`."""

STAMPS = """
CREATE TABLE IF NOT EXISTS stamps (stamp TEXT PRIMARY KEY, content TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
"""

Progress = Callable[[int, int], None]


class FeatureStore:
    """The features of pictures that one CLIP has encoded.

    Args:
        clip: the CLIP that encodes; the file is named after its fingerprint.
        folder: the folder of the file; None means `features` in the cache folder.
    """

    def __init__(self, clip: Clip, folder: Path | None = None) -> None:
        self.clip = clip
        self.path = (folder or cache_dir() / "features") / f"{clip.fingerprint[:32]}.sqlite"
        self._file = VectorFile(self.path, STAMPS)
        self.encoded = 0
        """The number of pictures that this object had to encode; the others came from the file."""

    def encode(self, pictures: Sequence[Picture], progress: Progress | None = None) -> Floats:
        """Return the features of `pictures`; encode the pictures whose features are not in the store.

        A batch of another size uses other kernels, whose sums differ in the last bits. So every batch has `BATCH` rows,
        and the last batch is padded. Then the feature of a picture has the same bits in every list of pictures, and
        also after a run that was killed half-way.

        Returns:
            float32 (len(pictures), D), unit rows.

        Raises:
            InputError: a picture cannot be decoded, or the folder cannot be written; the message names the picture or
                the folder.
        """
        return self._file.use(partial(self._encode, pictures=pictures, progress=progress))

    def _encode(self, database: sqlite3.Connection, pictures: Sequence[Picture], progress: Progress | None) -> Floats:
        rows = np.empty((len(pictures), self.clip.width), dtype=np.float32)
        missing: dict[str, list[int]] = {}
        for place, content in enumerate(self._contents(database, pictures)):
            vector = self._file.get(database, content, self.clip.width)
            if vector is None:
                missing.setdefault(content, []).append(place)
            else:
                rows[place] = vector
        done = len(pictures) - sum(map(len, missing.values()))
        contents = list(missing)
        groups = [contents[start : start + BATCH] for start in range(0, len(contents), BATCH)]
        batches = ([pictures[missing[content][0]] for content in group] for group in groups)
        made = self.clip.encode_batches(batches, batch=BATCH)
        for group in groups:
            try:
                fresh = next(made)
            except Exchanged as error:
                with (
                    suppress(sqlite3.OperationalError),
                    database,
                ):  # a stamp that was wrong must not be trusted again
                    database.execute("DELETE FROM stamps WHERE stamp = ?", (error.stamp,))
                raise
            self.encoded += len(group)
            for content, vector in zip(group, self._file.put(database, group, fresh), strict=True):
                rows[missing[content]] = vector
                done += len(missing[content])
            if progress:
                progress(done, len(pictures))
        if progress and not contents:
            progress(done, len(pictures))
        return rows

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the key of each picture (`Picture.key`): the SHA-256 of its bytes, and how they are read.

        A file that was hashed before and has not changed since is not opened.

        Raises:
            InputError: a picture cannot be read; the message names it.
        """
        return self._file.use(partial(self._contents, pictures=pictures))

    def _contents(self, database: sqlite3.Connection, pictures: Sequence[Picture]) -> list[str]:
        """Return the key of each picture. A file whose stamp is in the store is not opened: see `pictures.stamp_of`."""
        new = [
            one for one in pictures if not one.is_known() and not (one.known is None and self._recall(database, one))
        ]
        with ThreadPoolExecutor(max_workers=8) as pool:
            hashes = list(pool.map(Picture.content, new))
        stamped = [
            (picture.stamp, content, checksum(picture.stamp, content.encode()))
            for picture, content in zip(new, hashes, strict=True)
            if picture.stamp and not self._file.read_only
        ]
        with database:
            database.executemany("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", stamped)
        return [picture.key(picture.known or picture.content()) for picture in pictures]

    def _recall(self, database: sqlite3.Connection, picture: Picture) -> bool:
        """Set the picture's hash to the hash that the store has for its stamp; return whether the store has it."""
        if picture.stamp is None:
            return False
        row = database.execute("SELECT content, crc FROM stamps WHERE stamp = ?", (picture.stamp,)).fetchone()
        if row is None:
            return False
        content, crc = row
        if not isinstance(content, str) or checksum(picture.stamp, content.encode(errors="replace")) != crc:
            self._file.warn(DAMAGED_ENTRIES)
            return False
        picture.know(content, picture.stamp)
        return True


# Class embeddings of a template with a list of class names. They are computed once and kept in memory and on disk.
#
# An entry is one template with one list of classes, and it is encoded alone. Floating-point sums depend on which texts
# are encoded together. If single texts were kept and used in another call, a score would depend on earlier calls. With
# whole entries a score has the same bits whether its embeddings come from the store or are made again. This costs
# little: templates share only their beginnings, and a beginning is one path of tokens for all classes.


IN_MEMORY = 256 * 2**20
"""The most bytes of embeddings that are kept in memory."""
ON_DISK = 2**30
"""The most bytes of embeddings that are kept on disk for each CLIP; the oldest embeddings are deleted first."""


class TextStore:
    """The class embeddings of templates that one CLIP has encoded.

    Args:
        clip: the CLIP that encodes.
        path: the path of the file.
    """

    def __init__(self, clip: Clip, path: Path) -> None:
        self.clip = clip
        self._file = VectorFile(path)
        self._recent: dict[str, Floats] = {}
        self.encoded = 0
        """The number of templates that this object had to encode; the others came from the file."""

    def encode(self, templates: Sequence[str], class_names: Sequence[str]) -> list[Floats]:
        """Return a list with the class embeddings of each template: float32 (C, D), unit rows.

        Raises:
            InputError: the file cannot be written.
        """
        keys = [_key(template, class_names) for template in templates]
        found = {key: self._recent[key] for key in keys if key in self._recent}
        if lacking := {key: one for key, one in zip(keys, templates, strict=True) if key not in found}:
            found |= self._file.use(partial(self._all, templates=lacking, class_names=class_names))
        self._recent = {key: one for key, one in self._recent.items() if key not in found} | found
        while len(self._recent) > 1 and sum(one.nbytes for one in self._recent.values()) > IN_MEMORY:
            del self._recent[next(iter(self._recent))]  # the first entry is the one used longest ago
        return [found[key] for key in keys]

    def _all(
        self, database: sqlite3.Connection, templates: Mapping[str, str], class_names: Sequence[str]
    ) -> dict[str, Floats]:
        """Return the embeddings of each key; `templates` maps keys to templates.

        Embeddings that the file lacks are made, and stored in one commit: a commit takes as long as encoding a text.
        """
        from ipo_prompts.metrics.text_tower import encode_templates

        shape, found, made = (len(class_names), self.clip.width), dict[str, Floats](), dict[str, Floats]()
        for key, template in templates.items():
            if (flat := self._file.get(database, key, shape[0] * shape[1])) is not None:
                found[key] = flat.reshape(shape)
                continue
            self.encoded += 1
            with self.clip.timed("text"):
                made[key] = encode_templates(self.clip.model, self.clip.tokenizer, [template], class_names)[0]
        if made:
            found.update(zip(made, self._file.put(database, list(made), list(made.values())), strict=True))
            if not self._file.read_only:
                _bound(database)
        for embeddings in found.values():
            embeddings.setflags(write=False)
        return found


def _key(template: str, class_names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([template, *written(class_names)]).encode()).hexdigest()


def _bound(database: sqlite3.Connection) -> None:
    """Delete the oldest embeddings while the file has more than `ON_DISK` bytes in use. SQLite reuses their pages."""
    dropped = 1
    while dropped and _used(database) > ON_DISK:
        with database:  # delete an eighth at once, so that this is seldom needed
            dropped = database.execute(
                "DELETE FROM vectors WHERE rowid IN "
                "(SELECT rowid FROM vectors ORDER BY rowid LIMIT max(1, (SELECT count(*) FROM vectors) / 8))"
            ).rowcount


def _used(database: sqlite3.Connection) -> int:
    """Return how many bytes of a database file are in use."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


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
            "shape, or pictures as paths or PIL images."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        wrong = int(np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))[0])
        raise InputError(f"{what} has a row that is all zeros or not finite, the row {wrong}; leave it out.")
    # A row that has length 1 already is not changed, so that features keep the bits that the CLIP or a store gave them.
    return np.where(np.abs(lengths - 1) < 1e-6, rows, rows / lengths).astype(np.float32)
