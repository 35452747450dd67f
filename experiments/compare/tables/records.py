"""A table for machines: tidy CSV and JSON. Percent and points; rounded so that the same cells give the same bytes."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

from ipo.experiments.compare.tables.quantities import ColumnScore
from ipo.experiments.compare.tables.table import MethodGain, Row, SearchCost, Table
from ipo.metrics.evidence import Effect

SCHEMA = 1
_SCORE = ("value", "low", "high", "sd", "n", "groups")
_GAIN = ("gain", "low", "high", "p", "p_corrected", "comparisons")
_SEARCH = (
    "search",
    "selection",
    "test",
    "optimism",
    "proposals",
    "looked_at",
    "calls",
    "tokens_in",
    "tokens_out",
    "usd",
)


def to_json(table: Table) -> str:
    """Return everything as JSON, schema 1; percent and points."""
    content = {
        "schema": SCHEMA,
        "protocol": table.protocol,
        "measure": table.measure,
        "unit": table.unit,
        "reference": table.reference,
        "columns": list(table.columns),
        "headline": table.headline,
        "seeds": list(table.seeds),
        "scopes": [asdict(scope) for scope in table.scopes],
        "rows": [_row(row) for row in table.rows],
        "gains": [_gain(gain) for gain in table.gains],
        "searches": [{"scope": search.scope, "method": search.method, **_search(search)} for search in table.searches],
        "verdicts": list(table.verdicts),
        "notes": list(table.notes),
        "published": [row._asdict() for row in table.published],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(table: Table) -> str:
    """Return tidy rows: one per method, data set and column; percent and points."""
    file = io.StringIO()
    gain_names = [f"{name}_over_{other}" for other in table.references for name in _GAIN]
    writer = csv.writer(file, lineterminator="\n")
    about = ["protocol", "data", "split", "method", "origin", "column", "measure", "unit", "seeds"]
    writer.writerow([*about, *_SCORE, *gain_names, *_SEARCH, "remark"])
    splits = {scope.name: scope.split for scope in table.scopes}
    gains = {(gain.scope, gain.method, gain.column, gain.other): gain for gain in table.gains}
    searches = {(search.scope, search.method): _search(search) for search in table.searches}
    for row in table.rows:
        spent = searches.get((row.scope, row.method), {})
        for column in table.columns:
            score = row.scores.get(column)
            if row.scores and score is None:
                continue
            values = _score(score) if score else {}
            found = [gains.get((row.scope, row.method, column, other)) for other in table.references]
            compared = [cell for gain in found for cell in _gain_cells(gain)]
            writer.writerow(
                [table.protocol, _text(row.scope), _text(splits[row.scope]), _text(row.method), "ours"]
                + [_text(column), _text(table.measure), _text(table.unit), row.seeds]
                + [_cell(values.get(name)) for name in _SCORE]
                + compared
                + [_cell(spent.get(name)) for name in _SEARCH]
                + [_text(row.absent)]
            )
    for published in table.published:
        scope = published.data or "average"
        remark = " ".join(filter(None, [published.source + ".", published.note]))
        for column, value in published.values.items():
            start = [table.protocol, _text(scope), "official", published.label, "published", column]
            start += [_text(table.measure), _text(table.unit), ""]
            blank = [""] * (len(_SCORE) - 1 + len(gain_names) + len(_SEARCH))
            writer.writerow([*start, _cell(value), *blank, remark])
    return file.getvalue()


def _row(row: Row) -> dict[str, Any]:
    scores = {column: _score(score) if score else None for column, score in row.scores.items()}
    return {"scope": row.scope, "method": row.method, "seeds": row.seeds, "absent": row.absent, "scores": scores}


def _score(score: ColumnScore) -> dict[str, Any]:
    return {
        "value": _percent(score.value),
        "low": _percent(score.low),
        "high": _percent(score.high),
        "sd": _percent(score.sd),
        "n": score.n,
        "groups": score.groups,
    }


def _gain(gain: MethodGain) -> dict[str, Any]:
    return {
        "scope": gain.scope,
        "method": gain.method,
        "other": gain.other,
        "column": gain.column,
        "seeds": gain.seeds,
        "comparisons": gain.comparisons,
        **_effect(gain.effect, gain.corrected),
        "these_data_sets": None if gain.these is None else _effect(gain.these, gain.corrected_these),
    }


def _effect(effect: Effect, corrected: float | None) -> dict[str, Any]:
    return {
        "gain": _percent(effect.mean),
        "low": _percent(effect.low),
        "high": _percent(effect.high),
        "p": _six(effect.p),
        "p_corrected": _six(corrected),
        "test": effect.test,
        "detectable": _percent(effect.detectable) if effect.detectable else None,
    }


def _gain_cells(gain: MethodGain | None) -> list[str]:
    if gain is None:
        return [""] * len(_GAIN)
    # as the interval of the row's own score: for the data sets as given
    effect, corrected = (gain.effect, gain.corrected) if gain.these is None else (gain.these, gain.corrected_these)
    values = {**_effect(effect, corrected), "comparisons": gain.comparisons}
    return [_cell(values[name]) for name in _GAIN]


def _search(search: SearchCost) -> dict[str, Any]:
    percent = {name: _percent(getattr(search, name)) for name in _SEARCH[:4]}
    rest = {name: _six(getattr(search, name)) for name in _SEARCH[4:]}
    return {**percent, **rest}


def _percent(value: float | None) -> float | None:
    """Percent or points with four decimals: far below any interval; None where it is not a number."""
    return None if value is None or not math.isfinite(value) else round(100 * value, 4) + 0.0


def _six(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _text(text: str) -> str:
    """A user's text that no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
