"""From a search to the search for names: which images, which texts, which candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs import naming
from ipo_prompts.programs.naming import search_names

NAMES = ("puppies", "bus")


class Asked(Exception):
    """What `find_names` is asked with."""


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_names(*given: Any) -> None:
        raise Asked(*given)

    monkeypatch.setattr(naming, "find_names", find_names)


def asked(
    clip: Clip, groups: tuple[str, ...] | None = None, also_fit: Sequence[str] = (), **more: Any
) -> tuple[Any, ...]:
    reward = ClipReward(clip, NAMES, also_fit=also_fit)
    features = np.eye(4, clip.encode_texts(["a"]).shape[1], dtype=np.float32)
    parts = [EncodedImages(features[rows], np.array([0, 1]), groups) for rows in (slice(2), slice(2, 4))]
    with pytest.raises(Asked) as caught:
        search_names(reward, "a very long sketch of a <CLASS>.", parts, task="pets", **more)
    return caught.value.args


def test_images_of_both_parts_decide_and_share_no_draw(clip: Clip) -> None:
    _, _, images, seed = asked(clip, seed=5)
    assert images.labels.tolist() == [0, 1, 0, 1] and seed == 5
    assert images.features[:, :4].tolist() == pytest.approx(clip.logit_scale * np.eye(4))
    assert len(set(images.groups)) == 4
    variants = asked(clip, groups=("x", "x"))[2].groups
    assert variants[0] == variants[1] != variants[2] == variants[3]


def test_a_name_has_to_fit_the_template_and_to_be_none_of_the_new_classes(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_row(**more: Any) -> int:
        return len(asked(clip, **more)[1][0]) - 1

    all_of_them = first_row()
    assert first_row(also_fit=["Puppy"]) == all_of_them - 1

    def too_long(template: str, names: Sequence[str], tokens: Any) -> str | None:
        return "it is too long" if "long" in template and [*names] == ["puppy"] else None

    monkeypatch.setattr(naming, "too_long", too_long)
    assert first_row() == all_of_them - 1


def test_names_that_were_typed_and_those_of_a_language_model_are_tried_together(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    def ask_for_names(lm: Any, task: str, names: Any, seed: int) -> list[list[str]]:
        seeds.append((lm, task, seed))
        return [["doggy"], []]

    monkeypatch.setattr(naming, "ask_for_names", ask_for_names)
    without = len(asked(clip)[1][0])
    typed = {0: "barkers", 5: "of a new class"}
    assert len(asked(clip, typed=typed)[1][0]) == without + 1
    assert len(asked(clip, lm="a model", seed=3, typed=typed)[1][0]) == without + 2
    assert seeds == [("a model", "pets", 3)]
