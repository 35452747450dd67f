"""Several labels a picture: what a search gains in mAP on made pictures, and whether its interval covers as it should.

Prints Markdown tables:

- gains: pictures of one to three of the shipped drawings side by side under a transformation, at most one of a class.
  Drawings of train make the search pictures, drawings of val the selection pictures, drawings of test the test
  pictures. Compares the initial template and the one that `compose` found, by ranking precision and by mAP.
- coverage: scores of simulated pictures; how often the 95 % interval of the difference in mAP holds the difference of
  200,000 pictures.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np
from PIL import Image

from benchmarks.common import arguments
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.metrics.classification import logits_of
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.several import SeveralLabels, compare_precision, mean_precision
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.optimizer import IPO

SETS = "embedded,sepia,upside-down,zoom+pixel"
SIDE = 48


def composed(items: Sequence[Item], count: int, names: Sequence[str], rng: np.random.Generator) -> list[dspy.Example]:
    """Return made pictures: each of one to three drawings of different classes, side by side on white."""
    found = []
    for number in range(count):
        shown = int(rng.integers(1, 4))
        chosen: dict[int, Item] = {}
        for i in rng.permutation(len(items)):
            if len(chosen) < shown:
                chosen.setdefault(items[i].label, items[i])
        picture = Image.new("RGB", (2 * SIDE, 2 * SIDE), "white")
        for place, item in zip(rng.permutation(4), chosen.values(), strict=False):
            part = item.picture.image().resize((SIDE, SIDE))
            picture.paste(part, (SIDE * int(place % 2), SIDE * int(place // 2)))
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        image = Picture.from_bytes(f"made {number}", buffer.getvalue())
        found.append(dspy.Example(image=image, label=[names[label] for label in chosen]).with_inputs("image"))
    return found


def gain(clip_name: str, spec: str, classes: int, counts: tuple[int, int, int], steps: int, seed: int) -> str:
    """Search on made pictures and compare on sealed ones; return a row."""
    clip = load_clip(clip_name)
    data = load_data(spec if spec == "embedded" else f"embedded:{spec}", seed=0)
    names = data.class_names[:classes]
    seen, chosen, sealed = ([one for one in part if one.label < classes] for part in (data.train, data.val, data.test))
    rng = np.random.default_rng(seed)
    search, held_back = composed(seen, counts[0], names, rng), composed(chosen, counts[1], names, rng)
    reward = SeveralLabels(clip, names)
    program = IPO(reward=reward, lm="none", describer="none", steps=steps, seed=seed).compile(
        TemplateClassifier(clip, names), trainset=search, valset=held_back
    )
    units = reward.examples(composed(sealed, counts[2], names, rng))
    templates = ["a photo of a <CLASS>.", program.template]
    scores, how = reward.score(templates, units), Sampling.of(len(units))
    assert units.shown is not None
    logits = [logits_of(clip, units.features, rows) for rows in reward.texts.encode(templates, names)]
    first, _, gain = compare_precision(logits[0], logits[1], units.shown, how)
    ranked = scores[1].value - scores[0].value
    spread = 1.96 * np.sqrt(paired_variance(scores[0].hits, scores[1].hits, how))
    least = int(units.shown.sum(axis=0).min())
    return (
        f"| {clip_name} | {spec} | {least} | {100 * scores[0].value:.1f} | {100 * ranked:+.1f} "
        f"[{100 * (ranked - spread):+.1f}, {100 * (ranked + spread):+.1f}] | {100 * first.mean:.1f} "
        f"| {100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] "
        f"| {program.template} |"
    )


def paired_variance(before: Any, after: Any, how: Sampling) -> float:
    """Return the variance of the mean difference."""
    return how.these(after - before).value


def coverage(pictures: int, classes: int, runs: int, population: int) -> str:
    """Simulate scores of two templates; return a row: how often the interval holds the difference of many pictures."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> tuple[Any, Any, Any]:
        shown = rng.random((n, classes)) < 0.12
        common = rng.normal(size=(n, classes))
        before = 0.8 * shown + common + 0.5 * rng.normal(size=(n, classes))
        after = 0.9 * shown + common + 0.5 * rng.normal(size=(n, classes))
        return before.astype(np.float32), after.astype(np.float32), shown

    before, after, shown = drawn(population)
    true = float(mean_precision(after, shown)[0] - mean_precision(before, shown)[0])
    held = 0
    for _ in range(runs):
        before, after, shown = drawn(pictures)
        ends = compare_precision(before, after, shown, Sampling.of(pictures), resamples=500)[2]
        held += ends.low <= true <= ends.high
    return f"| {pictures} | {classes} | {100 * true:+.2f} | {100 * held / runs:.1f} % of {runs} |"


def main() -> None:
    """Print the tables."""
    options = arguments(
        __doc__,
        sets={"default": SETS, "help": "shipped sets, by commas"},
        clips={"default": "embedded", "help": "CLIPs, by commas"},
        runs={"type": int, "default": 1000, "help": "simulated samples"},
    )
    small = options.small
    sets, classes, counts = options.sets.split(","), 15, (120, 60, 400)
    if small:
        sets, classes, counts = sets[:1], 4, (8, 4, 12)
    print("| CLIP | set | fewest positives | initial, ranking | gain | initial, mAP | gain | template |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for clip in options.clips.split(","):
        for spec in sets:
            print(gain(clip, spec, classes, counts, 1 if small else 12, 0), flush=True)
    print("\n| pictures | classes | true difference | interval holds it |\n| ---: | ---: | ---: | ---: |")
    for pictures in (100, 400):
        print(coverage(pictures, 15, 5 if small else options.runs, 2_000 if small else 200_000), flush=True)


if __name__ == "__main__":
    main()
