"""What is written at the end of a run, from parts of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments import publishing
from ipo_prompts.experiments.run.prepared import digest_of
from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.programs.classifier import TemplateClassifier

NAMES = ("cat", "bus", "key")


def test_pictures_are_named_alike_however_many_are_in_memory_at_once(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [TemplateClassifier(clip, NAMES, one) for one in ("a <CLASS>.", "a dark <CLASS>.", "the <CLASS>!")]
    features = clip.encode_texts([f"a {name}." for name in ("cat", "bus", "key", "cats", "dog")])
    labels, moved = publishing._named(programs, features, 1)
    assert labels.tolist() == [program.logits(features).argmax(axis=1).tolist() for program in programs]
    first, second, third = (program.head().probabilities(features) for program in programs)
    assert moved == pytest.approx(np.abs(first - second).sum(axis=1) / 2, abs=1e-5)
    assert publishing._named(programs, features, 2)[1] == pytest.approx(np.abs(first - third).sum(axis=1) / 2, abs=1e-5)
    monkeypatch.setattr(publishing, "BLOCK", 2)
    again = publishing._named(programs, features, 1)
    assert (again[0] == labels).all() and again[1] == pytest.approx(moved, abs=1e-6)


def test_a_suggested_name_is_shown_with_the_pictures_that_were_looked_at(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those are spread over all."""
    pictures: Any = [SimpleNamespace(name=f"{i}.png") for i in range(10)]
    features = np.arange(10, dtype=np.float32)[:, None]
    seen: list[Any] = []

    def suggestions(reward: Any, template: str, features: Any) -> list[Any]:
        seen.append(features[:, 0].tolist())
        return [("kats", "cat", SimpleNamespace(rise=0.5, pictures=[2, 0]))]

    monkeypatch.setattr(publishing, "suggestions", suggestions)
    monkeypatch.setattr(publishing, "thumbnail", lambda picture: f"data:image/png;base64,{picture.name[0]}")
    monkeypatch.setattr(publishing, "MOST_SCORED_ONLY", 3)
    (found,) = publishing._suggested(Fit(clip, NAMES), "a <CLASS>.", pictures, features)
    chosen = list(spread(10, 3))
    assert seen == [[float(i) for i in chosen]] and chosen != [0, 1, 2]
    assert [one.picture for one in found.pictures] == [f"{chosen[2]}.png", f"{chosen[0]}.png"]
    assert found.pictures[0].thumbnail == f"data:image/png;base64,{chosen[2]}"


def test_the_digest_of_pictures_changes_with_their_classes_their_labels_and_their_part() -> None:
    store: Any = SimpleNamespace(contents=lambda pictures: list(pictures))

    def digest(*parts: Any, names: Any = ("cat", "dog"), new: Any = ()) -> str:
        drawn: Any = SimpleNamespace(class_names=names, new_class_names=new)
        return digest_of(store, drawn, *parts)

    def item(picture: str, label: int = 0) -> Any:
        return SimpleNamespace(picture=picture, label=label)

    one, other = item("one"), item("other")
    found = [
        digest([one], [other]),
        digest([one, other], []),
        digest([other], [one]),
        digest([item("one", 1)], [other]),
        digest([one], [other], names=("cat", "fox")),
        digest([one], [other], new=("bus",)),
    ]
    assert len(set(found)) == len(found)
    assert digest([item("one")], [item("other")]) == found[0]
