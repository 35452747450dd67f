"""Training batches: which images, which transformations, which captions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.embedded.shifts import GEOMETRIC, TRANSFORMATIONS
from tools.embedded import batches
from tools.embedded.batches import RECIPES, WORDS, BatchMaker, Mix
from tools.embedded.captions import compose
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.splits import split
from tools.embedded.vocabulary import WORDS as WORDS_OF

Drawn = tuple[list[Drawing], Pixels]


def maker(drawn: Drawn, seed: int = 0, **how: Any) -> BatchMaker:
    return BatchMaker(*drawn, split(drawn[0]).clip, seed, **how)


def test_a_batch_has_each_concept_once_and_depends_on_the_seed(drawn: Drawn) -> None:
    batch, same, other = maker(drawn).next(1), maker(drawn).next(1), maker(drawn, 1).next(1)
    assert batch.images.shape == (4, 48, 48, 3) and batch.images.dtype == np.float32
    assert np.array_equal(batch.images, same.images) and batch.texts == same.texts
    assert batch.texts != other.texts and not np.array_equal(batch.images, other.images)
    assert sorted(batch.things) == ["car", "cat", "dog", "tea"]
    for name, text in zip(batch.things, batch.texts, strict=True):
        assert name in text and sum(other in text for other in batch.things) == 1


def test_early_batches_are_plain_and_late_ones_are_not(drawn: Drawn) -> None:
    makes = maker(drawn)
    early = [makes.next(0) for _ in range(8)]
    late = [makes.next(1) for _ in range(8)]
    assert max(len(text) for batch in early for text in batch.texts) <= len("a picture of a cat face.")
    assert all(np.allclose(batch.images[:, 0, 0], 1) for batch in early)
    assert max(len(text) for batch in late for text in batch.texts) > 40
    assert not all(np.allclose(batch.images[:, 0, 0], 1) for batch in late)


def test_a_crossed_batch_has_each_concept_plain_with_either_transformation_and_with_both(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings, pixels = drawn
    more = [replace(p, concept=f"{p.concept}{n}", is_class=False) for n in range(3) for p in drawings]
    drawn = more, np.concatenate([pixels] * 3)
    said: list[tuple[str, frozenset[str], str]] = []
    monkeypatch.setattr(
        batches, "compose", lambda _, name, ops, style, paper, *rest: said.append((name, ops, paper)) or name
    )
    makes = maker(drawn, mix=Mix(crossed=1, mixed=0, clean=0, counts=(1,), easy=0.02))
    pairs: list[frozenset[str]] = []
    for _ in range(60):
        said.clear()
        batch = makes.next(1)
        assert sorted(Counter(batch.things).values()) == [4, 4, 4] and len(batch.images) == 12 == len(said)
        sets = [transformations for _, transformations, _ in said]
        none, one, other, both = sets[:4]
        assert sets == [none, one, other, both] * 3 and not none
        assert len(one) == len(other) == 1 and one != other and both == one | other
        assert batch.things == [thing for thing in batch.things[::4] for _ in range(4)]
        assert {paper for _, _, paper in said} == {"white"}
        pairs.append(both)
    assert np.abs(batch.images[0] - batch.images[3]).mean() > 0.02
    apart = [len(pair & set(GEOMETRIC)) == 1 for pair in pairs]
    assert 0.6 < np.mean(apart) < 1  # mostly one that moves the image and one that changes its pixels
    assert len(frozenset().union(*pairs)) > len(TRANSFORMATIONS) * 0.8


@pytest.mark.parametrize("mix", [batches.IMAGES, WORDS])
def test_shares_leave_room_for_batches_of_one_set(mix: Mix) -> None:
    assert mix.crossed + mix.mixed + mix.clean < 1 and sum(mix.counts) == pytest.approx(1)


def test_a_plain_recipe_mixes_all_batches_and_seldom_names_an_transformation(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[frozenset[str], float]] = []
    monkeypatch.setattr(batches, "compose", lambda *args: given.append((args[2], args[-1])) or args[1])
    makes = maker(drawn, mix=RECIPES["plain"])
    for _ in range(100):
        makes.next(1)
    assert {said for _, said in given} == {0.35}
    assert 0.4 < np.mean([not transformations for transformations, _ in given]) < 0.6, (
        "half of the images are as they are"
    )
    by_batch = [frozenset(transformations for transformations, _ in given[i : i + 4]) for i in range(0, len(given), 4)]
    assert np.mean([len(sets) == 1 for sets in by_batch]) < 0.2, "no batch shares a shift but by chance"


def test_an_transformation_is_named_as_often_as_is_asked() -> None:
    rng, words = random.Random(0), [*WORDS_OF["noise"].adjectives, *WORDS_OF["noise"].nouns, *WORDS_OF["noise"].tails]
    for said in (0.35, 0.97):
        texts = [compose(rng, "zebra", frozenset({"noise"}), "icon", "white", "animals", (), said) for _ in range(400)]
        assert np.mean([any(word in text for word in words) for text in texts]) == pytest.approx(said, abs=0.07)


def test_other_words_come_now_and_then(drawn: Drawn) -> None:
    makes = maker(drawn, mix=WORDS, others=["violin"])
    texts = [text for _ in range(30) for text in makes.next(1).texts]
    assert 0.1 < np.mean(["violin" in text for text in texts]) < 0.7
    assert not any("violin" in text for text in maker(drawn, mix=WORDS).next(1).texts)
