"""Offsets on the embedded pictures: what they add to two templates, where they do harm, and what a run keeps of them.

For each set: the initial template and the best of CLIP's 80 (chosen as a run chooses, without offsets), each without
offsets, with centring offsets and with prior offsets of the search and selection pictures. Then the result of a run
over the 80 with either kind, and whether the run kept the offsets. Then the initial template with offsets of as many
unlabelled pictures whose classes follow Zipf's law (drawn with replacement), mean of five orders of the classes; and on
new classes with centring by base pictures. Prints one table, test accuracy in percent. A set has no more pictures than
one run takes, so another seed is no other draw.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments
from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, plan
from ipo_prompts.experiments.run.prepared import Prepared, prepare
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.searching import SearchedRun, search_in
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.offsets import Fitted, fitted
from ipo_prompts.metrics.template import BASELINE, imagenet_templates
from ipo_prompts.programs.record.journal import Journal

COLUMNS = (
    *(
        "baseline",
        "+ centring",
        "+ prior",
        "best of 80",
        "+ centring ",
        "+ prior ",
        "run, centring",
        "kept",
        "run, prior",
        "kept ",
    ),
    *("Zipf: + centring", "Zipf: + prior", "new: baseline", "new: + centring"),
)
ORDERS = 5
QUIET = Ui(1, quiet=True)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, sets={"default": "a,b,c,d", "help": "names after `embedded:`"})
    sets = ["a"] if options.small else options.sets.split(",")
    clip = load_clip("embedded")
    print("| set |", " | ".join(column.strip() for column in COLUMNS), "|")
    print("| --- |", " | ".join("---" for _ in COLUMNS), "|")
    with tempfile.TemporaryDirectory() as folder:
        templates = imagenet_templates()[: 8 if options.small else None]
        (Path(folder) / "80.txt").write_text("\n".join(templates), encoding="utf-8")
        for name in sets:
            row = measure(name, clip, Path(folder))
            print(f"| {name} |", " | ".join(row[column] for column in COLUMNS), "|", flush=True)


def measure(name: str, clip: Clip, folder: Path) -> dict[str, str]:
    """Return the text of each column."""
    prepared, plain = searched(name, clip, folder)
    best = plain.result.choice.template
    known = features(prepared, (*prepared.plan.drawn.search, *prepared.plan.drawn.selection))
    zipf = [features(prepared, zipf_drawn(prepared, order)) for order in range(ORDERS)]
    mean, prior = fitted("centring", known), fitted("prior", known)
    row = {
        "baseline": accuracy(prepared, BASELINE),
        "+ centring": accuracy(prepared, BASELINE, mean),
        "+ prior": accuracy(prepared, BASELINE, prior),
        "best of 80": accuracy(prepared, best),
        "+ centring ": accuracy(prepared, best, mean),
        "+ prior ": accuracy(prepared, best, prior),
        "Zipf: + centring": float(np.mean([accuracy(prepared, BASELINE, fitted("centring", one)) for one in zipf])),
        "Zipf: + prior": float(np.mean([accuracy(prepared, BASELINE, fitted("prior", one)) for one in zipf])),
    }
    kept = {}
    for kind, column in (("centring", "kept"), ("prior", "kept ")):
        asked, found = searched(name, clip, folder, f"offsets={kind}")
        assert found.settled is not None
        kept[column] = "yes" if found.settled.kept else "no"
        row[f"run, {kind}"] = accuracy(asked, found.result.choice.template, found.settled.kept)
    base = prepare(plan(config(name, folder, "classes=base-to-new")), QUIET, clip)
    drawn = base.plan.drawn
    of_base = fitted("centring", features(base, (*drawn.search, *drawn.selection)))
    row["new: baseline"], row["new: + centring"] = (accuracy(base, BASELINE, how, new=True) for how in (None, of_base))
    return {column: f"{100 * value:.1f}" for column, value in row.items()} | kept


def config(name: str, folder: Path, *more: str) -> Any:
    """Return the settings of a run over the list of templates."""
    listed = ("strategy=list", f"strategy.file={folder / '80.txt'}", "steps=1", "candidates_per_step=80")
    return load_config(None, [f"data=embedded:{name}", "lm=none", "describer=none", *listed, *more])


def searched(name: str, clip: Clip, folder: Path, *more: str) -> tuple[Prepared, SearchedRun]:
    """Search in a folder of its own."""
    prepared = prepare(plan(config(name, folder, *more)), QUIET, clip)
    with closing(Journal(folder / "-".join((name, *more)))) as journal:
        return prepared, search_in(prepared, journal, QUIET)


def features(prepared: Prepared, items: tuple[Item, ...]) -> Any:
    """Return the features of pictures: float32 (n, D)."""
    return prepared.store.encode([item.picture for item in items])


def zipf_drawn(prepared: Prepared, order: int) -> tuple[Item, ...]:
    """Draw as many pictures as a run has, with replacement, class k of a random order in proportion to 1/k."""
    rng = np.random.default_rng(order)
    drawn = prepared.plan.drawn
    pool = (*drawn.search, *drawn.selection)
    place = rng.permutation(len(drawn.class_names))
    share = np.array([1 / (1 + place[item.label]) for item in pool])
    return tuple(pool[i] for i in rng.choice(len(pool), len(pool), p=share / share.sum()))


def accuracy(prepared: Prepared, template: str, offsets: Fitted | None = None, *, new: bool = False) -> float:
    """Return the accuracy of a template on the test pictures, those of new classes with `new`."""
    planned, drawn = prepared.plan, prepared.plan.drawn
    names, items = (drawn.new_class_names, drawn.new_test) if new else (drawn.class_names, drawn.test)
    reward = planned.task.reward(prepared.clip, names, prepared.store)
    units: Any = planned.task.encode(reward, items, seed=SPLIT_SEED).units
    return reward.score([template], replace(units, offsets=offsets))[0].value


if __name__ == "__main__":
    main()
