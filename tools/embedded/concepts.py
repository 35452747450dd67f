"""The concepts that the CLIP learns and the classes of the data set.

A class may join several emoji ("cat" is cat, cat face and black cat): more
drawings a class leave enough of them to hold out.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.embedded.sources import EMOJI_DATA

SEED: Final = 7
EXTRA_CONCEPTS: Final = 260
_SKIPPED_GROUPS: Final = frozenset({"smileys-emotion", "people-body", "component", "flags", "symbols", "none"})

# Order matters: the first half is "base", the rest "new", as in every base-to-new split.
_CLASSES: Final = """
cat: cat, cat face, black cat
apple: red apple, green apple
dog: dog, dog face, poodle, guide dog
banana
horse: horse, horse face
pizza
elephant
hamburger
rabbit: rabbit, rabbit face
strawberry
pig: pig, pig face, boar
bread
mouse: mouse, mouse face, rat
carrot
cow: cow, cow face, ox
ice cream: ice cream, soft ice cream
fish: fish, tropical fish, blowfish
birthday cake: birthday cake, shortcake
monkey: monkey, monkey face, orangutan
cookie
tiger: tiger, tiger face
grapes
turtle
egg
bird
cheese: cheese wedge
butterfly
cactus
snail
mushroom
crab
airplane
spider
bicycle
chicken: chicken, rooster
sailboat
bee: honeybee
bus: bus, oncoming bus, trolleybus, minibus
whale: whale, spouting whale
car: automobile, oncoming automobile
owl
tractor
frog
motorcycle
penguin
rocket
octopus
helicopter
guitar
train: locomotive, train, high-speed train, bullet train
umbrella: umbrella, umbrella with rain drops, closed umbrella
truck: delivery truck, articulated lorry
key: key, old key
ambulance
alarm clock: alarm clock, mantelpiece clock
ship: ship, passenger ship
scissors
house: house, house with garden
camera: camera, camera with flash
castle
book: open book, closed book, books
tent
hammer
soccer ball
bell
basketball
chair
tree: evergreen tree, deciduous tree
bed
rose
crown
moon: crescent moon
glasses
star
balloon
sun
lock: locked, unlocked
anchor
drum
snowflake
ghost
snowman
robot
skull
trophy
gift: wrapped gift
microscope
magnet
telescope
backpack
"""

_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "airplane": ("plane",),
    "bicycle": ("bike",),
    "book": ("book-open", "open-book"),
    "birthday cake": ("cake",),
    "alarm clock": ("clock", "alarm"),
    "car": ("automobile",),
    "motorcycle": ("motorbike",),
    "hamburger": ("burger",),
    "soccer ball": ("soccer", "football", "ball-football"),
    "house": ("home",),
    "tree": ("pine-tree", "tree-evergreen"),
    "basketball": ("ball-basketball",),
    "glasses": ("eyeglasses",),
    "turtle": ("tortoise", "sea-turtle"),
    "banana": ("bananas", "banana-bunch"),
    "owl": ("barn-owl",),
    "pizza": ("pizza-slice", "full-pizza"),
    "strawberry": ("strawberries",),
    "grapes": ("grape", "fruit-grapes"),
    "mushroom": ("mushrooms", "super-mushroom"),
    "spider": ("spider-alt", "hanging-spider", "angular-spider"),
    "bee": ("bee-flower",),
    "chair": ("armchair", "wooden-chair", "chair-school"),
    "rose": ("flower-rose", "linden-leaf-rose"),
    "drum": ("drum-kit",),
    "guitar": ("guitar-electric", "guitar-acoustic", "guitars"),
    "robot": ("robot-face", "bot"),
    "snail": ("snail-shell",),
    "whale": ("sperm-whale",),
    "bed": ("bed-single", "single-bed", "double-bed"),
    "carrot": ("carrots",),
    "horse": ("horse-head", "horse-variant"),
    "fish": ("fish-simple",),
    "truck": ("delivery-truck",),
    "bread": ("bread-slice",),
    "chicken": ("rooster",),
    "rabbit": ("carrot-rabbit", "bunny"),
    "star": ("star-1",),
    "cow": ("cow-head",),
    "monkey": ("monkey-face",),
}


# In icon packages "mouse" is a computer mouse and "apple" often a brand.
_AMBIGUOUS: Final[dict[str, tuple[str, ...]]] = {
    "mouse": ("rat", "mouse-animal", "seated-mouse"),
    "apple": ("food-apple", "apple-whole", "apple-fruit", "shiny-apple"),
}


@dataclass(frozen=True)
class Emoji:
    """One emoji: ``code`` is the lower-case hex code as the packages spell it."""

    code: str
    label: str
    group: str
    tags: tuple[str, ...]


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
    """All emoji by their English label in lower case."""
    folder = modules / EMOJI_DATA / "en"
    rows: list[dict[str, Any]] = json.loads((folder / "data.json").read_text("utf-8"))
    messages = json.loads((folder / "messages.json").read_text("utf-8"))
    groups = {int(g["order"]): str(g["key"]) for g in messages["groups"]}
    found: dict[str, Emoji] = {}
    for row in rows:
        label = str(row["label"]).lower()
        group = groups.get(int(row.get("group", -1)), "none")
        tags = tuple(str(t) for t in row.get("tags", ()))
        found[label] = Emoji(str(row["hexcode"]).lower(), label, group, tags)
    return found


def list_concepts(emojis: dict[str, Emoji]) -> list[Concept]:
    """The classes in fixed order, then ``EXTRA_CONCEPTS`` others drawn by seed."""
    concepts = []
    taken: set[str] = set()
    for line in _CLASSES.strip().splitlines():
        name, _, rest = line.partition(":")
        labels = [part.strip() for part in rest.split(",")] if rest else [name]
        slugs = (slug(name), *map(slug, labels), *_ALIASES.get(name, ()))
        if name in _AMBIGUOUS:
            slugs = _AMBIGUOUS[name]
        members = tuple(emojis[label] for label in labels)
        concepts.append(Concept(name, members, tuple(dict.fromkeys(slugs)), True))
        taken.update(labels)
    others = sorted(
        label
        for label, emoji in emojis.items()
        if emoji.group not in _SKIPPED_GROUPS and label not in taken and _is_plain(label)
    )
    chosen = random.Random(SEED).sample(others, min(EXTRA_CONCEPTS, len(others)))
    concepts += [Concept(x, (emojis[x],), (slug(x),), False) for x in sorted(chosen)]
    return concepts


def _is_plain(label: str) -> bool:
    """No clock faces, no people, nothing longer than three words."""
    return (
        "clock" not in label
        and "person" not in label
        and ":" not in label
        and "-thirty" not in label
        and len(label.split()) <= 3
    )
