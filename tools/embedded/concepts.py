"""The concepts that the CLIP learns and the classes of the data set.

A class may join several emoji ("cat" is cat, cat face and black cat): more
drawings a class leave enough of them to hold out. ``classes.yaml`` lists them.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tools.embedded.sources import EMOJI_DATA

SEED: Final = 7
EXTRA_CONCEPTS: Final = 260
STRANGERS: Final = 60
"""Number of further concepts, of which the CLIP sees no image."""
_SKIPPED_GROUPS: Final = frozenset({"smileys-emotion", "people-body", "component", "flags", "symbols", "none"})


@dataclass(frozen=True)
class Emoji:
    """One emoji: ``code`` is the lower-case hex code as the packages spell it."""

    code: str
    label: str
    group: str


@dataclass(frozen=True)
class Concept:
    """One name that captions use; ``slugs`` find its icons in the glyph packages."""

    name: str
    emojis: tuple[Emoji, ...]
    slugs: tuple[str, ...]
    is_class: bool


def slug(text: str) -> str:
    """``"soccer ball"`` -> ``"soccer-ball"``, as icon packages spell names."""
    return text.replace("’", "").replace(".", "").replace(" ", "-").lower()


def read_emojis(modules: Path) -> dict[str, Emoji]:
    """Return all emoji by their English label in lower case."""
    folder = modules / EMOJI_DATA / "en"
    rows: list[dict[str, Any]] = json.loads((folder / "data.json").read_text("utf-8"))
    messages = json.loads((folder / "messages.json").read_text("utf-8"))
    groups = {int(g["order"]): str(g["key"]) for g in messages["groups"]}
    found: dict[str, Emoji] = {}
    for row in rows:
        label = str(row["label"]).lower()
        group = groups.get(int(row.get("group", -1)), "none")
        found[label] = Emoji(str(row["hexcode"]).lower(), label, group)
    return found


def list_concepts(emojis: dict[str, Emoji]) -> list[Concept]:
    """Return the classes in fixed order, then ``EXTRA_CONCEPTS`` other concepts drawn by seed."""
    classes = _classes(emojis)
    others = _others(emojis, classes)
    chosen = random.Random(SEED).sample(others, min(EXTRA_CONCEPTS, len(others)))
    return classes + [Concept(x, (emojis[x],), (slug(x),), False) for x in sorted(chosen)]


def list_strangers(emojis: dict[str, Emoji]) -> list[Concept]:
    """Return ``STRANGERS`` concepts of one word that is in no name and label of `list_concepts`, drawn by seed."""
    concepts = list_concepts(emojis)
    met = {word for concept in concepts for e in concept.emojis for word in (concept.name, *e.label.split())}
    classes = [concept for concept in concepts if concept.is_class]
    left = [label for label in _others(emojis, classes) if label not in met and label.isalpha()]
    chosen = random.Random(SEED).sample(left, min(STRANGERS, len(left)))
    return [Concept(x, (emojis[x],), (slug(x),), False) for x in sorted(chosen)]


def _classes(emojis: dict[str, Emoji]) -> list[Concept]:
    classes = yaml.safe_load(Path(__file__).with_name("classes.yaml").read_text("utf-8"))
    concepts = []
    for name, known in classes.items():
        labels = known.get("emoji", [name])
        names = known.get("only") or [*map(slug, (name, *labels)), *known.get("icons", ())]
        members = tuple(emojis[label] for label in labels)
        concepts.append(Concept(name, members, tuple(dict.fromkeys(names)), True))
    return concepts


def _others(emojis: dict[str, Emoji], classes: list[Concept]) -> list[str]:
    taken = {emoji.label for concept in classes for emoji in concept.emojis}
    return sorted(
        label
        for label, emoji in emojis.items()
        if emoji.group not in _SKIPPED_GROUPS and label not in taken and _is_plain(label)
    )


def _is_plain(label: str) -> bool:
    """Whether a label is no clock face, no person, and no longer than three words."""
    return len(label.split()) <= 3 and not any(part in label for part in ("clock", "person", ":", "-thirty"))
