"""Recall@k against a loop over queries, and what is special: shared captions, several captions, ties."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.retrieval import Gallery, RetrievalReward
from ipo_prompts.metrics.template import fill

TEMPLATES = ["a photo of a <CLASS>.", "a negative of <CLASS>", "<CLASS>"]


def pairs(count: int) -> tuple[tuple[str, ...], list[dspy.Example]]:
    data = load_data("embedded", seed=0)
    items = [item for item in data.test if item.label < count]
    return data.class_names[:count], [dspy.Example(image=i.image, caption=data.class_names[i.label]) for i in items]


def plain(color: str) -> LazyImage:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), color).save(buffer, format="PNG")
    return LazyImage.from_bytes(color, buffer.getvalue())


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("block", [1024, 4])
def test_recall_and_loss_equal_a_loop(
    k: int, block: int, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.metrics.retrieval.BLOCK", block)
    names, examples = pairs(10)
    reward = RetrievalReward(clip, names, k=k, store=FeatureStore(clip, tmp_path))
    gallery = reward.examples(examples)
    images = clip.encode_images([example.image for example in examples]).astype(np.float64)
    captions = np.array([example.caption for example in examples])
    for template, score in zip(TEMPLATES, reward.score(TEMPLATES, gallery), strict=True):
        for i, name in enumerate(names):
            logits = clip.logit_scale * images @ clip.encode_texts([fill(template, name)])[0]
            order = np.argsort(-logits)
            assert score.hits[i] == (name in captions[order[:k]])
            chance = np.exp(logits - logits.max())
            chance /= chance.sum()
            assert score.losses[i] == pytest.approx(-np.log(chance[captions == name].sum()), abs=1e-3)
        assert score.n == len(names)
        assert score.value == score.hits.mean()
        assert score.loss == pytest.approx(score.losses.mean())
    assert {score.value for score in reward.score(TEMPLATES, gallery)} != {1.0}  # the task is not trivial


def test_any_image_of_a_shared_caption_will_do(clip: Clip) -> None:
    texts = clip.encode_texts(["cat", "dog"])
    features = np.stack([texts[0], texts[1], texts[1]])
    matches = np.array([[0, 1], [0, 2], [1, 0]])  # cat belongs to the dog-like ones, dog to the cat-like one
    reward = RetrievalReward(clip, ["cat", "dog"], k=2)
    wrong = Gallery(features, np.array([0, 1]), matches, np.array([0, 0, 1]))
    # The second-best image of "cat" is one of its own; both that stand before the only one of "dog" are not.
    assert reward.score(["<CLASS>"], wrong)[0].hits.tolist() == [True, False]


def test_a_tie_counts_against_the_right_image(clip: Clip) -> None:
    features = np.repeat(np.eye(1, clip.width, dtype=np.float32), 3, axis=0)  # products with it are not rounded
    gallery = Gallery(features, np.array([0]), np.array([[0, 0]]), np.array([0]))
    for k, hit in ((1, False), (2, False), (3, True)):
        assert RetrievalReward(clip, ["cat"], k=k).score(["<CLASS>"], gallery)[0].hits.tolist() == [hit]


def test_a_image_with_several_captions_is_in_the_gallery_once(clip: Clip, tmp_path: Path) -> None:
    red, blue = plain("red"), plain("blue")
    examples = [
        dspy.Example(image=red, caption="a wall", group="1"),
        dspy.Example(image=red, caption="red paint", group="1"),
        dspy.Example(image=blue, caption="the sky", group="2"),
        dspy.Example(image=blue, caption="a wall", group="2"),
    ]
    reward = RetrievalReward(clip, [e.caption for e in examples], store=FeatureStore(clip, tmp_path))
    gallery = reward.examples(examples)
    assert reward.class_names == ("a wall", "red paint", "the sky")
    assert len(gallery.features) == 2
    assert len(gallery) == 3
    assert gallery.groups == ("1", "1", "2")
    assert gallery.labels.tolist() == [0, 1, 2, 0]
    assert reward.score(["<CLASS>"], gallery)[0].hits[0]  # every image is a wall


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": "unknown"}, "caption 'unknown', which is not one of the reward's captions"),
        ({}, r"recall@1 over 1 different images is always 1"),
    ],
)
def test_bad_examples_are_refused(change: dict[str, Any], message: str, clip: Clip, tmp_path: Path) -> None:
    example = dspy.Example(**{"image": plain("red"), "caption": "red", **change})
    with pytest.raises(InputError, match=message):
        RetrievalReward(clip, ["red"], store=FeatureStore(clip, tmp_path)).examples([example])


def test_missing_fields_and_a_senseless_k_are_refused(clip: Clip) -> None:
    with pytest.raises(InputError, match="needs an image and a caption"):
        RetrievalReward(clip, ["red"]).examples([dspy.Example(image=plain("red"))])
    with pytest.raises(InputError, match="k must be at least 1"):
        RetrievalReward(clip, ["red"], k=0)


def test_templates_must_fit_every_caption(clip: Clip) -> None:
    assert RetrievalReward(clip, ["red"]).problem("a <CLASS>") is None
    assert "tokens" in (RetrievalReward(clip, ["red", "word " * 50]).problem("a <CLASS>") or "")
    assert "tokens" in (RetrievalReward(clip, ["red"], also_fit=["word " * 50]).problem("a <CLASS>") or "")


def test_a_query_has_the_group_of_its_first_example_and_names_the_first_image(clip: Clip, tmp_path: Path) -> None:
    shades = ["red", "darkred", "blue", "yellow"]
    examples = [
        dspy.Example(image=plain(shade), caption=caption, group=group)
        for shade, caption, group in zip(shades, ["warm", "warm", "cold", "bright"], "1234", strict=True)
    ]
    reward = RetrievalReward(clip, ["warm", "cold", "bright"], store=FeatureStore(clip, tmp_path))
    gallery = reward.examples(examples)
    assert gallery.groups == ("1", "3", "4")
    score = reward.score(["a <CLASS> one"], gallery)[0]
    cosines = clip.encode_texts([f"a {name} one" for name in reward.class_names]) @ gallery.features.T
    assert score.predictions.tolist() == cosines.argmax(axis=1).tolist()
    assert not score.hits.all(), "some of which are wrong"
