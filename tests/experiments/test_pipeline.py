"""Test pictures that are search or selection pictures, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.run import sealed
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore


def test_sealed_pictures_that_searched_or_chose_are_counted(clip: Clip, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place in (f"{name}/{i}.png" for name in "abcd" for i in range(4)):
        (tmp_path / "one" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "one" / place)
    store = FeatureStore(clip, tmp_path / "cache")
    drawn = draw(load_data(f"folder:{tmp_path / 'one'}", seed=0), 1, 1, 0)
    planned: Any = SimpleNamespace(drawn=drawn)
    nothing: Any = None
    prepared = Prepared(planned, nothing, store, nothing, nothing, nothing, 0)
    assert sealed.copies_of(prepared) == 0
    planned.drawn = replace(drawn, test=(*drawn.test, *drawn.selection, *drawn.search[:1]))
    assert sealed.copies_of(prepared) == len(drawn.selection) + 1
