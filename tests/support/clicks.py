"""Answers to a page of `ipo label`, as a browser would write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.clicks.drawing import DIGITS, Drawing, Showing, read_drawing
from ipo_prompts.experiments.data import load_data

Rater = Callable[[Showing], dict[str, Any]]


def truth(drawing: Drawing, data: str) -> Rater:
    """Return a rater who knows the labels of the test pictures of a data set."""
    items = load_data(data, seed=0).test
    labels = {hashlib.sha256(item.picture.bytes()).hexdigest()[:DIGITS]: item.label for item in items}

    def rate(showing: Showing) -> dict[str, Any]:
        label = labels[drawing.disagreements[showing.draw].picture]
        if label in showing.names:
            return {"answer": ("first", "second")[showing.names.index(label)]}
        return {"answer": "neither", "label": label}

    return rate


def answers(drawing: Drawing, rate: Rater, count: int | None = None) -> dict[str, Any]:
    """Return the content of `answers.json` after so many showings; all when None."""
    rows = [{"picture": showing.id, **rate(showing)} for showing in drawing.showings[:count]]
    return {"schema": 1, "drawing": drawing.id, "answers": rows}


def write_answers(folder: Path, rate: Rater | None = None, count: int | None = None, data: str = "embedded:d") -> Path:
    """Answer the page of a folder; truthfully where no rater is given."""
    drawing = read_drawing(folder)
    file = folder / f"answers-{count}.json"
    file.write_text(json.dumps(answers(drawing, rate or truth(drawing, data), count)))
    return file
