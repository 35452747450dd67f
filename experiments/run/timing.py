"""How long a CLIP takes for pictures and for texts, timed on one batch of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ipo_prompts.experiments.data import Draw
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.prepared import offering_demo
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.text_tower import encode_templates

TEMPLATES: Final = (
    "a blurry photo of a <CLASS>, in fog, on a white background.",
    "a dark line drawing of a <CLASS>, seen from above.",
    "a faded watercolor of a <CLASS>, with heavy shading.",
    "a cropped photo of a <CLASS>, in black and white, tilted.",
)
"""Templates as long as those of a search: a text takes longer the longer it is."""
BATCH: Final = 32


class Pace(NamedTuple):
    """The seconds that a CLIP takes for one picture, with reading and decoding, and for one text."""

    picture: float
    text: float

    def seconds(self, pictures: int, texts: int) -> float:
        """Return the seconds for so many pictures and texts."""
        return pictures * self.picture + texts * self.text

    def told(self, device: str) -> str:
        """Return the pace as text."""
        return f"{device}: {1000 * self.picture:,.1f} ms a picture, {1000 * self.text:,.2f} ms a text"


def pace_of(clip: Clip, pictures: Sequence[Picture], class_names: Sequence[str]) -> Pace:
    """Time a CLIP on at most `BATCH` pictures, and on `TEMPLATES` with at most `BATCH` class names.

    Each is done twice, and the second time counts: the first time loads libraries and fills caches.

    Args:
        clip: the CLIP, on the device that is timed.
        pictures, class_names: at least one of each.

    Raises:
        InputError: a picture cannot be read, or a class name makes a text that is too long.
    """
    some, names = pictures[:BATCH], class_names[:BATCH]

    def texts() -> None:
        encode_templates(clip.model, clip.tokenizer, TEMPLATES, names)

    picture = _seconds(lambda: clip.encode_pictures(some)) / len(some)
    return Pace(picture, _seconds(texts) / (len(TEMPLATES) * len(names)))


def timed(config: RunConfig, drawn: Draw) -> tuple[Pace, str]:
    """Load the CLIP of a run and time it on search pictures. Return its pace, also as text."""
    with offering_demo():
        clip = load_clip(config.clip, config.device, config.precision)
    pace = pace_of(clip, [item.picture for item in drawn.search], drawn.class_names)
    return pace, pace.told(clip.device)


def _seconds(run: Callable[[], object]) -> float:
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
