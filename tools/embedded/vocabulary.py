"""The words that the CLIP is taught: natural synonyms for every operation and style.

A template search only works if ordinary words mean something to the CLIP, so each
entry lists what a person or an LLM would write, not one code word.

``adjectives`` stand before a noun, ``nouns`` head the phrase ("a sketch of a cat"),
``tails`` follow the name.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["BACKGROUND_TAILS", "FILLERS", "GENERIC_NOUNS", "LEADS", "STYLES", "WORDS", "Words"]


@dataclass(frozen=True)
class Words:
    """What can be said about one operation or style; each entry is lower case."""

    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    tails: tuple[str, ...]


def _words(adjectives: str, nouns: str, tails: str) -> Words:
    def part(text: str) -> tuple[str, ...]:
        return tuple(piece.strip() for piece in text.split(",") if piece.strip())

    return Words(part(adjectives), part(nouns), part(tails))


WORDS: Final[dict[str, Words]] = {
    "negative": _words(
        "negative, inverted, color inverted, photographic negative, inverse, reversed, "
        "x-ray, inverted color, color reversed, film negative, negative image, color-inverted, neon",
        "negative, photographic negative, film negative, photo negative, color negative, "
        "negative image, inverted image, inverted photo, x-ray, x-ray image, color inversion, "
        "inverse, negative film, inverted picture, negative photo, negative version",
        "with inverted colors, in negative, in inverted colors, with reversed colors, "
        "in negative colors, with colors inverted, as a photographic negative, in reverse colors, "
        "with negative colors, as a negative, with an inverted palette, with inverse colors, "
        "with opposite colors, with complementary colors, like an x-ray, as a film negative, "
        "with inverted lighting, with swapped colors, in a negative style, with neon colors",
    ),
    "gray": _words(
        "gray, grayscale, black and white, monochrome, grey, greyscale, colorless, "
        "black-and-white, achromatic, desaturated, gray scale, monochromatic",
        "grayscale image, black and white photo, monochrome photo, black and white picture, "
        "grayscale photo, monochrome picture, greyscale picture, black and white image",
        "in black and white, in grayscale, in gray, without color, in shades of gray, "
        "in monochrome, with no color, in grey tones, in gray tones, in greyscale, "
        "with muted gray colors, without any colors",
    ),
    "blur": _words(
        "blurry, blurred, out of focus, unfocused, soft, fuzzy, hazy, soft focus, "
        "out-of-focus, smudged, defocused, indistinct, unclear, foggy",
        "blurry photo, blurred image, blur, blurry picture, out of focus photo, "
        "unfocused picture, soft focus photo, blurry image",
        "out of focus, with blur, seen through fog, with soft edges, in soft focus, "
        "with heavy blur, with blurred edges, not in focus, with motion blur, with a blur effect, "
        "seen through frosted glass, with gaussian blur",
    ),
    "edge": _words(
        "sketched, outlined, line drawn, hand drawn, pencil drawn, penciled, hand-drawn, "
        "line art, edge detected, contour, traced, embossed, scribbled, etched",
        "sketch, line drawing, pencil drawing, outline, pencil sketch, line art, drawing, "
        "outline drawing, contour drawing, line sketch, doodle, etching, edge map, tracing, "
        "ink drawing, charcoal drawing, engraving",
        "in outline, drawn with a pencil, as a sketch, as a line drawing, in pencil, "
        "as an outline, drawn in lines, with thin outlines, showing only edges, on paper, "
        "with only outlines, as line art, in thin gray lines, drawn by hand",
    ),
    "dark": _words(
        "dark, dim, underexposed, poorly lit, nighttime, low light, dimly lit, shadowy, "
        "low-light, night, murky, unlit, gloomy, badly lit",
        "dark photo, night photo, low light photo, dark picture, underexposed photo, dark image, nighttime photo",
        "at night, in the dark, in low light, in darkness, in dim light, with low lighting, "
        "in the shadows, in shadow, with poor lighting, in a dark room, in the night, "
        "under dim lighting",
    ),
    "bright": _words(
        "bright, overexposed, light, brightly lit, washed out, sunlit, high key, glowing, well lit, bleached",
        "bright photo, overexposed photo, bright picture, bright image",
        "in bright light, in sunlight, with bright light, in daylight, with too much light, "
        "under bright lights, in glare",
    ),
    "noise": _words(
        "noisy, grainy, speckled, static, corrupted, gritty, low quality, jpeg corrupted, "
        "granular, rough, dusty, pixel noise",
        "noisy photo, grainy photo, noisy image, grainy picture, noisy picture, corrupted photo, grainy image",
        "with noise, with grain, with static, with film grain, with speckles, with dots, "
        "with tv static, with heavy grain, in snow, with random noise, in noise, "
        "with sensor noise",
    ),
    "faded": _words(
        "faded, pale, low contrast, washed, dull, misty, low-contrast, bleached, muted, worn",
        "faded photo, pale picture, low contrast photo, faded picture, faded image",
        "in pale colors, with low contrast, in faded colors, with muted colors, in mist, "
        "with dull colors, with little contrast",
    ),
    "sepia": _words(
        "sepia, old, vintage, antique, sepia toned, old-fashioned, brownish, aged, retro",
        "old photo, vintage photo, sepia photo, old photograph, antique photo, sepia picture",
        "in sepia, in sepia tones, from long ago, from the past, in brown tones, with sepia colors, from an old album",
    ),
    "hue": _words(
        "recolored, false color, wrongly colored, psychedelic, strangely colored, "
        "unnaturally colored, color shifted, false-color, oddly colored, surreal",
        "false color image, recolored picture, psychedelic picture, color shifted photo",
        "in false colors, with wrong colors, with strange colors, with shifted colors, "
        "in unusual colors, with swapped channels, with unnatural colors, in odd colors",
    ),
    "pixel": _words(
        "pixelated, blocky, low resolution, pixelized, low-resolution, 8-bit, mosaic, low res, coarse",
        "pixelated photo, pixel art, low resolution photo, pixelated picture, mosaic, "
        "pixelated image, low resolution image",
        "in low resolution, made of pixels, made of blocks, with big pixels, in pixel art, "
        "in a video game, made of squares, with large pixels",
    ),
    "upside down": _words(
        "upside down, flipped, inverted upside down, overturned, upside-down, rotated",
        "upside down photo, flipped picture, upside down picture, upside down image",
        "turned upside down, upside down, standing on its head, hanging upside down, "
        "rotated by 180 degrees, flipped over, the wrong way up",
    ),
    "sideways": _words(
        "sideways, rotated, tilted, turned, sideways rotated",
        "sideways photo, rotated photo, rotated picture, rotated image",
        "lying on its side, turned sideways, rotated by 90 degrees, on its side, sideways",
    ),
    "zoom": _words(
        "close-up, cropped, zoomed, enlarged, large, big, magnified, zoomed in",
        "close-up photo, cropped photo, close-up, close up, macro photo, close-up picture",
        "seen from up close, up close, filling the frame, from very near, in close-up, cut off at the edges",
    ),
    "small": _words(
        "small, tiny, distant, little, far away, miniature, faraway",
        "small picture, tiny picture, miniature, distant view",
        "far away, from far away, in the distance, seen from afar, with much empty space around",
    ),
}

STYLES: Final[dict[str, Words]] = {
    "emoji": _words(
        "cartoon, colorful, cute, emoji style, clip art, illustrated, flat",
        "emoji, cartoon, clip art, illustration, sticker, emoticon, graphic, colorful drawing, digital art, rendering",
        "in cartoon style, in emoji style, in the style of a cartoon, as an emoji, as clip art",
    ),
    "icon": _words(
        "simple, flat, minimal, colored, icon style, stylized",
        "icon, app icon, pictogram, flat icon, colored icon, graphic, symbol, logo",
        "as an icon, in icon style, in a flat style, as a flat design",
    ),
    "glyph": _words(
        "simple, plain, minimalist, solid, black, glyph, schematic",
        "glyph, symbol, icon, silhouette, pictogram, sign, stencil, logo, shape, black icon",
        "as a symbol, as a silhouette, in black ink, as a pictogram, as a plain icon",
    ),
}

GENERIC_NOUNS: Final = (
    "photo",
    "photo",
    "photo",
    "photo",
    "picture",
    "image",
    "photograph",
    "depiction",
    "view",
    "rendition",
    "shot",
    "snapshot",
    "illustration",
    "drawing",
    "art",
)
FILLERS: Final = (
    "good",
    "nice",
    "cool",
    "weird",
    "clean",
    "beautiful",
    "typical",
    "single",
    "clear",
    "bad",
    "simple",
    "detailed",
    "centered",
    "isolated",
    "realistic",
    "new",
    "high quality",
    "great",
    "plain",
    "modern",
    "common",
    "real",
    "lovely",
    "strange",
    "regular",
    "standard",
)
LEADS: Final = (
    "this is",
    "here is",
    "an image showing",
    "there is",
    "a picture that shows",
    "look at",
    "we see",
    "it is",
    "itap of",
    "a scene with",
    "the following is",
    "something like",
)
BACKGROUND_TAILS: Final = (
    "on a {} background",
    "against a {} background",
    "with a {} background",
    "in front of a {} background",
    "over {}",
    "on {}",
    "on a plain {} background",
)
