"""Class embeddings are made once, and keeping them never changes a bit."""

from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.metrics import features as text_store
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import TextStore
from ipo_prompts.metrics.template import named
from ipo_prompts.metrics.text_tower import encode_templates

TEMPLATES = ["a photo of a <CLASS>.", "<CLASS> in the dark", "one small <CLASS>, and its <CLASS>"]
NAMES = ["baseline", "hot_dog", "bus", "violin", "tent"]


def bits(rows: list[np.ndarray]) -> list[bytes]:
    return [row.tobytes() for row in rows]


def test_equal_to_the_text_tower(clip: Clip) -> None:
    found = TextStore(clip).encode(TEMPLATES, NAMES)
    assert np.allclose(found, encode_templates(clip.model, clip.tokenizer, TEMPLATES, NAMES), atol=1e-6)


def test_kept_or_made_again_in_any_company_the_bits_are_the_same(clip: Clip) -> None:
    store = TextStore(clip)
    first = store.encode(TEMPLATES, NAMES)
    assert all(again is one for again, one in zip(store.encode(TEMPLATES, NAMES), first, strict=True))
    assert bits(TextStore(clip).encode(TEMPLATES[::-1], NAMES)) == bits(first)[::-1]
    alone = TextStore(clip)
    assert [bits(alone.encode([template], NAMES))[0] for template in TEMPLATES] == bits(first)


def test_another_list_of_classes_is_another_entry(clip: Clip) -> None:
    store = TextStore(clip)
    first = store.encode(TEMPLATES[:1], NAMES)[0]
    assert store.encode(TEMPLATES[:1], NAMES[:3])[0].shape[0] == 3
    assert np.allclose(store.encode(TEMPLATES[:1], NAMES[::-1])[0][::-1], first, atol=1e-6)
    assert store.encode(TEMPLATES[:1], NAMES)[0] is first


def test_what_is_handed_out_cannot_be_changed(clip: Clip) -> None:
    rows = TextStore(clip).encode(TEMPLATES[:1], NAMES)[0]
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 0


def test_a_class_with_another_synonym_is_another_entry(clip: Clip) -> None:
    store = TextStore(clip)
    plain, pair = (store.encode(TEMPLATES[:1], [dog])[0] for dog in ("dog", named(["dog", "puppy"])))
    again = store.encode(TEMPLATES[:1], [named(["dog", "hound"])])[0]
    assert not np.allclose(plain, pair, atol=1e-3) and not np.allclose(pair, again, atol=1e-3)


def test_what_was_used_last_stays_in_memory(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TextStore(clip)
    first = store.encode(TEMPLATES[:1], NAMES)[0]
    monkeypatch.setattr(text_store, "IN_MEMORY", 2 * first.nbytes)
    second = store.encode(TEMPLATES[1:2], NAMES)[0]
    store.encode(TEMPLATES[:1], NAMES)
    third = store.encode(TEMPLATES[2:], NAMES)[0]  # for which the second one goes
    assert store.encode(TEMPLATES[:1], NAMES)[0] is first and store.encode(TEMPLATES[2:], NAMES)[0] is third
    assert store.encode(TEMPLATES[1:2], NAMES)[0] is not second
