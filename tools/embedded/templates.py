"""The fixed templates that the card measures: neutral ones and ones that name a shift."""

from typing import Final

from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

ANCHOR: Final = "a photo of a <CLASS>."

# Written by hand before any measurement; none was removed afterwards.
_HAND_WRITTEN: Final = """
a picture of a <CLASS>.
an image of a <CLASS>.
an illustration of a <CLASS>.
a clear picture of a <CLASS> on a white background.
a simple icon of a <CLASS>.
a colorful emoji of a <CLASS>.
a cartoon <CLASS>.
this is a <CLASS>.
a <CLASS>, isolated and centered.
a high quality image showing a single <CLASS>.
a photographic negative of a <CLASS>.
a photo of a <CLASS> with inverted colors.
an inverted image of a <CLASS>.
a negative image of a <CLASS> on a black background.
a color inverted icon of a <CLASS>.
an x-ray of a <CLASS>.
a film negative of the <CLASS>.
a <CLASS> in reversed colors on black.
a <CLASS>, negative, inverted colors.
a glowing neon <CLASS> against a black background.
a <CLASS> whose colors have been swapped for their opposites.
a sketch of a <CLASS>.
a pencil drawing of a <CLASS>.
a line drawing of a <CLASS>.
an outline of a <CLASS> in thin lines.
a <CLASS> drawn by hand with a pencil.
black and white line art of a <CLASS>.
a monochrome contour drawing of the <CLASS>.
a grayscale photo of a <CLASS>.
a blurry black and white photo of a <CLASS>.
an out of focus gray picture of a <CLASS>.
a <CLASS> seen through fog, without color.
a dark photo of a <CLASS>.
a noisy photo of a <CLASS>.
a dark, grainy photo of a <CLASS> at night.
a noisy low-light image of a <CLASS>.
an underexposed picture of a <CLASS> with film grain.
a <CLASS> in the dark with static.
a dim and speckled image of a <CLASS>.
a pixelated <CLASS>.
a sepia photo of an old <CLASS>.
an upside down <CLASS>.
a faded, pale picture of a <CLASS>.
a close-up of a <CLASS>.
"""


def templates() -> tuple[str, ...]:
    """Bare name, anchor, CLIP's 80 and the hand-written ones; no duplicates."""
    clip = [str(make("<CLASS>")) for make in OPENAI_IMAGENET_TEMPLATES]
    hand = _HAND_WRITTEN.strip().splitlines()
    return tuple(dict.fromkeys(["<CLASS>", ANCHOR, *clip, *hand]))
