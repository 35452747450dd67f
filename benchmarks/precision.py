"""What half precision would do to a search with the demo CLIP: speed, and how the order of templates changes."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import alternate, arguments, report
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import logits_of
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.text_tower import encode_templates


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, threads={"type": int, "default": 1, "help": "torch threads"})
    torch.set_num_threads(options.threads)
    data = load_data("embedded", seed=0)
    items = data.train[:: 20 if options.small else 1]
    card = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))
    templates = card["templates"][:: 20 if options.small else 1]
    exact = load_clip("embedded")
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    clips = {"float32": exact} | {name: _cast(exact, dtype) for name, dtype in half.items()}
    pictures = {name: clip.encode_pictures([item.picture for item in items]) for name, clip in clips.items()}
    texts = {n: encode_templates(c.model, c.tokenizer, templates, data.class_names) for n, c in clips.items()}
    seconds = alternate(
        1 if options.small else options.repeats,
        **{
            name: lambda clip=clip: encode_templates(clip.model, clip.tokenizer, templates[:5], data.class_names)
            for name, clip in clips.items()
        },
    )
    labels = np.array([item.label for item in items])
    found: dict[str, Any] = {}
    for name in half:
        found[name] = {
            "text_time_to_float32": round(seconds[name] / seconds["float32"], 2),
            "largest_difference": float(np.abs(texts[name] - texts["float32"]).max()),
            **_order(
                _ranks(exact, pictures["float32"], texts["float32"], labels),
                _ranks(exact, pictures[name], texts[name], labels),
            ),
        }
    report("precision", templates=len(templates), pictures=len(items), **found, repeats=options.repeats)


def _cast(clip: Clip, dtype: torch.dtype) -> Clip:
    model = copy.deepcopy(clip.model).to(dtype)
    preprocess = clip.preprocess
    return Clip(clip.name, model, lambda picture: preprocess(picture).to(dtype), clip.tokenizer)


def _ranks(clip: Clip, features: Floats, texts: Floats, labels: npt.NDArray[Any]) -> list[tuple[float, float]]:
    """Return (accuracy, -loss) of each template: the order of a search."""
    ranks = []
    for classes in texts:
        logits = logits_of(clip, features, classes).astype(np.float64)
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
        ranks.append((float((logits.argmax(axis=1) == labels).mean()), -float(losses.mean())))
    return ranks


def _order(exact: list[tuple[float, float]], half: list[tuple[float, float]]) -> dict[str, Any]:
    pairs = [(i, j) for i in range(len(exact)) for j in range(i)]
    swapped = sum((exact[i] > exact[j]) != (half[i] > half[j]) for i, j in pairs)
    changes = [abs(one[0] - other[0]) for one, other in zip(exact, half, strict=True)]
    return {"pairs_in_another_order": swapped, "pairs": len(pairs), "largest_change_of_accuracy": max(changes)}


if __name__ == "__main__":
    main()
