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
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import dspy
import numpy as np
from PIL import Image

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, short, show
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.metrics.classification import logits_of
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.several import SeveralLabels, compare_precision, mean_precision
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.optimizer import IPO

SETS = "embedded,sepia,upside-down,zoom+pixel"
SIDE = 48
RUNS, POPULATION = 400, 200_000


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


def gain(clip: Clip, spec: str, classes: int, counts: tuple[int, int, int], steps: int, seed: int) -> dict[str, Any]:
    """Search on made pictures and compare on sealed ones.

    Returns:
        The template found; the fewest pictures that show a class; the hits of the initial and the found template,
        (2, n), by ranking precision; in % of mAP, the initial template's, the gain, and the ends of its interval.
    """
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
    return {
        "template": program.template,
        "positives": int(units.shown.sum(axis=0).min()),
        "hits": [[round(float(hit), 4) for hit in score.hits] for score in scores],
        "mAP": [round(100 * float(value), 6) for value in (first.mean, gain.mean, gain.low, gain.high)],
    }


def row_of(clip: str, spec: str, found: Any) -> str:
    """Return one line of the gains."""
    before, after = np.array(found["hits"])
    ranked = 100 * (after.mean() - before.mean())
    spread = 196 * np.sqrt(Sampling.of(len(before)).these(after - before).value)
    initial, more, low, high = found["mAP"]
    ranking = f"{100 * before.mean():.1f} | {ranked:+.1f} [{ranked - spread:+.1f}, {ranked + spread:+.1f}]"
    return (
        f"| {clip} | {'clean' if spec == 'embedded' else spec} | {found['positives']} | {ranking} | {initial:.1f} "
        f"| {more:+.1f} [{low:+.1f}, {high:+.1f}] | {found['template']} |"
    )


def coverage(pictures: int, classes: int, runs: int, population: int) -> tuple[float, int]:
    """Simulate scores of two templates; return the difference of many pictures, and how often the interval holds it."""
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
    return true, int(held)


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        sets={"default": SETS, "help": "shipped sets, by commas"},
        clips={"default": "embedded", "help": "CLIPs, by commas"},
        runs={"type": int, "default": RUNS, "help": "simulated samples"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        show(gains(cells, options.clips.split(","), options.sets, small=options.small))
        print()
        show(simulated(cells, 5 if options.small else options.runs, 2_000 if options.small else POPULATION))


def gains(cells: Cells, clips: Sequence[str], sets: str = SETS, *, small: bool = False) -> Iterator[str]:
    """Yield the lines of the table of gains."""
    yield "| CLIP | set | fewest positives | initial, ranking | gain | initial, mAP | gain | template |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    job: Any = (4, (8, 4, 12), 1, 0) if small else (15, (120, 60, 400), 12, 0)
    loaded = cache(load_clip)

    def measured(clip: str, spec: str) -> dict[str, Any]:
        return gain(loaded(clip), spec, *job)

    for clip in clips:
        for spec in sets.split(",")[: 1 if small else None]:
            found = cells.of((short(clip), spec), partial(measured, clip, spec))
            yield row_of(short(clip), spec, found)


def simulated(cells: Cells, runs: int = RUNS, population: int = POPULATION) -> Iterator[str]:
    """Yield the lines of the table of coverage."""
    yield "| pictures | classes | true difference | interval holds it |"
    yield "| ---: | ---: | ---: | ---: |"
    classes = 15
    for pictures in (100, 400):
        of = (pictures, classes, runs, population)
        true, held = cells.of(("simulated", *of), partial(coverage, *of))
        yield f"| {pictures} | {classes} | {100 * true:+.2f} | {100 * held / runs:.1f} % of {runs} |"


if __name__ == "__main__":
    main()
