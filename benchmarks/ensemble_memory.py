"""Peak memory of an ensemble of 80 templates over 1,000 classes, above the model (Linux)."""

from __future__ import annotations

import time

import open_clip
import torch

from benchmarks.common import arguments, memory, memory_from_here, report
from ipo_prompts.metrics.text_tower import encode_ensemble, text_path


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        threads={"type": int, "default": 1, "help": "torch threads"},
        model={"default": "ViT-B-16", "help": "open_clip architecture; random weights"},
        layers={"type": int, "default": 2, "help": "blocks of the tower: memory does not depend on it"},
    )
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    name = "ViT-S-32-alt" if options.small else options.model
    config = open_clip.get_model_config(name)
    vision = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1}
    model = open_clip.CLIP(config["embed_dim"], vision, {**config["text_cfg"], "layers": options.layers}).eval()
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    names = open_clip.IMAGENET_CLASSNAMES[: 50 if options.small else 1000]
    templates = [template("<CLASS>") for template in open_clip.OPENAI_IMAGENET_TEMPLATES[: 10 if options.small else 80]]
    path = text_path(model)
    encode_ensemble(model, tokenizer, [(templates[0], 1.0), (templates[1], 1.0)], names[:10])  # libraries' own buffers

    before, started = memory_from_here(), time.perf_counter()
    result = encode_ensemble(model, tokenizer, [(template, 1.0) for template in templates], names)
    seconds, above = time.perf_counter() - started, memory("VmHWM") - before
    report(
        "ensemble_memory",
        model=name,
        layers=options.layers,
        path=path,
        megabytes_above_the_model=round(above / 1e6, 1),
        megabytes_of_all_embeddings=round(len(templates) * result.nbytes / 1e6, 1),
        classes=len(names),
        templates=len(templates),
        seconds=round(seconds, 2),
        repeats=1,
    )


if __name__ == "__main__":
    main()
