"""Makes the table of a grid from its cells, and the files of a table: Markdown, CSV and JSON.

Values in CSV and JSON are percent and points, rounded so that the same cells give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.compare.cell import shared_config
from ipo_prompts.experiments.compare.executors import Failure
from ipo_prompts.experiments.compare.grid import GridCell, GridConfig
from ipo_prompts.experiments.compare.layout import Block, Line, fitted_table, page, plain, terminal
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.published import ablations_of, published_rows, section
from ipo_prompts.experiments.compare.raw_cells import unpack, without_places
from ipo_prompts.experiments.compare.tables.markdown import EMPTY, details, on_terminal, to_markdown, verdict_text
from ipo_prompts.experiments.compare.tables.runs import ColumnScore
from ipo_prompts.experiments.compare.tables.table import COUNTS, Scope, Table, build_table
from ipo_prompts.experiments.compare.tables.words import notes, verdicts
from ipo_prompts.experiments.run.files import check_writable, write_text
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.verdict import Verdict, points

if TYPE_CHECKING:
    import pandas

ABOUT = ("protocol", "data", "split", "method", "over", "origin", "column", "measure", "unit", "seeds")
TOLD = ("protocol", "measure", "unit", "reference", "columns", "headline", "seeds")
GAIN = ["p", "p_corrected", "comparisons", "outcome"]
SEARCH = ["search", "selection", "test", "optimism", *COUNTS, "usd", "gain_held_back"]
NOT_IN_PERCENT = {"p", "p_corrected", "usd", *COUNTS}
SHOWN = 8
"""A setting with at most this many values gets a line for each value; with more numbers, one rank correlation."""
HELD_BACK = "gain on held-back pictures"


def outcomes_of(contents: Sequence[dict[str, Any] | Failure | None]) -> list[dict[str, Any] | str]:
    """Return the contents of cells, but for each cell that failed or was not run a text that says why it is missing."""

    def why(content: Failure | None) -> str:
        return "not run yet" if content is None else without_places(f"failed: {content.line}")

    return [content if isinstance(content, dict) else why(content) for content in contents]


def table_of(grid: GridConfig, found: Sequence[GridCell], outcomes: Sequence[dict[str, Any] | str]) -> Table | None:
    """Make the table of a grid.

    Args:
        grid: the grid.
        found: the entries of the grid.
        outcomes: for each entry the content of its `cell.json`, or a text that says why there is none.

    Returns:
        The table, or None when no cell has scores.

    Raises:
        InputError: see `build_table`.
    """
    cells, methods = [], {}
    for entry, outcome in zip(found, outcomes, strict=True):
        gap: dict[str, Any] = {"cell": entry.cell.record(), "absent": outcome}
        content = gap if isinstance(outcome, str) else outcome
        shared, method = shared_config(entry.cell), entry.method
        methods[entry.label] = method
        about = {
            "cell": {**content["cell"], "method": entry.label},
            "labelled_per_class": method.labelled_per_class(shared),
            "differs": method.differs(shared),
            "remark": method.remark,
        }
        cells.append({**content, **about})
    if not any(cell.get("scores") for cell in cells):
        return None
    published = published_rows(grid.protocol, shared_config(found[0].cell).shots, grid.data)
    plain_rows = [row.label for row in grid.methods if row.is_plain]
    names, place, places = [*METHODS], len([*METHODS]), {}
    for label in plain_rows:  # a class of the user's own follows the row before it in the grid
        place = places[label] = names.index(label) if label in names else place
    known = {label: methods[label] for label in sorted(plain_rows, key=places.__getitem__)}
    return build_table(cells, grid.reference, published, known)


def documents(grid: GridConfig, table: Table) -> dict[str, str]:
    """Return the files of a table: name → text. The same cells give the same texts."""
    ablations = ablations_of(grid.published, grid.data)
    content = {"title": grid.title, **to_json(table), "ablations": [one.model_dump() for one in ablations]}
    title = f"## {plain(grid.title)}\n\n"
    texts = {
        "table.md": "".join([title + to_markdown(table), *map(section, ablations)]),
        "table.csv": to_frame(table).to_csv(index=False, lineterminator="\n"),
        "table.json": json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    if compared := settings_compared(grid, table):
        texts["settings.md"] = page([f"### {plain(grid.title)}, by settings", *compared])
    if table.averages:
        texts["data-sets.md"] = title + details(table)
    return texts


def write_documents(texts: dict[str, str], folder: Path) -> None:
    """Write the files into a folder, which is made if it does not exist. Each file is written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)


def print_documents(grid: GridConfig, table: Table, texts: dict[str, str], as_json: bool, where: str) -> None:
    """Print a table: as JSON if `as_json`, as a summary on a terminal, elsewhere as the whole Markdown table.

    `where` is a line that says where the whole table is; it is printed after the summary.
    """
    console = None if as_json else terminal()
    if console is None:
        names = ["table.json"] if as_json else ["table.md", "settings.md"]
        print("\n".join(texts[name] for name in names if name in texts), end="")
        return
    for part in on_terminal(table, console.width):
        console.print(part, markup=False)
    for block in settings_compared(grid, table):
        console.print(f"\n{block}" if isinstance(block, str) else fitted_table(block, console.width), markup=False)
    console.print(f"\n{where}", markup=False)


def tables_of_file(file: Path, out: Path | None, as_json: bool) -> None:
    """Make the tables of a file of cells and print them. Write them into the folder `out`, too, unless it is None.

    Raises:
        InputError: the file cannot be read, no cell has scores, or `out` already has a file of the same name.
    """
    grid, found, outcomes = unpack(file)
    table = table_of(grid, found, outcomes)
    if table is None:
        raise InputError(f"no cell of {file} has scores, so there is no table to make.")
    texts = documents(grid, table)
    if out is not None:
        check_writable(out)
        there = next((out / name for name in texts if (out / name).exists()), None)
        if there is not None:
            raise InputError(f"{there} is there already; choose another --out.")
        write_documents(texts, out)
    whole = "with --out DIR, or through a pipe to another program" if out is None else f"{out}/table.md"
    print_documents(grid, table, texts, as_json, f"the whole table: {whole}")
    with file.open("rb") as content:
        print(f"{file.name}: SHA-256 {hashlib.file_digest(content, 'sha256').hexdigest()}", file=sys.stderr)
    if out is not None:
        print(f"{out}/{', '.join(texts)}", file=sys.stderr)


def to_json(table: Table) -> dict[str, Any]:
    """Return the whole content of a table as JSON values."""
    gains = [
        {
            **dict(zip(("scope", "method", "other", "column"), key, strict=True)),
            "seeds": gain.seeds,
            **_verdict(gain.verdict),
        }
        for key, gain in table.gains.items()
    ]
    rows = [
        {
            "scope": scope,
            "method": method,
            **vars(row),
            "scores": {column: score and _rounded(score._asdict()) for column, score in row.scores.items()},
        }
        for (scope, method), row in table.rows.items()
    ]
    return {
        "schema": 1,
        **{name: vars(table)[name] for name in TOLD},
        "scopes": [vars(scope) for scope in table.scopes],
        "rows": rows,
        "gains": gains,
        "searches": [
            {"scope": scope, "method": method, **_rounded(s)} for (scope, method), s in table.searches.items()
        ],
        "verdicts": verdicts(table),
        "notes": notes(table),
        "published": [row._asdict() for row in table.published],
    }


def to_frame(table: Table) -> pandas.DataFrame:
    """Return the numbers of a table as a frame: a row for each data set or average, method and column.

    If `over` names another method, the row is the gain over that method, in points, with the corrected p for these
    classes and data sets. If `over` is empty, the row is the method's own value, in percent, with its search's cost.
    """
    from pandas import DataFrame

    records: list[dict[str, Any]] = []
    splits = {scope.name: scope.split for scope in table.scopes}
    for (scope, method), row in table.rows.items():
        about: dict[str, Any] = {"origin": "ours", "data": scope, "split": splits[scope], "method": method}
        about["labelled_per_class"] = row.labelled_per_class
        search = _rounded(table.searches.get((scope, method), {}))
        for column in table.columns:
            if (score := row.scores.get(column)) or not row.scores:
                numbers = _rounded(score._asdict()) if score else {}
                told = {"column": column, "seeds": row.seeds, "remark": row.absent}
                records.append({**search, **about, **told, **numbers})
    for (scope, method, other, column), gain in table.gains.items():
        numbers = _verdict(gain.verdict)  # for the classes and data sets as given, like the interval of a score
        about = {"origin": "ours", "data": scope, "split": splits[scope], "method": method, "over": other}
        about["labelled_per_class"] = table.rows[scope, method].labelled_per_class
        records.append({**about, "column": column, "seeds": gain.seeds, **numbers, "value": numbers["gain"]})
    for one in table.published:
        about = {"data": one.data or "average", "split": "official", "method": one.label, "origin": "published"}
        remark = " ".join(filter(None, [one.source + ".", one.note]))
        records += [{**about, "column": name, "value": x, "remark": remark} for name, x in one.values.items()]
    shared = {"protocol": table.protocol, "measure": table.measure, "unit": table.unit}
    columns = [*ABOUT, "labelled_per_class", *ColumnScore._fields, *GAIN, *SEARCH, "remark"]
    written = [{name: _safe(value) for name, value in {**shared, **one}.items()} for one in records]
    return DataFrame(written, columns=columns, dtype=object)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Return the numbers of a verdict by name."""
    low, high = verdict.ci95
    return _rounded({"gain": verdict.mean, "low": low, "high": high, **verdict.model_dump(exclude={"mean", "ci95"})})


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values rounded: fractions as percent with four decimals, other floats with six decimals.

    Four decimals are far finer than any interval. A float that is not finite becomes None.
    """

    def rounded(name: str, value: float) -> float | None:
        if not math.isfinite(value):
            return None
        return round(value, 6) if name in NOT_IN_PERCENT else round(100 * value, 4) + 0.0

    return {name: rounded(name, value) if isinstance(value, float) else value for name, value in values.items()}


def _safe(value: Any) -> Any:
    """Return a user's text in a form that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def settings_compared(grid: GridConfig, table: Table) -> list[Block]:
    """Compare the settings of the rows that are variants of methods; see `by_settings`."""
    own = {row.label: {"method": row.method, **row.settings} for row in grid.methods if not row.is_plain}
    return by_settings(table, own)


def by_settings(table: Table, own: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Compare settings by the gains on held-back pictures: the test pictures must not be used to choose settings.

    Args:
        table: the table of the rows.
        own: label of a row → the row's own settings, by name.

    Returns:
        Two tables (gains by row, gains by setting), each after a sentence about it, and a sentence with the settings
        that moved nothing, if there are such settings; empty if no setting varies.
    """
    from pandas import Series

    scope = (table.averages or table.scopes)[0]
    found = {row: search["gain_held_back"] for (name, row), search in table.searches.items() if name == scope.name}
    gains = Series({row: gain for row, gain in found.items() if row in own and gain is not None}, dtype=float)
    names = dict.fromkeys(name for row in gains.index for name in own[row])
    settings = {name: [own[row].get(name, EMPTY) for row in gains.index] for name in names}
    varied = {name: values for name, values in settings.items() if len(set(map(str, values))) > 1}
    if not varied:
        return []
    rows: list[Line] = [["row", HELD_BACK, f"gain in {table.headline} over {table.reference}"]]
    for row, gain in gains.sort_values(ascending=False, kind="stable").items():
        over = table.over(scope, row, table.reference)
        rows.append([row, points(gain), verdict_text(over.verdict if over else None)])
    effects: list[Line] = [["setting", "value", "rows", HELD_BACK]]
    for name, values in varied.items():
        if all(isinstance(value, (int, float)) for value in values) and len(set(values)) > SHOWN:
            rank = Series(values, gains.index, dtype=float).corr(gains, method="spearman")
            told = f"rank correlation {rank:+.2f}"
            effects.append([name, f"{min(values)} to {max(values)}", str(len(gains)), told])
        else:
            for value, group in gains.groupby([str(value) for value in values], sort=False):
                effects.append([name, str(value), str(len(group)), points(group.mean())])
    return [
        "Rows by what their searches gained on held-back pictures, by which to choose; the test only confirms:",
        rows,
        "What each setting did, the mean over the rows that have it:",
        effects,
        *_idle(table, scope, {row: {name: str(own[row].get(name)) for name in varied} for row in gains.index}),
    ]


def _idle(table: Table, scope: Scope, rows: Mapping[str, Mapping[str, str]]) -> list[Block]:
    """Return a sentence with the settings that moved nothing, among rows that differ in one setting only."""
    moved: dict[str, bool] = {}
    for a, b in combinations(rows, 2):
        differing = [name for name, value in rows[a].items() if value != rows[b][name]]
        if len(differing) == 1:
            same = all(table.runs[data, a].same_templates(table.runs[data, b]) for data in scope.data)
            moved[differing[0]] = moved.get(differing[0], False) or not same
    idle = [name for name, has_moved in moved.items() if not has_moved]
    told = "rows that differ in nothing else ended with the same templates and values"
    return [f"Moved nothing: {', '.join(idle)}; {told}."] if idle else []
