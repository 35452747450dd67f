"""What the settings of a table's rows did, told by held-back pictures: the sealed test chooses no setting."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from ipo_prompts.experiments.compare.tables.entries import EMPTY, verdict_of
from ipo_prompts.experiments.compare.tables.table import Table
from ipo_prompts.metrics.verdict import points

SHOWN = 8
"""Numbers of one setting that each get a line; of more the rank correlation with the gain is told."""
GAIN = "gain on held-back pictures"


def by_settings(table: Table, own: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[list[str]]]]:
    """Return two tables, each as what it is and its lines, the head first; none where no rows can be compared so.

    Args:
        table: any table.
        own: label → what is set in the rows to compare, by name.
    """
    scope = (table.averages or table.scopes)[0].name
    found = [one for one in table.searches if one.scope == scope and one.method in own]
    gains = {one.method: one.gain_held_back for one in found if one.gain_held_back is not None}
    values = {name: {row: own[row].get(name, EMPTY) for row in gains} for row in gains for name in own[row]}
    varied = {name: of for name, of in values.items() if len(set(map(str, of.values()))) > 1}
    if not varied:
        return []
    tests = {
        gain.method: gain.verdict
        for gain in table.gains
        if (gain.scope, gain.other, gain.column) == (scope, table.reference, table.headline)
    }
    rows = [["row", GAIN, f"gain in {table.headline} over {table.reference}"]]
    for row in sorted(gains, key=lambda row: -gains[row]):
        rows.append([row, points(gains[row]), verdict_of(tests.get(row))])
    effects = [["setting", "value", "rows", GAIN]]
    for name, of in varied.items():
        effects += [[name, *entries] for entries in _effect(of, gains)]
    return [
        ("Rows by what their searches gained on held-back pictures, by which to choose; the test only confirms:", rows),
        ("What each setting did, the mean over the rows that have it:", effects),
    ]


def _effect(of: Mapping[str, Any], gains: Mapping[str, float]) -> list[list[str]]:
    """Return value, number of rows and gain of each value of a setting, or how many numbers go with the gain."""
    values = list(dict.fromkeys(of.values() if all(isinstance(v, (int, float)) for v in of.values()) else ()))
    if len(values) > SHOWN:
        from scipy.stats import spearmanr

        rank = spearmanr([of[row] for row in gains], list(gains.values())).statistic
        return [[f"{min(values)} to {max(values)}", str(len(gains)), f"rank correlation {rank:+.2f}"]]
    groups: dict[str, list[float]] = {}
    for row, gain in gains.items():
        groups.setdefault(str(of[row]), []).append(gain)
    return [[value, str(len(group)), points(fmean(group))] for value, group in groups.items()]
