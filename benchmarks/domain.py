"""What a word for all classes gains if it is given: ", a type of food" on sets of food, by CLIPs with ambiguous names.

No search and no choice: each word is put into the baseline template, and all base images of a set are named with it.
The rows are the right word in three forms, and controls: the words of the other domains, of what else bears the shared
names, nouns that captions say at random, and "thing". Gains are in points over the baseline template, with crossed
intervals over CLIPs, domains and shifts; in brackets the mean on classes with a shared name, and on the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import arguments
from benchmarks.lab.bed import CLEAN, DOMAINS, SHIFTED
from benchmarks.lab.cells import OPTION, Cells, short
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates

FORMS = ("a photo of a <CLASS>, a type of WORD.", "a photo of a <CLASS>, WORD.", "a WORD photo of a <CLASS>.")
RIGHT = "right word, a type of"
"""The row of the right word in its usual form."""
SHIFTS = ("sideways+blur", "zoom+dark", "upside-down+sepia")
SEEDS = (1, 2)
NOTHING = ("texture", "pattern", "letter", "disease", "cell", "fabric", "rock", "room", "sport", "sign")
"""Nouns that captions of the CLIPs with ambiguous names say at random (`tools/embedded/kinds.yaml`)."""
Gains = dict[str, tuple[float, float, float]]
"""Row → the gain on all classes, on those with a shared name, and on the others, in points; NaN if there are none."""


def main() -> None:
    """Measure what the file of cells lacks, and print a table for each kind of set."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        found = gains_of(cells, options.clips.split(","), (CLEAN,) if options.small else (CLEAN, *SHIFTS))
    for line in table(found):
        print(line)


def gains_of(
    cells: Cells, clips: Sequence[str], shifts: Sequence[str] = (CLEAN, *SHIFTS)
) -> dict[tuple[str, ...], Gains]:
    """Return the gains on each set: the CLIP, the word of the domain, and the shift → the gains."""
    return {
        key: cells.of(key, partial(measured, clip, base, shift))
        for clip in clips
        for base in (*DOMAINS, "")
        for shift in shifts
        for key in [(short(clip), base, shift)]
    }


def measured(spec: str, base: str, shift: str) -> Gains:
    """Return the gains of all rows on a set, over all its base images; shifted ones are rendered with each seed."""
    clip, folder = load_clip(spec), Path(spec.removeprefix("local-dir:"))
    names = folder / "names.json"
    drawn = json.loads(names.read_text("utf-8")) if names.exists() else {"shared": [], "foreign": {}}
    features, labels = [], []
    for seed in SEEDS[: 1 if shift == CLEAN else None]:
        data = load_data(f"{SHIFTED}{base}{'/' * bool(base)}{shift}@{seed}", seed=0)
        items = [*data.train, *data.val, *data.test]
        features.append(FeatureStore(clip).encode([item.image for item in items]))
        labels += [item.label for item in items]
    rows = dict(rows_of(base, [word for name in drawn["shared"] for word in drawn["foreign"].get(name, ())]))
    templates = [BASELINE, *dict.fromkeys(chain(*rows.values()))]
    texts = encode_templates(clip.model, clip.tokenizer, templates, data.class_names)
    seen, truth = np.concatenate(features), np.array(labels)
    hits = {one: (seen @ row.T).argmax(1) == truth for one, row in zip(templates, texts, strict=True)}
    shared = np.isin(truth, [i for i, name in enumerate(data.class_names) if name in drawn["shared"]])
    accuracy = 100 * hits[BASELINE]
    gains = {"baseline": _parts(accuracy, shared)}
    for row, its in rows.items():
        gains[row] = _parts(100 * np.mean([hits[one] for one in its], axis=0) - accuracy, shared)
    return gains


def rows_of(base: str, foreign: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row of a set, and its templates, over which the gain is a mean."""
    usual = FORMS[0]
    others = [word for word in DOMAINS if word != base]
    if base:
        yield RIGHT, [usual.replace("WORD", base)]
        yield "right word, other forms", [form.replace("WORD", base) for form in FORMS[1:]]
    yield "words of other domains", [usual.replace("WORD", word) for word in others]
    if words := sorted({word for word in foreign if word != base}):
        yield "words of what else is called so", [usual.replace("WORD", word) for word in words]
    yield "nouns said at random", [usual.replace("WORD", word) for word in NOTHING]
    yield "thing", [usual.replace("WORD", "thing")]


def _parts(values: Doubles, shared: NDArray[np.bool_]) -> tuple[float, float, float]:
    whole, of_shared, others = (
        float(values[mask].mean()) if mask.any() else float("nan") for mask in (shared | ~shared, shared, ~shared)
    )
    return whole, of_shared, others


def table(found: dict[tuple[str, ...], Gains]) -> Iterator[str]:
    """Yield the lines of a table: rows by kinds of sets."""
    kinds: dict[str, Callable[[str, str], bool]] = {
        "one domain, clean": lambda base, shift: bool(base) and shift == CLEAN,
        "one domain, shifted": lambda base, shift: bool(base) and shift != CLEAN,
        "mixed, clean": lambda base, shift: not base and shift == CLEAN,
        "mixed, shifted": lambda base, shift: not base and shift != CLEAN,
    }
    yield "| row | " + " | ".join(kinds) + " |"
    yield "| --- " * (len(kinds) + 1) + "|"
    rows = dict.fromkeys(row for gains in found.values() for row in gains)
    for row in rows:
        cells = []
        for is_kind in kinds.values():
            of = {key: gains[row] for key, gains in found.items() if is_kind(key[1], key[2]) and row in gains}
            cells.append(_told(of, row) if of else "–")
        yield f"| {row} | " + " | ".join(cells) + " |"


def _told(of: dict[tuple[str, ...], tuple[float, float, float]], row: str) -> str:
    whole, shared, others = (np.array([one[i] for one in of.values()]) for i in range(3))
    signed = "" if row == "baseline" else "+"
    parts = "; ".join(f"{np.nanmean(part):{signed}.1f}" for part in (shared, others) if not np.isnan(part).all())
    interval = ""
    if row != "baseline" and len(whole) > 1:
        low, high = crossed_interval(whole, list(zip(*of, strict=True)))
        interval = f" [{low:+.1f}, {high:+.1f}]"
    return f"{whole.mean():{signed}.1f}{interval} ({parts})"


if __name__ == "__main__":
    main()
