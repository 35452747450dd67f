"""The fixed templates that the card measures: neutral ones and ones that name a shift."""

from pathlib import Path
from typing import Final

from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

BASELINE: Final = "a photo of a <CLASS>."


def templates() -> tuple[str, ...]:
    """Return the bare name, the baseline template, CLIP's 80 and ``templates.txt``, without duplicates.

    Those of ``templates.txt`` were written by hand before any measurement, and none was removed afterwards.
    """
    clip = [str(make("<CLASS>")) for make in OPENAI_IMAGENET_TEMPLATES]
    hand = Path(__file__).with_name("templates.txt").read_text("utf-8").splitlines()
    return tuple(dict.fromkeys(["<CLASS>", BASELINE, *clip, *hand]))
