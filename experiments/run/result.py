"""`result.json`: what a run found, in a stable, versioned form."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo.metrics.errors import InputError
from ipo.metrics.statistics import Difference, accuracy_interval, paired_difference

if TYPE_CHECKING:
    from ipo.metrics.reward import Score
    from ipo.programs.lm.ledger import Usage
    from ipo.programs.selection import Choice

SCHEMA = 1


def comparison(initial: Score, optimised: Score, groups: Sequence[str] | None) -> dict[str, Any]:
    """Compare two templates on the same pictures.

    Args:
        initial, optimised: scores on the same pictures in the same order.
        groups: length n, what is not independent of each other: base pictures, else classes.
    """
    difference = paired_difference(initial.hits, optimised.hits, groups)
    if initial.template == optimised.template:
        difference = Difference(0.0, 0.0, 0.0, 1.0, "same template")  # nothing was measured, so nothing is uncertain
    return {
        "initial": _one(initial, groups),
        "optimised": _one(optimised, groups),
        "difference": {
            "mean": _round(difference.mean),
            "ci95": [_round(difference.low), _round(difference.high)],
            "p": _round(difference.p),
            "test": difference.test,
        },
    }


def _one(score: Score, groups: Sequence[str] | None) -> dict[str, Any]:
    interval = accuracy_interval(score.hits, groups)
    return {
        "accuracy": _round(score.accuracy),
        "loss": _round(score.loss),
        "n": score.n,
        "ci95": [_round(interval.low), _round(interval.high)],
    }


def _round(value: float) -> float:
    """Keep six decimals: far below any interval, far above what differs between processors."""
    return round(float(value), 6)


def choice_record(choice: Choice) -> dict[str, Any]:
    """Return the `selection` entry: how the winner was chosen; the error is None where it is not known."""
    return {
        "how": choice.how,
        "kept_initial": choice.kept_initial,
        "gain": _round(choice.gain),
        "standard_error": _round(choice.standard_error) if math.isfinite(choice.standard_error) else None,
    }


def usage_record(usage: Usage | None) -> dict[str, Any] | None:
    """Return the `lm` entry of one role; None when the role was not used."""
    if usage is None:
        return None
    return {
        "name": usage.name,
        "calls": usage.calls,
        "cached": usage.cached,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "usd": None if usage.usd is None else round(usage.usd, 6),
    }


def verdict(result: dict[str, Any]) -> str:
    """Say in words whether the sealed test shows a gain."""
    if result["template"] == result["initial_template"]:
        return "Nothing convincing was found: the initial template stays."
    gain = result["scores"]["test"]["difference"]
    if gain["ci95"][0] > 0:
        return f"A gain on pictures that the search never saw ({_p(gain['p'])})."
    if gain["ci95"][1] < 0:
        return f"A loss on pictures that the search never saw ({_p(gain['p'])}): keep the initial template."
    return f"No evidence of a gain on pictures that the search never saw ({_p(gain['p'])})."


def _p(p: float) -> str:
    return f"p = {p:.4f}" if p >= 0.0001 else "p < 0.0001"


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all; see `write_json`."""
    partial = file.with_name(file.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}; make room or choose another --out.") from error
