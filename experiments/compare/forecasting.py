"""What a grid would cost (`ipo benchmark GRID --dry-run`): a table of rows and data sets, with prices and minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipo_prompts.experiments.compare.cell import FILE_NAME, Cell, run_config, shared_config
from ipo_prompts.experiments.compare.grid import GridCell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.runner import searches, seconds_left
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.benchmarks import absent, assumed, sizes
from ipo_prompts.experiments.run.beforehand import estimate
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.likely import prices, used_in
from ipo_prompts.experiments.run.plan import SPLIT_SEED, draw_for, plan
from ipo_prompts.experiments.run.timing import Pace, timed
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import Usage, total_usd


def forecast(found: Sequence[GridCell], *, time: bool = False) -> dict[str, Any]:
    """Forecast the calls, tokens, cost and time of all unfinished cells. No picture is opened, nothing is fetched.

    With `time` the CLIPs are loaded and timed, each on a batch of pictures and of texts.

    Returns:
        - `rows`: label → `cells, finished, calls, tokens, usd, likely, seconds, encoding, context, data` of the row.
          `data` has the `usd` and `likely` of each data set. `seconds` are of waiting for language models; `encoding`
          are the seconds for the texts of searches, 0 without `time`.
        - `cells, calls, tokens, usd, likely, minutes`: totals. `usd` is the most and `likely` the likely price; None
          where it is not known. Replies that rows share through the cache count for each row.
        - `pictures`: data set → the pictures of a cell, for the data sets where a row asks a language model.
        - `minutes_left`: the minutes that all unfinished cells take on one worker, at the pace of each row's finished
          cells; None before a cell is finished.
        - `time`: with `time`, see `_Encoding.forecast`; else None.
        - `assumed`: texts with the official sizes of data sets that are not on this machine.
        - `context`: texts that say how descriptions that do not fit into a question would be shortened, and which
          rows' questions have no limit.

    Raises:
        InputError: there is no such language model, it cannot take the questions of a row, or no data set is on this
            machine, so that nothing can be timed.
    """
    encoding = _Encoding(found) if time else None
    labels = dict.fromkeys(entry.label for entry in found)
    configs, pictures = searches(found), dict[str, int]()
    rows = {}
    for label in labels:
        alike = [one for one, config in configs.items() if _asked(config) == _asked(configs.get(label))]
        used = used_in(entry.record for entry in found if entry.label in alike)
        rows[label] = _row([entry for entry in found if entry.label == label], used, pictures, encoding)
    left = seconds_left(found, [{} if (entry.folder / FILE_NAME).is_file() else None for entry in found])
    specs = dict.fromkeys(spec for entry in found for spec in (entry.cell.data, *entry.cell.targets))
    return {
        "rows": rows,
        "cells": len(found),
        "calls": sum(row["calls"] for row in rows.values()),
        "tokens": sum(row["tokens"] for row in rows.values()),
        "usd": total_usd(row["usd"] for row in rows.values()),
        "likely": total_usd(row["likely"] for row in rows.values()),
        "pictures": pictures,
        "time": encoding and encoding.forecast(sum(row["encoding"] for row in rows.values())),
        "context": [line for row in rows.values() for line in row["context"]],
        "assumed": [sizes(gone) for spec in specs if (gone := absent(spec))],
        "minutes": round(sum(row["seconds"] for row in rows.values()) / 60, 1),
        "minutes_left": None if left is None else round(left / 60, 1),
    }


def _asked(config: RunConfig | None) -> tuple[str, str] | None:
    return None if config is None else (config.describer, config.describer_question)


class _Encoding:
    """The time of pictures and texts, by the pace of each CLIP of a grid on its first data set that is here."""

    def __init__(self, found: Sequence[GridCell]) -> None:
        self._left = [entry for entry in found if not (entry.folder / FILE_NAME).is_file()]
        self._paces: dict[tuple[str, ...], tuple[Pace, str]] = {}
        here = next((entry.cell for entry in self._left if not absent(entry.cell.data)), None)
        if self._left and here is None:
            raise InputError("--time needs pictures, and no data set of the grid is on this machine; leave --time out.")
        for shared in map(shared_config, {entry.cell for entry in self._left}):
            if (clip := _clip_of(shared)) not in self._paces and here:
                config = shared.model_copy(update={"data": here.data, "classes": shared_config(here).classes})
                self._paces[clip] = timed(config, draw_for(load_data(here.data, seed=SPLIT_SEED), config))

    def search(self, cell: Cell) -> RunConfig | None:
        """Return the configuration of a cell's search, with or without a language model; None if it has no search."""
        of = getattr(METHODS.find(cell.method), "search_config", None)
        return of(shared_config(cell), dict(cell.settings)) if of else None

    def texts(self, config: RunConfig, count: int) -> float:
        """Return the seconds for the texts of a search."""
        return self._paces[_clip_of(config)][0].seconds(0, count)

    def forecast(self, texts: float) -> dict[str, Any]:
        """Return the minutes of `pictures`, once for all rows, and of `texts`, given in seconds; `told`: the paces."""
        kinds: dict[tuple[Any, ...], tuple[RunConfig, set[int]]] = {}
        for cell in (entry.cell for entry in self._left):
            shared = shared_config(cell)
            kinds.setdefault((cell.data, *_clip_of(shared)), (shared, set()))[1].add(cell.seed)
        seconds = 0.0
        for (data, *clip), (shared, seeds) in kinds.items():
            gone = absent(data)
            drawn = draw_for(assumed(gone) if gone else load_data(data, seed=SPLIT_SEED), shared)
            learnt, tests = len(drawn.search) + len(drawn.selection), len(drawn.test) + len(drawn.new_test)
            seconds += self._paces[tuple(clip)][0].seconds(len(seeds) * learnt + tests, 0)
        told = [f"{clip} on {pace}" for (clip, *_), (_, pace) in self._paces.items()]
        return {"pictures": round(seconds / 60, 1), "texts": round(texts / 60, 1), "told": told}


def _clip_of(config: RunConfig) -> tuple[str, ...]:
    return config.clip, config.device, config.precision


def _row(
    found: Sequence[GridCell], used: Mapping[str, Usage], pictures: dict[str, int], encoding: _Encoding | None
) -> dict[str, Any]:
    """Return the forecast of a row; `used` is what replies in the rows with the same describer have used."""
    left = [entry for entry in found if not (entry.folder / FILE_NAME).is_file()]
    known: dict[str, dict[str, Any]] = {}
    for entry in left:
        data = entry.cell.data
        config = encoding.search(entry.cell) if encoding else run_config(entry.cell)
        if data not in known and config:
            here = used_in(one.record for one in found if one.cell.data == data)
            # No seed changes the number of pictures. Descriptions are about as long on other data sets.
            known[data] = estimate(plan(config, ready=False), used={**used, "optimizer": here.get("optimizer")})
            known[data]["encoding"] = encoding.texts(config, known[data]["texts"]) if encoding else 0.0
            pictures.setdefault(data, known[data]["pictures"])
    told: dict[str, list[str]] = {}
    for data, one in known.items():
        if (context := one["context"]) and (context["cut"] or context["tokens"] is None):
            told.setdefault(context["told"], []).append(data)
    expected = {data: [known[data]] * sum(entry.cell.data == data for entry in left) for data in known}
    all_of_it = [one for of_data in expected.values() for one in of_data]
    roles = [role for one in all_of_it for role in (one["optimizer"], one["describer"]) if role]
    return {
        "cells": len(found),
        "finished": len(found) - len(left),
        "calls": sum(role["calls"] for role in roles),
        "tokens": sum(role["tokens_in"] + role["tokens_out"] for role in roles),
        "usd": total_usd([0.0, *(one["usd"] for one in all_of_it)]),
        "likely": total_usd([0.0, *(one["likely"] for one in all_of_it)]),
        "seconds": sum(one["seconds"] for one in all_of_it),
        "encoding": sum(one["encoding"] for one in all_of_it),
        "context": [f"{found[0].label} on {', '.join(data)}: {what}" for what, data in told.items()],
        "data": {
            data: {price: total_usd(one[price] for one in of_data) for price in ("usd", "likely")}
            for data, of_data in expected.items()
        },
    }


def forecast_text(forecast: dict[str, Any], *, verbose: bool = False) -> str:
    """Format a forecast as a table of rows and data sets; `verbose` adds the notes about context and sizes."""
    asked = [row for row in forecast["rows"].values() if row["calls"]]
    sets = list(dict.fromkeys(data for row in asked for data in row["data"]))
    wide = [max(7, min(14, len(data))) for data in sets]
    head = " ".join(f"{data[-width:]:>{width}}" for data, width in zip(sets, wide, strict=True))
    lines = [f"{'likely $':24} {'cells':>6} {'done':>6} {head} {'likely':>9} {'at most':>9} {'minutes':>8}"]
    for label, row in forecast["rows"].items():
        of_data = [row["data"].get(data, {"likely": 0.0})["likely"] for data in sets]
        shown = " ".join(f"{_short(usd):>{width}}" for usd, width in zip(of_data, wide, strict=True))
        lines.append(
            f"{label[:24]:24} {row['cells']:6,} {row['finished']:6,} {shown} {_short(row['likely']):>9} "
            f"{_short(row['usd']):>9} {(row['seconds'] + row['encoding']) / 60:8,.0f}"
        )
    counts = " ".join(f"{forecast['pictures'].get(data, 0):>{width},}" for data, width in zip(sets, wide, strict=True))
    lines += [f"{'pictures of a cell':24} {'':6} {'':6} {counts}"] if sets else []
    if not asked:
        lines.append(f"together: {forecast['cells']:,} cells; what is left asks no language model and costs nothing.")
    else:
        lines.append(
            f"together: {forecast['cells']:,} cells, {forecast['calls']:,} calls, at most {forecast['tokens']:,} "
            f"tokens, {prices(forecast['likely'], forecast['usd'])}, about {forecast['minutes']:,} minutes of waiting "
            "for language models one after another"
            f"{'' if forecast['time'] else '; encoding pictures and texts comes on top'}. Nothing was asked yet."
        )
    if minutes := forecast["time"]:
        lines += [
            f"encoding: about {minutes['texts']:,} minutes for the texts of searches, which the rows have in their "
            f"minutes, and {minutes['pictures']:,} for pictures, once for all rows; {'; '.join(minutes['told'])}, "
            "timed on one batch each with this machine as busy as it is now.",
            "these minutes are for one cell after another; cells that run at once divide them at best. Rows that are "
            "no search, the training of CoOp, and the pictures and texts of targets come on top.",
        ]
    if forecast["minutes_left"] is not None:
        lines.append(f"at the pace of the finished cells all that is left takes {forecast['minutes_left']:,} minutes.")
    notes = [f"{line}." for line in forecast["context"]]
    if forecast["assumed"]:
        notes.append(f"not on this machine, so their official sizes are assumed: {'; '.join(forecast['assumed'])}.")
    if notes and not verbose:
        return "\n".join([*lines, f"notes on questions that are cut and on sizes: {len(notes)} with --verbose."])
    return "\n".join([*lines, *notes])


def _short(usd: float | None) -> str:
    return "?" if usd is None else "-" if usd == 0 else f"{usd:,.2f}" if usd >= 0.01 else "<0.01"
