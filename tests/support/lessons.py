"""Lessons for methods on a few classes of the embedded images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.run.files import build
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.experiments.run.prepared import Prepared, prepare


def units(lesson: Prepared, *parts: str) -> tuple[Any, Any]:
    """Return features and labels."""
    found = [getattr(lesson, part).units for part in parts]
    return np.concatenate([one.features for one in found]), np.concatenate([one.labels for one in found])


@pytest.fixture()
def lesson(cache: Path) -> Callable[..., Prepared]:
    """Make a lesson on a few classes of the embedded images."""

    def make(data: str = "embedded:a", classes: int = 12, hand_written: str | None = None, **settings: Any) -> Prepared:
        config = build({"data": data, "shots": 2, "val_shots": 1, **settings}, where="the test")
        whole = load_data(config.data, seed=config.seed)
        few = replace(
            whole,
            class_names=whole.class_names[:classes],
            **{part: tuple(i for i in whole.part(part) if i.label < classes) for part in ("train", "val", "test")},  # type: ignore[arg-type]
        )
        drawn = draw(few, config.shots, config.val_shots if config.selection == "validation" else 0, config.seed)
        held_out = replace(drawn, test=(), new_test=())
        shown = replace(few, test=(), hand_written=hand_written)
        return prepare(Plan(config, shown, held_out, None, None), Ui(0, quiet=True))

    return make
