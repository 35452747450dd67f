"""Files of a run for the tests of its report: an analysis, and texts that try to act."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'></title></style></bdi>{{ 7*7 }}{% raw %}"
    "\u202eevil\u2066\u200b\u0007 <CLASS> &amp; "
).ljust(200, "W")
ACTS_IF_NOT_SHOWN = ("\u202e", "\u2066", "\u200b", "\u0007")
_STRUCTURE = {
    "type",
    "kind",
    "outcome",
    "what",
    "measure",
    "hits",
    "labels",
    "draws",
    "part",
    "thumbnail",
    "taken_for",
    "images",
    "reward",
    "precision",
}
"""Keys whose values steer the page instead of being printed on it."""


def change_json(file: Path, change: Any) -> None:
    """Rewrite a JSON file."""
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def poisoned(value: Any) -> Any:
    """Replace every text that anybody else could have written."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {name: item if name in _STRUCTURE else poisoned(item) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return value


def analysis(template: str) -> dict[str, Any]:
    """Return all of an analysis but its search, with numbers that are easy to find on a page."""

    def change(span: list[int], changed: str, value: float) -> dict[str, Any]:
        return {
            "span": span,
            "text": template[slice(*span)],
            "template": changed,
            "change": value,
            "ci95": [value - 0.01, value + 0.01],
            "p": 0.01,
            "significant": value < -0.1,
        }

    first = template.index(" ")
    second = template.index(" ", first + 1)
    flip = {"image": "cat/01.webp", "class_name": "cat", "before": "car", "after": "cat", "thumbnail": PIXEL}
    return {
        "words": {
            "part": "fresh",
            "n": 6,
            "template": template,
            "value": 0.5,
            "changes": [
                change([0, first], template[first + 1 :], -0.123),
                change([0, second], template[second + 1 :], 0.031),
            ],
        },
        "classes": [
            _class("cat", 0.25, 1.0),
            _class("car", 1.0, 0.5),
            _class("bus", 0.5, 0.5),
        ],
        "flips": {
            "gained": [flip],
            "lost": [{**flip, "before": "cat", "after": "bus"}],
            "wrong": [{**flip, "before": "bus", "after": "bus", "confused": 2, "taken_for": PIXEL}],
            "gained_total": 3,
            "lost_total": 1,
            "wrong_total": 5,
        },
    }


def _class(name: str, initial: float, optimised: float) -> dict[str, Any]:
    gain = optimised - initial
    return {
        "name": name,
        "part": "test",
        "n": 4,
        "initial": initial,
        "optimised": optimised,
        "gain": gain,
    }
