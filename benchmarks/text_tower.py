"""Templates × class names in CPU seconds: `build_zero_shot_classifier` ÷ ours, and ours ÷ the matmuls alone."""

from __future__ import annotations

import json
import logging
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import open_clip
import torch

from benchmarks.common import arguments
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
    "<CLASS> on a table in a dark room, lit by one lamp from the left side of the image.",
    "<CLASS> photographed by a person who was in a hurry and did not hold the camera still at all.",
    "a <CLASS> outdoors.",
    "a photo of a <CLASS>.",
    "a bad photo of the <CLASS> at night.",
    "a low resolution photo of a <CLASS> in a video game.",
    "a close-up of one <CLASS> with its background out of focus.",
    "the image shows a <CLASS> in the middle, with nothing else around it.",
    "an amateur photo of a <CLASS> that was taken through the window of a moving car.",
    "this is a very small image in which a <CLASS> can be seen, with many colours and no text in it.",
    "one small <CLASS>",
    "a drawing of the <CLASS>",
    "a cropped photo of my <CLASS>",
    "itap of a very nice and clean <CLASS>",
    "a jpeg corrupted photo of one of the many <CLASS>",
    "in the middle of the image, between the trees, there is a <CLASS>",
    "a painting in bright colours, made by a child at school, of what must be a <CLASS>",
    "there are many things in this photo of a room but what you should look for is the hidden <CLASS>",
)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # "no pretrained weights": random ones are intended
    architecture = "ViT-S-32-alt" if options.small else "ViT-B-16"
    model = open_clip.create_model(architecture).eval()
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    names = open_clip.IMAGENET_CLASSNAMES[:: 100 if options.small else 10]
    templates = TEMPLATES[::8] if options.small else TEMPLATES
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
    found = {
        "model": architecture,
        "path": path,
        "largest_difference": difference,
        "ratio_geometric_mean": round(statistics.geometric_mean(ratios.values()), 2),
        "lowest_ratio": min(ratios.values()),
        "highest_over_matmul": round(max(over_matmul), 3),
        "ratios": ratios,
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
    }
    print(json.dumps(found))
    if difference > 1e-5:
        raise SystemExit(f"the largest difference is {difference}")


def alternate(repeats: int, **things: Callable[[], Any]) -> dict[str, float]:
    """Time things in turn, so that a change of the machine's load affects all alike: median CPU seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(repeats):
        for name, thing in things.items():
            started = time.process_time()
            thing()
            seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


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
