"""Class embeddings are made once, and keeping them never changes a bit."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.metrics import features as text_store
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import TextStore
from ipo_prompts.metrics.template import named
from ipo_prompts.metrics.text_tower import encode_templates

TEMPLATES = ["a photo of a <CLASS>.", "<CLASS> in the dark", "one small <CLASS>, and its <CLASS>"]
NAMES = ["baseline", "hot_dog", "bus", "violin", "tent"]


@pytest.fixture()
def file(tmp_path: Path) -> Path:
    return tmp_path / "texts.sqlite"


def bits(rows: list[np.ndarray]) -> list[bytes]:
    return [row.tobytes() for row in rows]


def test_equal_to_the_text_tower(clip: Clip, file: Path) -> None:
    found = TextStore(clip, file).encode(TEMPLATES, NAMES)
    assert np.allclose(found, encode_templates(clip.model, clip.tokenizer, TEMPLATES, NAMES), atol=1e-6)


def test_kept_or_made_again_in_any_company_the_bits_are_the_same(clip: Clip, file: Path, tmp_path: Path) -> None:
    store = TextStore(clip, file)
    first = bits(store.encode(TEMPLATES, NAMES))
    assert bits(store.encode(TEMPLATES, NAMES)) == first and store.encoded == 3
    again = TextStore(clip, file)
    assert bits(again.encode(TEMPLATES[::-1], NAMES)) == first[::-1] and again.encoded == 0
    alone = TextStore(clip, tmp_path / "other.sqlite")
    assert [bits(alone.encode([template], NAMES))[0] for template in TEMPLATES] == first


def test_another_list_of_classes_is_another_entry(clip: Clip, file: Path) -> None:
    store = TextStore(clip, file)
    store.encode(TEMPLATES[:1], NAMES)
    fewer = store.encode(TEMPLATES[:1], NAMES[:3])[0]
    swapped = store.encode(TEMPLATES[:1], NAMES[::-1])[0]
    assert store.encoded == 3
    assert fewer.shape[0] == 3
    assert np.allclose(swapped[::-1], store.encode(TEMPLATES[:1], NAMES)[0], atol=1e-6)


def test_what_is_handed_out_cannot_be_changed(clip: Clip, file: Path) -> None:
    rows = TextStore(clip, file).encode(TEMPLATES[:1], NAMES)[0]
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 0


def test_a_damaged_entry_is_made_again(clip: Clip, file: Path) -> None:
    first = bits(TextStore(clip, file).encode(TEMPLATES, NAMES))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE vectors SET vector = zeroblob(64) WHERE rowid = 2")
        by, key = database.execute("SELECT clip, content FROM vectors WHERE rowid = 3").fetchone()
        wide = bytes(4 * len(NAMES) * (clip.width + 1))  # with the right checksum, and yet nothing to compare with
        crc = zlib.crc32(wide, zlib.crc32(f"{by}|{key}".encode()))
        database.execute("UPDATE vectors SET vector = ?, crc = ? WHERE rowid = 3", (wide, crc))
    database.close()
    store = TextStore(clip, file)
    assert bits(store.encode(TEMPLATES, NAMES)) == first and store.encoded == 2
    file.write_bytes(b"no database" * 100)
    store = TextStore(clip, file)
    assert bits(store.encode(TEMPLATES, NAMES)) == first and store.encoded == 3


def test_memory_and_disk_are_bounded(clip: Clip, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TextStore(clip, file)
    size = store.encode(TEMPLATES[:1], NAMES)[0].nbytes
    monkeypatch.setattr(text_store, "IN_MEMORY", 2 * size)
    monkeypatch.setattr(text_store, "ON_DISK", 200_000)
    many = [f"number {i} <CLASS>" for i in range(60)]
    store.encode(many, NAMES)
    assert len(store._recent) == 2
    with sqlite3.connect(file) as database:
        kept = database.execute("SELECT count(*) FROM vectors").fetchone()[0]
    database.close()
    assert 1 <= kept < 40
    newest = TextStore(clip, file)
    newest.encode(many[-1:], NAMES)
    assert newest.encoded == 0


def test_a_class_with_another_synonym_is_another_entry(clip: Clip, file: Path) -> None:
    store = TextStore(clip, file)
    plain, pair = (store.encode(TEMPLATES[:1], [dog])[0] for dog in ("dog", named(["dog", "puppy"])))
    again = store.encode(TEMPLATES[:1], [named(["dog", "hound"])])[0]
    assert store.encoded == 3
    assert not np.allclose(plain, pair, atol=1e-3) and not np.allclose(pair, again, atol=1e-3)


def test_what_was_used_last_stays_in_memory(clip: Clip, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TextStore(clip, file)
    size = store.encode(TEMPLATES[:1], NAMES)[0].nbytes
    monkeypatch.setattr(text_store, "IN_MEMORY", 2 * size)
    store.encode(TEMPLATES[1:2], NAMES)
    store.encode(TEMPLATES[:1], NAMES)
    store.encode(TEMPLATES[2:], NAMES)  # for which the second one goes
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM vectors")
    database.close()
    store.encode(TEMPLATES[:1], NAMES)
    store.encode(TEMPLATES[2:], NAMES)
    assert store.encoded == 3
    store.encode(TEMPLATES[1:2], NAMES)
    assert store.encoded == 4
