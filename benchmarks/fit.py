"""Fit where labels are hidden: the lead of the best other template, and its gain as labels show it.

For each set the default search runs without a language model, on the pictures that a run with labels uses to search
and choose. The table has the lead of the best other template, in standard deviations of fit over the vocabulary and
with its words paid for, and whether the run takes a template. It also has the accuracy on the test pictures of the
initial template, of that best other one, of the template that the run takes, of the initial template with centring, and
of the template that the same search takes if it sees the labels, six a class. All is in percent. A threshold can be
calibrated on the table; nothing in it is a verdict.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, short, show
from ipo_prompts.experiments.data.draw import hidden
from ipo_prompts.experiments.data.load import without_labels
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan, fitting, plan
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.searching import search_in
from ipo_prompts.metrics.classification import ClipReward, fitted_on
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.programs.record.journal import Journal

SETS = ("a", "b", "c", "d", "upside-down+hue", "upside-down+edge", "upside-down+dark", "upside-down+blur")
COLUMNS = (
    *("set", "lead", "taken", "initial", "best other", "the run's", "initial, mean off", "by labels"),
    "the best other one",
)
QUIET = Ui(1, quiet=True)


def main() -> None:
    """Measure what the file of cells lacks, and print."""
    options = arguments(
        __doc__,
        sets={"default": ",".join(SETS), "help": "names after `embedded:`"},
        clip={"default": "embedded", "help": "as in ipo optimize"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        show(tables(cells, options.clip, options.sets.split(","), small=options.small))


def tables(cells: Cells, clip: str, sets: Sequence[str] = SETS, *, small: bool = False) -> Iterator[str]:
    """Yield the lines of the table."""
    loaded = cache(lambda: load_clip(clip))
    words = ["steps=1", "strategy.scored_templates=3", "shots=1"] if small else []
    for row in (COLUMNS, ["---"] * len(COLUMNS)):
        yield f"| {' | '.join(row)} |"
    for name in ["b"] if small else sets:
        lead, taken, *values, best = cells.of((short(clip), name), partial(measure, name, loaded, words))
        told = [name, f"{lead:.2f}", "yes" if taken else "no", *(f"{value:.1f}" for value in values), best]
        yield f"| {' | '.join(told)} |"


def measure(name: str, loaded: Callable[[], Clip], words: list[str]) -> list[Any]:
    """Return the values of the columns after the set."""
    clip = loaded()
    config = load_config(None, [f"data=embedded:{name}", "lm=none", *words])
    planned = plan(config)
    data = without_labels(planned.data, None)
    prepared = prepare(Plan(fitting(config, data), data, hidden(planned.drawn), None, None), QUIET, clip)
    with tempfile.TemporaryDirectory() as folder, closing(Journal(Path(folder))) as journal:
        result = search_in(prepared, journal, QUIET).result
    with tempfile.TemporaryDirectory() as folder, closing(Journal(Path(folder))) as journal:
        by_labels = search_in(prepare(planned, QUIET, clip), journal, QUIET).result.choice.template
    reward, initial = prepared.reward, result.history.initial
    assert isinstance(reward, Fit)
    best = max((one for one in result.history if one is not initial), key=lambda one: one.value)
    accuracy = ClipReward(clip, planned.drawn.class_names)
    test = planned.task.encode(accuracy, planned.drawn.test, seed=SPLIT_SEED).units
    templates = [initial.template, best.template, result.choice.template]
    values = [score.value for score in accuracy.score(templates, test)]
    off = replace(test, offsets=fitted_on("centring", prepared.search.units))  # type: ignore[type-var]
    values += [accuracy.score(templates[:1], off)[0].value, accuracy.score([by_labels], test)[0].value]
    lead = (best.value - initial.value) / reward.spread
    accuracies = [round(100 * value, 6) for value in values]
    return [round(lead, 6), not result.choice.kept_initial, *accuracies, best.template.replace("|", " ")]


if __name__ == "__main__":
    main()
