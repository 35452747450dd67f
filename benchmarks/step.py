"""One optimisation step, LLM excluded: the plain loop ÷ ours. 5 candidates, 50 classes, 16 shots.

The plain loop reloads nothing, but encodes the pictures and the padded texts for every candidate. Ours has encoded the
pictures before the first step.
"""

from __future__ import annotations

import io
import logging
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from benchmarks.common import alternate, arguments, report
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.template import fill

CANDIDATES = (
    "a photo of a <CLASS>, seen from above.",
    "a blurry picture of the <CLASS> on white",
    "itap of one <CLASS> outdoors.",
    "<CLASS>, a drawing with few colours.",
    "a small <CLASS> in the middle of the picture.",
)


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        threads={"type": int, "default": 1, "help": "torch threads"},
        model={"default": "ViT-B-16", "help": "open_clip architecture; random weights"},
        pictures={"type": int, "default": 32, "help": "pictures that the plain loop's picture time is measured on"},
    )
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # "no pretrained weights": random ones are intended
    name = "ViT-S-32-alt" if options.small else options.model
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    clip = Clip(name, model, preprocess, open_clip.get_tokenizer(name))
    classes, shots, measured = (4, 2, 2) if options.small else (50, 16, options.pictures)
    names = open_clip.IMAGENET_CLASSNAMES[:: 1000 // classes][:classes]
    total = classes * shots

    rng = np.random.default_rng(0)
    files = [_png(rng) for _ in range(measured)]
    features = rng.standard_normal((total, clip.encode_texts(["a"]).shape[1]), dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.arange(total) % classes
    pictures = EncodedPictures(features, labels)

    with tempfile.TemporaryDirectory() as folder:
        step = count()

        def plain_pictures() -> None:
            with torch.no_grad():
                for start in range(0, measured, 32):
                    batch = [preprocess(Image.open(io.BytesIO(file))) for file in files[start : start + 32]]
                    model.encode_image(torch.stack(batch), normalize=True)

        def plain_texts() -> None:  # of one candidate, and its score
            fills = [lambda name: fill(CANDIDATES[0], name)]
            weights = open_clip.build_zero_shot_classifier(model, clip.tokenizer, names, fills).numpy()
            logits = clip.logit_scale * features @ weights
            float((logits.argmax(1) == labels).mean())

        def ours() -> None:  # in a folder of its own: no embeddings are kept from the last time
            reward = ClipReward(clip, names, FeatureStore(clip, Path(folder, str(next(step)))))
            assert not any(reward.problem(template) for template in CANDIDATES)
            reward.score(CANDIDATES, pictures)

        ours()
        seconds = alternate(
            1 if options.small else options.repeats, pictures=plain_pictures, texts=plain_texts, ours=ours
        )
    plain = len(CANDIDATES) * (seconds["pictures"] * total / measured + seconds["texts"])
    report(
        "step",
        model=name,
        ratio=round(plain / seconds["ours"], 1),
        ratio_without_pictures=round(len(CANDIDATES) * seconds["texts"] / seconds["ours"], 1),
        seconds={"plain (pictures scaled up)": round(plain, 3), "ours": round(seconds["ours"], 4)},
        candidates=len(CANDIDATES),
        classes=classes,
        pictures=total,
        pictures_measured=measured,
        repeats=1 if options.small else options.repeats,
    )


def _png(rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    main()
