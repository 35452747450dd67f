"""Drawings to try the small stages on: coloured shapes of three classes and one other concept."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tools.embedded.drawings import Picture, Pixels

COLOURS = {"cat": (200, 60, 20), "dog": (20, 160, 60), "car": (40, 60, 220), "tea": (190, 180, 20)}


@pytest.fixture(scope="session")
def drawn() -> tuple[list[Picture], Pixels]:
    """16 base pictures of each class, each as an emoji and as a black glyph, and three drawings of tea."""
    rng = random.Random(0)
    pictures, pixels = [], []
    for concept, colour in COLOURS.items():
        for base in range(3 if concept == "tea" else 16):
            corners = [(rng.randrange(8, 56), rng.randrange(8, 56)) for _ in range(5)]
            for kind in ("emoji", "glyph"):
                image = Image.new("RGBA", (64, 64))
                ImageDraw.Draw(image).polygon(corners, fill=(*(colour if kind == "emoji" else (0, 0, 0)), 255))
                name = f"{kind}-pack/{concept}-{base}"
                group = "food-drink" if concept == "tea" else "animals-nature"
                pictures.append(
                    Picture(name, concept, f"{concept} face", group, kind, f"f/{concept}{base}", concept != "tea")
                )
                pixels.append(np.asarray(image))
    return pictures, np.stack(pixels)
