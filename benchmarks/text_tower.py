"""Templates × class names: `build_zero_shot_classifier` ÷ ours, and ours against the matmuls alone."""

from __future__ import annotations

import argparse
import logging
import statistics
from functools import partial
from typing import Any

import numpy as np
import open_clip
import torch

from benchmarks.common import alternate, arguments, report
from ipo_prompts.metrics.template import fill
from ipo_prompts.metrics.text_pass import Trie
from ipo_prompts.metrics.text_tower import encode_templates, text_path

TEMPLATES = (  # 24 of 3 to 20 words; the slot first, in the middle, last
    "<CLASS> on white.",
    "<CLASS> in the wild.",
    "<CLASS>, a blurry photo.",
    "<CLASS>: a drawing made with a pencil.",
    "<CLASS> seen from far above on a grey day.",
    "<CLASS> as it looks in an old newspaper that was printed in black and white.",
    "<CLASS> on a table in a dark room, lit by one lamp from the left side of the picture.",
    "<CLASS> photographed by a person who was in a hurry and did not hold the camera still at all.",
    "a <CLASS> outdoors.",
    "a photo of a <CLASS>.",
    "a bad photo of the <CLASS> at night.",
    "a low resolution photo of a <CLASS> in a video game.",
    "a close-up of one <CLASS> with its background out of focus.",
    "the picture shows a <CLASS> in the middle, with nothing else around it.",
    "an amateur photo of a <CLASS> that was taken through the window of a moving car.",
    "this is a very small picture in which a <CLASS> can be seen, with many colours and no text in it.",
    "one small <CLASS>",
    "a drawing of the <CLASS>",
    "a cropped photo of my <CLASS>",
    "itap of a very nice and clean <CLASS>",
    "a jpeg corrupted photo of one of the many <CLASS>",
    "in the middle of the picture, between the trees, there is a <CLASS>",
    "a painting in bright colours, made by a child at school, of what must be a <CLASS>",
    "there are many things in this photo of a room but what you should look for is the hidden <CLASS>",
)
LONG = (  # to 45 words, for the single-template figure
    "<CLASS> in a photo that somebody took on a cold morning in late autumn, with fog over the fields behind it and "
    "the first light of the sun coming from the right, so that one side stays dark and nearly nothing can be told.",
    "a photo of a <CLASS> on an otherwise empty wooden table in front of a white wall, taken with a cheap phone from "
    "slightly above, without flash, a little out of focus, and with the colours of an old lamp.",
    "after a long day in the museum, where most of the rooms were closed and the guards looked bored, the last picture "
    "that she took with her new camera before the battery was empty was one of a <CLASS>",
)


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        classes={"type": int, "default": 100, "help": "ImageNet class names, of 1000"},
        threads={"type": int, "default": 1, "help": "torch threads"},
        model={"default": "ViT-B-16", "help": "open_clip architecture; random weights"},
    )
    model, tokenizer, names = tower(options)
    templates = [*TEMPLATES[::8], LONG[1]] if options.small else [*TEMPLATES, *LONG]
    repeats = 1 if options.small else options.repeats

    path = text_path(model)  # the self-check is not part of any timing
    difference, ratios, over_matmul = 0.0, {}, []
    for template in templates:
        theirs = partial(zero_shot, model, tokenizer, names, [template])
        ours = partial(encode_templates, model, tokenizer, [template], names)
        difference = max(difference, float(np.abs(ours()[0] - theirs()).max()))
        matmul = matmuls(model, tokenizer, template, names)
        seconds = alternate(repeats, theirs=theirs, ours=ours, matmul=matmul)
        ratios[template] = round(seconds["theirs"] / seconds["ours"], 2)
        over_matmul.append(seconds["ours"] / seconds["matmul"])
    report(
        "text_tower",
        model="ViT-S-32-alt" if options.small else options.model,
        path=path,
        classes=len(names),
        repeats=repeats,
        largest_difference=difference,
        ratio_geometric_mean=round(statistics.geometric_mean(ratios.values()), 2),
        lowest_ratio=min(ratios.values()),
        ours_over_matmul={"median": round(statistics.median(over_matmul), 3), "highest": round(max(over_matmul), 3)},
        ratios=ratios,
    )
    if difference > 1e-5:
        raise SystemExit(f"the largest difference is {difference}")


def tower(options: argparse.Namespace) -> tuple[Any, Any, list[str]]:
    """Return the model with random weights, its tokenizer, and the class names, spread over ImageNet's."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # "no pretrained weights": random ones are intended
    model = open_clip.create_model("ViT-S-32-alt" if options.small else options.model).eval()
    count, names = 8 if options.small else options.classes, open_clip.IMAGENET_CLASSNAMES
    return model, open_clip.SimpleTokenizer(context_length=model.context_length), names[:: len(names) // count][:count]


def zero_shot(model: Any, tokenizer: Any, names: list[str], templates: list[str]) -> Any:
    """Call open_clip's own function as its users do: float32 (C, D)."""
    fills = [lambda name, template=template: fill(template, name) for template in templates]
    return open_clip.build_zero_shot_classifier(model, tokenizer, names, fills).T.numpy()


def matmuls(model: Any, tokenizer: Any, template: str, names: list[str]) -> Any:
    """Return a function that does the necessary matrix products: as many FLOPs, at this machine's rate.

    Counted: the linear layers for each distinct beginning, the last block's output only for each text. Attention's own
    products (about 2 · length / (12 · width) of these) are left out, as is everything that is no matrix product.
    """
    tokens = tokenizer([fill(template, name) for name in names])
    trie = Trie(tokens.numpy(), tokens.argmax(dim=-1).numpy() + 1)
    width, layers = model.transformer.width, model.transformer.layers
    flops = trie.nodes * ((layers - 1) * 24 + 4) * width**2
    flops += trie.texts * (20 * width**2 + 2 * width * model.text_projection.shape[1])
    rows = 512
    x, weight, bias = torch.randn(rows, width), torch.randn(4 * width, width), torch.randn(4 * width)
    times = max(1, round(flops / (2 * rows * 4 * width**2)))

    def multiply() -> None:
        with torch.inference_mode():
            for _ in range(times):
                torch.nn.functional.linear(x, weight, bias)

    return multiply


if __name__ == "__main__":
    main()
