"""Class embeddings, computed once: those of a template with a list of class names, in memory and on disk.

One entry is one template with one list of classes, encoded alone. Floating-point sums depend on what is encoded
together. If single texts were kept and used again in another call, a score would depend on earlier calls; with whole
entries it has the same bits whether its embeddings were kept or are made again. This costs little: templates share only
their beginnings, and a beginning is one path of tokens for all classes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.class_names import written
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.metrics.vector_file import VectorFile

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
        return self._file.use(
            lambda database: [self._one(database, k, t, class_names) for k, t in zip(keys, templates, strict=True)]
        )

    def _one(self, database: sqlite3.Connection, key: str, template: str, class_names: Sequence[str]) -> Floats:
        found = self._recent.get(key)
        if found is None:
            flat = self._file.get(database, key, len(class_names) * self.clip.width)
            found = None if flat is None else flat.reshape(len(class_names), self.clip.width)
        if found is None:
            with self.clip.timed("text"):
                found = encode_templates(self.clip.model, self.clip.tokenizer, [template], class_names)[0]
            self.encoded += 1
            found = self._file.put(database, [key], [found])[0]
            _bound(database)
        return self._remember(key, found)

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
    """Drop the oldest embeddings once the file holds too much; SQLite fills their pages again."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size <= ON_DISK:
        return
    with database:  # an eighth at once, so that it is done seldom
        database.execute(
            "DELETE FROM vectors WHERE rowid IN "
            "(SELECT rowid FROM vectors ORDER BY rowid LIMIT max(1, (SELECT count(*) FROM vectors) / 8))"
        )
