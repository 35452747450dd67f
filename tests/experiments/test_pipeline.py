"""The how many-th opening of the same sealed pictures, or some of them, a run is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.run import sealed
from ipo_prompts.experiments.run.openings import Openings
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.experiments.run.steps import Scored, Step
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.programs.record.journal import Journal


@pytest.fixture
def store(clip: Clip, tmp_path: Path) -> FeatureStore:
    return FeatureStore(clip, tmp_path / "cache")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two sets of four classes, all pictures different."""
    rng = np.random.default_rng(0)
    for place in (f"{data}/{name}/{i}.png" for data in ("one", "other") for name in "abcd" for i in range(4)):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / place)
    return tmp_path


def opened(
    folder: Path,
    store: FeatureStore,
    pictures: Path,
    classes: Literal["all", "base"] = "all",
    template: str = "",
) -> Openings:
    """Count the openings as a run in `folder` does at its end, each with a template of its own if none is given."""
    template = template or str(folder)
    before, after = (Score(one, 0.0, 0.0, np.zeros(4, dtype=bool), np.zeros(4)) for one in ("a", template))
    test = Scored([Step("template", template, lambda units: after)], [before, after], Sampling(4))
    data = load_data(f"folder:{pictures}", seed=0)
    planned: Any = SimpleNamespace(data=data, drawn=draw(data, 1, 1, 0, classes), config=SimpleNamespace(opened=0))
    nothing: Any = None
    ready = Prepared(planned, nothing, store, nothing, nothing, nothing, 0)
    searched: Any = SimpleNamespace(named=None)
    with closing(Journal(folder)) as journal:
        return sealed.opening(ready, searched, test, template, journal)


def test_openings_are_those_of_runs_beside_this_one_and_stay_when_it_is_resumed(
    store: FeatureStore, pictures: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    assert opened(runs / "first", store, pictures / "one").number == 1
    assert opened(runs / "other", store, pictures / "other").number == 1
    assert opened(runs / "second", store, pictures / "one").number == 2
    assert opened(runs / "first", store, pictures / "one").number == 1
    again = opened(runs / "again", store, pictures / "one", template=str(runs / "second"))
    assert again.number == 2, "it tests nothing new"


def test_runs_that_opened_some_of_the_pictures_count(store: FeatureStore, pictures: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert opened(runs / "all", store, pictures / "one").number == 1
    halves = opened(runs / "halves", store, pictures / "one", "base")
    assert halves.number == 2 and halves.tests, "the half of the same classes"
    (pictures / "one" / "a").rename(pictures / "one" / "renamed")
    renamed = opened(runs / "renamed", store, pictures / "one")
    assert renamed.number == 3 and not renamed.tests


def test_sealed_pictures_that_searched_or_chose_are_counted(store: FeatureStore, pictures: Path) -> None:
    drawn = draw(load_data(f"folder:{pictures / 'one'}", seed=0), 1, 1, 0)
    planned: Any = SimpleNamespace(drawn=drawn)
    nothing: Any = None
    prepared = Prepared(planned, nothing, store, nothing, nothing, nothing, 0)
    assert sealed.copies_of(prepared) == 0
    planned.drawn = replace(drawn, test=(*drawn.test, *drawn.selection, *drawn.search[:1]))
    assert sealed.copies_of(prepared) == len(drawn.selection) + 1
