"""A table for machines: tidy CSV and JSON. Percent and points; rounded so that the same cells give the same bytes."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ipo_prompts.experiments.compare.tables.quantities import ColumnScore
from ipo_prompts.experiments.compare.tables.table import MethodGain, SearchCost, Table
from ipo_prompts.metrics.verdict import Verdict

_ABOUT = ("protocol", "data", "split", "method", "origin", "column", "measure", "unit", "seeds", "labelled_per_class")
_SCORE = [field.name for field in fields(ColumnScore)]
_GAIN = ("gain", "low", "high", "p", "p_corrected", "comparisons", "outcome")
_SEARCH = [field.name for field in fields(SearchCost)][2:]
_NOT_IN_PERCENT = {"p", "p_corrected", "proposals", "looked_at", "calls", "tokens_in", "tokens_out", "usd"}


def to_json(table: Table) -> str:
    """Return everything as JSON; percent and points."""
    content = {
        "schema": 1,
        **vars(table),
        "scopes": [vars(scope) for scope in table.scopes],
        "rows": [
            {**vars(row), "scores": {column: score and _rounded(vars(score)) for column, score in row.scores.items()}}
            for row in table.rows
        ],
        "gains": [_gain(gain) for gain in table.gains],
        "searches": [_rounded(vars(search)) for search in table.searches],
        "published": [row._asdict() for row in table.published],
    }
    del content["references"]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(table: Table) -> str:
    """Return tidy rows: one per method, data set and column; percent and points."""
    file = io.StringIO()
    gain_names = [f"{name}_over_{other}" for other in table.references for name in _GAIN]
    head = [*_ABOUT, *_SCORE, *gain_names, *_SEARCH, "remark"]
    writer = csv.DictWriter(file, head, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    shared = {"protocol": table.protocol, "measure": _text(table.measure), "unit": _text(table.unit)}
    splits = {scope.name: scope.split for scope in table.scopes}
    gains = {(gain.scope, gain.method, gain.column, gain.other): gain for gain in table.gains}
    searches = {(search.scope, search.method): _rounded(vars(search)) for search in table.searches}
    for row in table.rows:
        names = {"data": row.scope, "split": splits[row.scope], "method": row.method, "remark": row.absent}
        record = {**searches.get((row.scope, row.method), {}), **shared, "origin": "ours"}
        record |= {"seeds": row.seeds, "labelled_per_class": row.labelled_per_class}
        for column in table.columns:
            score = row.scores.get(column)
            if row.scores and score is None:
                continue
            numbers = _rounded(vars(score)) if score else {}
            for other in table.references:
                gain = gains.get((row.scope, row.method, column, other))
                if gain:  # as the interval of the row's own score: for the classes and data sets as given
                    compared = _verdict(gain.verdict)
                    numbers |= {f"{name}_over_{other}": value for name, value in compared.items()}
            texts = {name: _text(text) for name, text in {**names, "column": column}.items()}
            writer.writerow({**record, **numbers, **texts})
    for published in table.published:
        remark = " ".join(filter(None, [published.source + ".", published.note]))
        names = {"data": _text(published.data or "average"), "split": "official", "method": published.label}
        for column, value in published.values.items():
            record = {**shared, **names, "origin": "published", "column": column, "remark": remark}
            writer.writerow({**record, "value": value})
    return file.getvalue()


def _gain(gain: MethodGain) -> dict[str, Any]:
    return {
        **{name: getattr(gain, name) for name in ("scope", "method", "other", "column", "seeds")},
        **_verdict(gain.verdict),
        "like_these": gain.like_these and _verdict(gain.like_these),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """The numbers of a verdict; `detectable` is None where nothing was compared or could be shown."""
    numbers = verdict.model_dump(exclude={"mean", "ci95", "detectable"})
    low, high = verdict.ci95
    detectable = verdict.detectable or None
    return _rounded({"gain": verdict.mean, "low": low, "high": high, "detectable": detectable, **numbers})


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fractions as percent with four decimals, far below any interval, other floats with six; no number is None."""
    return {name: _number(name, value) if isinstance(value, float) else value for name, value in values.items()}


def _number(name: str, value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return round(value, 6) if name in _NOT_IN_PERCENT else round(100 * value, 4) + 0.0


def _text(text: str) -> str:
    """A user's text that no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
