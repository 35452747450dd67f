"""The interrogator on a stand-in CLIP whose texts are bags of words, and on the CLIP that ships with us."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pytest

from ipo_prompts.metrics.template import fill
from ipo_prompts.programs import domain
from ipo_prompts.programs.domain import looks_like
from ipo_prompts.programs.phrases import Vocabulary

IGNORED = {"a", "an", "in", "of", "on", "at", "the", "with", "picture"}
CLASSES = ["cat", "dog", "teapot", "fir_tree", "lamp"]


class BagOfWords:
    """Texts are sums of random word vectors, pictures (here: texts too) likewise."""

    logit_scale = 20.0
    context_length = 16

    def count(self, text: str) -> int:
        return len(text.split()) + 2

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._encode(text) for text in texts])

    def _encode(self, text: str) -> np.ndarray:
        words = [word for word in re.findall(r"[a-z-]+", text.lower()) if word not in IGNORED]
        named = [word for word in words if word in ("cat", "dog", "teapot", "fir", "tree", "lamp")]
        looks = [word for word in words if word not in named]
        # A class seen in a look has a vector of its own, as in a CLIP that has learned what classes look like in it.
        parts = [*words, *(f"{name} as {look}" for name in named for look in looks)]
        total = np.sum([_vector(part) for part in parts] or [_vector("nothing")], axis=0)
        return (total / np.linalg.norm(total)).astype(np.float32)


def _vector(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=512)


def _features(template: str, per_class: int = 6, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Features like those of pictures that `template` fits, and their labels."""
    labels = [i for i in range(len(CLASSES)) for _ in range(per_class)]
    rows = BagOfWords().encode_texts([fill(template, CLASSES[i]) for i in labels])
    rows = rows + np.random.default_rng(0).normal(size=rows.shape) * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), np.array(labels)


@pytest.fixture
def drawings() -> tuple[np.ndarray, np.ndarray]:
    return _features("a line drawing of a <CLASS>, at sunset.")


def _said(features, labels, clip=None, names=CLASSES) -> list[str]:
    return [phrase.text for phrase in looks_like(clip or BagOfWords(), features, labels, names, Vocabulary.load())]


def test_the_look_of_the_pictures_is_said_first(drawings):
    assert set(_said(*drawings)[:2]) == {"line drawing", "at sunset"}


def test_a_phrase_that_is_a_class_is_left_out(drawings):
    assert "line drawing" not in _said(*drawings, names=[*CLASSES, "Line_Drawing"])


def test_a_phrase_that_the_tokenizer_would_cut_is_left_out(drawings):
    clip = BagOfWords()
    clip.context_length = 6
    assert "line drawing" not in _said(*drawings, clip)


def test_pictures_that_the_bare_prompt_fits_have_no_look():
    features, labels = _features("a picture of a <CLASS>.")
    assert _said(features, labels) == [] == _said(features[:1], labels[:1])


def test_many_classes_are_thinned_to_a_bounded_number_of_texts(drawings, monkeypatch):
    monkeypatch.setattr(domain, "MAX_CLASSES", 3)
    clip, seen = BagOfWords(), []
    encode = clip.encode_texts
    monkeypatch.setattr(clip, "encode_texts", lambda texts: seen.extend(texts) or encode(texts))
    _said(*drawings, clip)
    assert len(seen) == 3 * (1 + len(Vocabulary.load().phrases))
