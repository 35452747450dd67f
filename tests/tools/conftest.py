"""What the small stages are tried on: drawn shapes, a short word list, emoji data, and a stand-in for the teacher."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from tools.embedded import concepts, words
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.sources import EMOJI_DATA
from tools.embedded.teacher import WIDTH

COLOURS = {"cat": (200, 60, 20), "dog": (20, 160, 60), "car": (40, 60, 220), "tea": (190, 180, 20)}
COMMON = ["apple", "award", "between", "bridge", "dull", "garden", "hog", "kitten", "letter", "seat", "tiny", "winter"]
KNOWN = ["colorless", "gloomy", "lobster", "overturned", "parasol", "puppy", "scribbled", "tortoise", "violin"]
LIKE = {"kitten": "cat", "puppy": "dog", "gloomy": "dark"}


@pytest.fixture(scope="module", autouse=True)
def whole_precision() -> Iterator[None]:
    """Train in float32: without instructions for it, bf16 takes many times as long, and the tests ask for neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        yield


@pytest.fixture(scope="session")
def drawn() -> tuple[list[Drawing], Pixels]:
    """16 base images of each class, each as an emoji and as a black glyph, and three drawings of tea."""
    rng = random.Random(0)
    drawings, pixels = [], []
    for concept, colour in COLOURS.items():
        for base in range(3 if concept == "tea" else 16):
            corners = [(rng.randrange(8, 56), rng.randrange(8, 56)) for _ in range(5)]
            for kind in ("emoji", "glyph"):
                image = Image.new("RGBA", (64, 64))
                ImageDraw.Draw(image).polygon(corners, fill=(*(colour if kind == "emoji" else (0, 0, 0)), 255))
                name = f"{kind}-pack/{concept}-{base}"
                group = "food-drink" if concept == "tea" else "animals-nature"
                drawings.append(
                    Drawing(name, concept, f"{concept} face", group, kind, f"f/{concept}{base}", concept != "tea")
                )
                pixels.append(np.asarray(image))
    return drawings, np.stack(pixels)


@pytest.fixture(scope="session")
def emoji_data() -> Callable[..., Path]:
    """Emoji of every class, and others as (label, group), as emojibase writes them."""

    def write(modules: Path, *others: tuple[str, int]) -> Path:
        classes = yaml.safe_load(Path(concepts.__file__).with_name("classes.yaml").read_text("utf-8"))
        labels = dict.fromkeys(label for name, known in classes.items() for label in known.get("emoji", [name]))
        rows = [{"label": label.title(), "hexcode": f"1F{i:03X}", "group": 0} for i, label in enumerate(labels)]
        rows += [{"label": label, "hexcode": f"2F{i:03X}", "group": group} for i, (label, group) in enumerate(others)]
        folder = modules / EMOJI_DATA / "en"
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps(rows))
        groups = [{"order": 0, "key": "animals-nature"}, {"order": 1, "key": "flags"}]
        (folder / "messages.json").write_text(json.dumps({"groups": groups}))
        return modules

    return write


def word_list(folder: Path) -> None:
    """What `words.fetch` installs, with a few words."""
    package = folder / "node_modules" / words.WORD_LIST
    package.mkdir(parents=True)
    for size in (*words.COMMON, *words.KNOWN):
        for spelling in ("english", "american", "british"):
            (package / f"{spelling}-words-{size}.json").write_text(json.dumps([]))
    (package / f"english-words-{words.COMMON[0]}.json").write_text(json.dumps(COMMON))
    (package / f"british-words-{words.KNOWN[-1]}.json").write_text(json.dumps([*KNOWN, *COMMON[:2]]))


def teach(folder: Path, texts: Sequence[str]) -> npt.NDArray[np.float16]:
    """A stand-in for `teacher.encode`: the mean of a text's words, each at random, where words of `LIKE` are alike."""

    def place(word: str) -> npt.NDArray[np.float64]:
        own = np.random.default_rng(zlib.crc32(word.encode())).normal(size=WIDTH)
        return place(LIKE[word]) + 0.3 * own if word in LIKE else own

    means = np.stack([np.sum([place(word) for word in text.rstrip(".").split()], axis=0) for text in texts])
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="session")
def small_english() -> Callable[[pytest.MonkeyPatch], None]:
    """Makes the stage ``language`` a matter of seconds: no registry, no teacher, few texts."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tools.embedded.teacher.fetch", lambda folder: None)
        monkeypatch.setattr("tools.embedded.teacher.encode", teach)
        monkeypatch.setattr("tools.embedded.words.fetch", word_list)
        for name, count in (("CAPTIONS", 150), ("DESCRIBED", 60), ("TAUGHT_CAPTIONS", 40)):
            monkeypatch.setattr(f"tools.embedded.sentences.{name}", count)

    return patch
