"""What is encoded once and kept: vectors on disk by key, and the class embeddings of templates."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import KeptFile, Result, checksum
from ipo_prompts.metrics.template import written
from ipo_prompts.metrics.text_tower import encode_templates

# Vectors on disk by key: encoding them is expensive, keeping them loses no bit.
#
# Nothing in the file is believed without its checksum, and all of it can be made again: what is damaged is made again,
# with a warning that says so.


_DAMAGED = re.compile("not a database|malformed|no such column|has no column|columns but")
"""What SQLite says of a file that is not ours: no database, a broken one, one in which our SQL has no meaning."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (content TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
"""

_log = logging.getLogger(__name__)


class VectorFile(KeptFile):
    """A file of float32 vectors, each with its checksum.

    Args:
        path: the file; made when first used.
        schema: SQL of further tables beside the vectors.
    """

    unusable = (
        "cannot use the feature store %s (%s); make room, or point IPO_CACHE_DIR to a folder that can be written."
    )

    def __init__(self, path: Path, schema: str = "") -> None:
        super().__init__(path, _SCHEMA + schema)
        self.damaged = 0
        """Entries met since the last warning whose checksum was wrong."""
        self._has_warned = False

    def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` makes of the open file; it runs a second time, on an empty file, if this one is damaged.

        Raises:
            InputError: the disk is full, or the folder cannot be written.
        """
        try:
            return self._use(work)
        except (sqlite3.Error, OSError) as error:
            if not _DAMAGED.search(str(error)) or self.read_only:
                raise InputError(self.unusable % (self.path, error)) from error
            _log.warning(
                "the store %s was damaged (%s); what it held is made again", self.path, error, extra={"progress": True}
            )
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._use(work)
        except (sqlite3.Error, OSError) as error:
            raise InputError(self.unusable % (self.path, error)) from error

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        result = super()._use(work)
        if self.damaged:
            _log.warning(
                "%d damaged entries of the store %s were made again", self.damaged, self.path, extra={"progress": True}
            )
            self.damaged = 0
        return result

    def get(self, database: sqlite3.Connection, key: str, size: int) -> Floats | None:
        """Return the vector of a key, float32 (size,); None when it is absent or damaged and must be made again."""
        row = database.execute("SELECT vector, crc FROM vectors WHERE content = ?", (key,)).fetchone()
        if row is None:
            return None
        vector, crc = row
        if not isinstance(vector, bytes) or len(vector) != 4 * size or checksum(key, vector) != crc:
            self.damaged += 1
            return None
        return np.frombuffer(vector, dtype="<f4").astype(np.float32)

    def put(
        self, database: sqlite3.Connection, keys: Sequence[str], vectors: Sequence[Floats] | Floats
    ) -> list[Floats]:
        """Keep one vector per key, all or none of them; return what is kept.

        Where another process was first, its vector stays and is returned: all processes compute with the same bits.
        Nothing is kept in a file that can only be read.
        """
        if self.read_only:
            if not self._has_warned:
                self._has_warned = True
                said = "the store %s cannot be written: what it lacks is made, and not kept"
                _log.warning(said, self.path, extra={"progress": True})
            return list(vectors)
        kept = []
        damaged = self.damaged  # counted when they were found
        with database:
            database.execute("BEGIN IMMEDIATE")
            for key, vector in zip(keys, vectors, strict=True):
                there = self.get(database, key, vector.size)
                if there is None:
                    blob = vector.astype("<f4").tobytes()
                    row = (key, blob, checksum(key, blob))
                    database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", row)
                kept.append(vector if there is None else there.reshape(vector.shape))
        self.damaged = damaged
        return kept


# Class embeddings, computed once: those of a template with a list of class names, in memory and on disk.
#
# One entry is one template with one list of classes, encoded alone. Floating-point sums depend on what is encoded
# together. If single texts were kept and used again in another call, a score would depend on earlier calls; with whole
# entries it has the same bits whether its embeddings were kept or are made again. This costs little: templates share
# only their beginnings, and a beginning is one path of tokens for all classes.


IN_MEMORY = 256 * 2**20
"""Bytes of embeddings kept in memory."""
ON_DISK = 2**30
"""Bytes kept on disk per CLIP; the oldest go first."""


class TextStore:
    """Class embeddings of one CLIP.

    Args:
        clip: the encoder.
        path: the file.
    """

    def __init__(self, clip: Clip, path: Path) -> None:
        self.clip = clip
        self._file = VectorFile(path)
        self._recent: OrderedDict[str, Floats] = OrderedDict()
        self._bytes = 0
        self.encoded = 0
        """Templates that this object had to encode; the others came from the store."""

    def encode(self, templates: Sequence[str], class_names: Sequence[str]) -> list[Floats]:
        """Return the class embeddings of each template: float32 (C, D), unit rows.

        Raises:
            InputError: the file cannot be written.
        """
        keys = [_key(template, class_names) for template in templates]
        if all(key in self._recent for key in keys):
            return [self._remember(key, self._recent[key]) for key in keys]
        return self._file.use(lambda database: self._all(database, keys, templates, class_names))

    def _all(
        self, database: sqlite3.Connection, keys: Sequence[str], templates: Sequence[str], class_names: Sequence[str]
    ) -> list[Floats]:
        """Return what is kept, and make the others, which are kept all at once: a commit takes as long as a text."""
        found = {key: self._kept(database, key, len(class_names)) for key in keys}
        made = {
            key: self._made(template, class_names)
            for key, template in dict(zip(keys, templates, strict=True)).items()
            if found[key] is None
        }
        if made:
            found.update(zip(made, self._file.put(database, list(made), list(made.values())), strict=True))
            if not self._file.read_only:
                _bound(database)
        return [self._remember(key, one) for key in keys if (one := found[key]) is not None]

    def _kept(self, database: sqlite3.Connection, key: str, classes: int) -> Floats | None:
        if key in self._recent:
            return self._recent[key]
        flat = self._file.get(database, key, classes * self.clip.width)
        return None if flat is None else flat.reshape(classes, self.clip.width)

    def _made(self, template: str, class_names: Sequence[str]) -> Floats:
        self.encoded += 1
        with self.clip.timed("text"):
            made: Floats = encode_templates(self.clip.model, self.clip.tokenizer, [template], class_names)[0]
        return made

    def _remember(self, key: str, embeddings: Floats) -> Floats:
        if key not in self._recent:
            embeddings.setflags(write=False)
            self._bytes += embeddings.nbytes
        self._recent[key] = embeddings
        self._recent.move_to_end(key)
        while self._bytes > IN_MEMORY and len(self._recent) > 1:
            self._bytes -= self._recent.popitem(last=False)[1].nbytes
        return embeddings


def _key(template: str, class_names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([template, *written(class_names)]).encode()).hexdigest()


def _bound(database: sqlite3.Connection) -> None:
    """Drop the oldest embeddings while the file holds too much; SQLite fills their pages again."""
    dropped = 1
    while dropped and _used(database) > ON_DISK:
        with database:  # an eighth at once, so that it is done seldom
            dropped = database.execute(
                "DELETE FROM vectors WHERE rowid IN "
                "(SELECT rowid FROM vectors ORDER BY rowid LIMIT max(1, (SELECT count(*) FROM vectors) / 8))"
            ).rowcount


def _used(database: sqlite3.Connection) -> int:
    """Return the bytes of a file that are not free."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
