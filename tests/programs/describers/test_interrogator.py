"""The interrogator on a stand-in CLIP whose texts are bags of words, and on the CLIP that ships with us."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import fill
from ipo_prompts.programs.describers import interrogator
from ipo_prompts.programs.describers.interrogator import NOTHING, Interrogator
from ipo_prompts.programs.templates.phrases import Vocabulary

IGNORED = {"a", "an", "in", "of", "on", "at", "the", "with", "picture"}
CLASSES = ["cat", "dog", "teapot", "fir_tree", "lamp"]
EMBEDDED = Path(interrogator.__file__).parents[2] / "experiments" / "embedded"


class BagOfWords:
    """Texts are sums of random word vectors, pictures (here: texts too) likewise."""

    logit_scale = 20.0
    context_length = 16

    def count(self, text: str) -> int:
        return len(text.split()) + 2

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._encode(text) for text in texts])

    def encode_pictures(self, pictures: Sequence[Picture]) -> np.ndarray:
        return self.encode_texts([picture.bytes().decode() for picture in pictures])

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


def _features(template: str, per_class: int = 6, noise: float = 0.05) -> tuple[np.ndarray, list[int]]:
    """Features like those of pictures that `template` fits, and their labels."""
    labels = [i for i in range(len(CLASSES)) for _ in range(per_class)]
    rows = BagOfWords().encode_texts([fill(template, CLASSES[i]) for i in labels])
    rows = rows + np.random.default_rng(0).normal(size=rows.shape) * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.fixture
def drawings() -> tuple[np.ndarray, list[int]]:
    return _features("a line drawing of a <CLASS>, at sunset.")


def test_the_look_of_the_pictures_is_said_first(drawings):
    features, labels = drawings
    found = Interrogator(BagOfWords())(pictures=features, labels=labels, class_names=CLASSES)
    assert {found.phrases[0][0], found.phrases[1][0]} == {"line drawing", "at sunset"}
    assert found.descriptions[0].startswith("The pictures look like: ")
    assert "line drawing" in found.descriptions[0] and "at sunset" in found.descriptions[0]


def test_a_phrase_that_is_a_class_is_left_out(drawings):
    features, labels = drawings
    names = [*CLASSES, "Line_Drawing"]
    found = Interrogator(BagOfWords())(pictures=features, labels=labels, class_names=names)
    assert "line drawing" not in dict(found.phrases)
    assert "pencil sketch" in dict(found.phrases)


def test_a_phrase_that_the_tokenizer_would_cut_is_left_out(drawings):
    features, labels = drawings
    clip = BagOfWords()
    clip.context_length = 9
    found = Interrogator(clip)(pictures=features, labels=labels, class_names=CLASSES)
    assert "line drawing" in dict(found.phrases)
    assert "in silhouette against the light" not in dict(found.phrases)


def test_pictures_that_the_bare_prompt_fits_have_no_look():
    features, labels = _features("a picture of a <CLASS>.")
    found = Interrogator(BagOfWords())(pictures=features, labels=labels, class_names=CLASSES)
    assert found.descriptions == [NOTHING]


def test_at_most_top_phrases_are_said(drawings):
    features, labels = drawings
    found = Interrogator(BagOfWords(), top=1)(pictures=features, labels=labels, class_names=CLASSES)
    assert found.descriptions[0].count(",") == 0


def test_pictures_may_be_given_instead_of_features():
    texts = [f"a line drawing of a {name}, {more}." for name in CLASSES for more in ("here", "there", "now", "then")]
    pictures = [Picture.from_bytes(text, text.encode()) for text in texts]
    labels = [i // 4 for i in range(len(texts))]
    found = Interrogator(BagOfWords())(pictures=pictures, labels=labels, class_names=CLASSES)
    assert found.phrases[0][0] == "line drawing"


def test_many_classes_are_thinned_to_a_bounded_number_of_texts(drawings, monkeypatch):
    features, labels = drawings
    monkeypatch.setattr(interrogator, "MAX_CLASSES", 3)
    clip, seen = BagOfWords(), []
    encode = clip.encode_texts
    monkeypatch.setattr(clip, "encode_texts", lambda texts: seen.extend(texts) or encode(texts))
    Interrogator(clip)(pictures=features, labels=labels, class_names=CLASSES)
    assert len(seen) == 3 * (1 + len(Vocabulary.load().phrases))


@pytest.fixture(scope="module")
def shipped():
    clip = load_clip("embedded", device="cpu")
    split = json.loads((EMBEDDED / "split.json").read_text("utf-8"))

    def describe(domain, **settings):
        pictures = [Picture.from_path(EMBEDDED / "pictures" / domain / row[0]) for row in split["train"]]
        labels = [row[1] for row in split["train"]]
        describer = Interrogator(clip, **settings)
        return describer(pictures=pictures, labels=labels, class_names=split["classes"]), split["classes"]

    return describe


def test_the_shipped_clip_sees_how_the_shifted_pictures_look_and_names_no_class(shipped):
    found, classes = shipped("a")
    assert len(found.phrases) > 250 and np.isfinite([strength for _, strength in found.phrases]).all()
    assert re.search("negative|inverted|x-ray", found.descriptions[0])
    words = set(re.findall(r"[a-z]+", " ".join(found.descriptions).lower()))
    assert not words & set(classes)


def test_it_says_that_nothing_stands_out_where_nothing_does(shipped):
    assert shipped("b")[0].descriptions == [NOTHING]
