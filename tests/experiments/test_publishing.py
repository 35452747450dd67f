"""What is written at the end of a run, from parts of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ipo_prompts.experiments.run.prepared import digest_of
from ipo_prompts.metrics.pictures import Picture

NAMES = ("cat", "bus", "key")


def test_the_digest_of_pictures_changes_with_their_classes_their_labels_and_their_part() -> None:
    def digest(*parts: Any, names: Any = ("cat", "dog"), new: Any = ()) -> str:
        drawn: Any = SimpleNamespace(class_names=names, new_class_names=new)
        return digest_of(drawn, *parts)

    def item(picture: str, label: int = 0) -> Any:
        return SimpleNamespace(picture=Picture.from_bytes("given", picture.encode()), label=label)

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
