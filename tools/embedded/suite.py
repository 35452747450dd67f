"""Chooses the suite of shifts and its held-out half by a rule, written down before any search was run on them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.lab import bed
from ipo_prompts.experiments.embedded.shifts import GEOMETRIC, TRANSFORMATIONS, name_of_set
from ipo_prompts.metrics.template import BASELINE
from tools.embedded.measure import Shipped, hits

Pair = tuple[str, str]

OTHERS: Final = TRANSFORMATIONS[len(GEOMETRIC) :]
PAIRS: Final[list[Pair]] = [(geometric, other) for geometric in GEOMETRIC for other in OTHERS]
LEAST: Final = 0.08
"""If the baseline template names fewer images rightly, the CLIP sees next to nothing, and words can find little."""
KNOWN: Final[frozenset[Pair]] = frozenset(
    {
        *(("upside down", other) for other in ("gray", "faded", "negative")),
        *(("sideways", other) for other in ("sepia", "hue", "faded", "edge", "negative", "dark")),
        *((geometric, "negative") for geometric in ("zoom", "small")),
    }
)
"""Pairs on which searches were run before there was a suite: they can confirm nothing, and are left out."""
RULE: Final = (
    f"All pairs of a geometric transformation ({', '.join(GEOMETRIC)}) and another one on which no search was run "
    f"before and the shipped CLIP names more than {LEAST:.0%} of the validation images right with {BASELINE!r}; "
    "those are held out whose positions, the geometric transformation's and the other's, have an odd sum."
)


def half(pair: Pair) -> str:
    """Return the half of the suite that a pair belongs to, if it is in the suite."""
    odd = (GEOMETRIC.index(pair[0]) + OTHERS.index(pair[1])) % 2 == 1
    return bed.SUITES["suite-held-out" if odd else "suite"]


def measure(out: Path) -> dict[Pair, float]:
    """Return the share of validation images of each pair that the baseline template names right, by shipped files."""
    shipped = Shipped(out)
    baseline = shipped.texts([BASELINE])
    return {pair: float(hits(shipped.shifted(pair, "val"), baseline).mean()) for pair in PAIRS if pair not in KNOWN}


def chosen(baseline: Mapping[Pair, float]) -> list[dict[str, Any]]:
    """Return the sets of the suite, from the result of ``measure``."""
    return [
        {"name": name_of_set(pair), "half": half(pair), "baseline": round(share, 4)}
        for pair, share in baseline.items()
        if share > LEAST
    ]


def write(out: Path) -> None:
    """Writes ``suite.json`` of the lab, one set a line; the files in ``out`` are measured."""
    sets = ",\n  ".join(map(json.dumps, chosen(measure(out))))
    text = f'{{\n "schema": 1,\n "rule": {json.dumps(RULE)},\n "sets": [\n  {sets}\n ]\n}}\n'
    bed.SUITE_FILE.write_text(text, "utf-8")
