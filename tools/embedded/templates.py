"""The fixed templates that the card measures: neutral ones and ones that name a shift."""

from pathlib import Path
from typing import Final

from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

BASELINE: Final = "a photo of a <CLASS>."


def templates() -> tuple[str, ...]:
    """Bare name, anchor, CLIP's 80 and the hand-written ones of ``templates.txt``; no duplicates.

    Those were written before any measurement, and none was removed afterwards.
    """
    clip = [str(make("<CLASS>")) for make in OPENAI_IMAGENET_TEMPLATES]
    hand = Path(__file__).with_name("templates.txt").read_text("utf-8").splitlines()
    return tuple(dict.fromkeys(["<CLASS>", BASELINE, *clip, *hand]))
