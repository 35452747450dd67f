"""DSPy's `Evaluate`, picture by picture, against the reward, in one batch, on templates not met before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import dspy
import torch

from benchmarks.common import alternate, arguments, report
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs import TemplateClassifier
from ipo_prompts.programs.templates.for_dspy import clip_accuracy

ADJECTIVES = ("dark", "pale", "small", "large", "old", "new", "blurry", "plain", "flat", "round")
MEDIA = ("photo", "sketch", "icon", "negative", "painting", "drawing", "print", "collage", "poster", "scan")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, threads={"type": int, "default": 1, "help": "torch's; set OMP_NUM_THREADS too"})
    torch.set_num_threads(options.threads)
    dspy.disable_logging()
    counts = (8,) if options.small else (68, 272)
    repeats = 2 if options.small else max(options.repeats, 15)
    clip = load_clip("embedded", "cpu")
    data = load_data("embedded:a", seed=0)
    new = (f"a {adjective} {medium} of a <CLASS>." for adjective, medium in product(ADJECTIVES, MEDIA))
    ratios: dict[str, float] = {}
    unkept: dict[str, float] = {}
    seconds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        reward = ClipReward(clip, data.class_names, FeatureStore(clip, Path(folder)))
        for count in counts:
            items = data.test[:count]
            pictures = reward.encode([item.picture for item in items], [item.label for item in items])
            examples = [
                dspy.Example(image=item.picture, label=data.class_names[item.label]).with_inputs("image")
                for item in items
            ]
            program = TemplateClassifier(clip, data.class_names)
            evaluate = dspy.Evaluate(devset=examples, metric=clip_accuracy, num_threads=1)
            accuracy = reward.score([program.template], pictures)[0].value
            # The first time its pictures are encoded, as the reward's were.
            assert evaluate(program).score == round(100 * accuracy, 2), "the two ways differ"

            def by_dspy(program: Any = program, evaluate: Any = evaluate) -> None:
                program.signature = program.signature.with_instructions(next(new))
                evaluate(program)

            found = alternate(
                repeats,
                evaluate=by_dspy,
                reward=partial(_on_next, reward.score, new, pictures),
                unkept=partial(_on_next, reward.score_batch, new, pictures),
            )
            ratios[str(count)] = round(found["evaluate"] / found["reward"], 2)
            unkept[str(count)] = round(found["evaluate"] / found["unkept"], 2)
            seconds[str(count)] = {name: round(value, 4) for name, value in found.items()}
    report(
        "evaluate", ratio=ratios, ratio_unkept=unkept, seconds=seconds, classes=len(data.class_names), repeats=repeats
    )


def _on_next(do: Callable[[list[str], Any], Any], templates: Iterator[str], pictures: Any) -> Any:
    return do([next(templates)], pictures)


if __name__ == "__main__":
    main()
