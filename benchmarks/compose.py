"""Compositions of prefixes and suffixes: together ÷ open_clip's padded builder, and ÷ ours one by one; their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import open_clip

from benchmarks.common import alternate, arguments, memory, memory_from_here, report
from benchmarks.text_tower import tower, zero_shot
from ipo_prompts.metrics.text_tower import encode_templates, parts, text_path
from ipo_prompts.programs.templates.phrases import Part, Wording

PREFIXES = ("blurry", "dark", "pale", "grainy", "low contrast", "torn", "shiny", "black and white", "small", "old")
SUFFIXES = (
    "upside down",
    "lying on its side",
    "in fog",
    "at night",
    "from a distance",
    "close-up",
    "in the snow",
    "with strong shadows",
    "in dust",
    "on a white background",
    "with few colors",
    "with gradients",
    "seen through glass",
    "in soft light",
    "off-center",
    "with a border",
    "from above",
    "in the rain",
    "with dots all over it",
    "cut off at the edge",
)
STREAMED = 1_000
"""Classes of the run whose memory is measured."""


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        classes={"type": int, "default": 50, "help": "ImageNet class names, of 1000"},
        threads={"type": int, "default": 2, "help": "torch threads"},
        model={"default": "ViT-B-16", "help": "open_clip architecture; random weights"},
    )
    model, tokenizer, names = tower(options)
    compositions = [
        str(Wording("photo").plus(Part("quality", prefix)).plus(Part("detail", suffix)))
        for prefix in (PREFIXES[:2] if options.small else PREFIXES)
        for suffix in (SUFFIXES[:3] if options.small else SUFFIXES)
    ]
    padded = compositions[:: 5 if options.small else 20]  # a sample: all would take a quarter of an hour
    path = text_path(model)  # the self-check is not part of any timing
    made: dict[str, Any] = {}
    seconds = alternate(
        1 if options.small else min(3, options.repeats),
        theirs=lambda: made.update(theirs=[zero_shot(model, tokenizer, names, [one]) for one in padded]),
        alone=lambda: made.update(alone=[encode_templates(model, tokenizer, [one], names)[0] for one in compositions]),
        together=lambda: made.update(together=encode_templates(model, tokenizer, compositions, names)),
    )
    place = [compositions.index(one) for one in padded]
    theirs = seconds["theirs"] * len(compositions) / len(padded)
    difference = max(
        float(np.abs(made["together"] - np.stack(made["alone"])).max()),
        float(np.abs(made["together"][place] - np.stack(made["theirs"])).max()),
    )
    made.clear()
    before = memory_from_here()
    many = open_clip.IMAGENET_CLASSNAMES[: 50 if options.small else STREAMED]
    for part in parts(compositions[: len(compositions) // 5], many):
        encode_templates(model, tokenizer, part, many)
    report(
        "compose",
        path=path,
        compositions=len(compositions),
        classes=len(names),
        of_the_padded_builder=round(seconds["together"] / theirs, 3),
        of_one_by_one=round(seconds["together"] / seconds["alone"], 3),
        milliseconds_each=round(1000 * seconds["together"] / len(compositions), 2),
        largest_difference=difference,
        megabytes_above_the_model=round((memory("VmHWM") - before) / 1e6, 1),
        classes_streamed=len(many),
    )
    assert difference <= 1e-5, difference


if __name__ == "__main__":
    main()
