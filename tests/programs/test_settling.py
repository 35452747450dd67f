"""Offsets beside a template: kept where held-back units show that they are worth it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.classification import EncodedPictures, fitted_on
from ipo_prompts.metrics.reward import Judged, Score
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.running import settle_offsets
from ipo_prompts.programs.search import search
from ipo_prompts.programs.strategies.base import GivenTemplates
from ipo_prompts.programs.templates.settings import SearchSettings

RIGHT = {
    ("search", True): {"one <CLASS>": 18, "other <CLASS>": 10},
    ("search", False): {"one <CLASS>": 2, "other <CLASS>": 18},
    ("selection", True): {"one <CLASS>": 12, "other <CLASS>": 14},
}
"""Of 20 pictures, on a part, with offsets and without; elsewhere one."""


class Told:
    """A reward that has its scores from `RIGHT`."""

    class_names = ("cat", "dog")

    def problem(self, template: str) -> str | None:
        return None

    def examples(self, examples: Any) -> Any:
        raise AssertionError("units are given")

    def score(self, templates: Any, units: EncodedPictures) -> list[Score]:
        of = RIGHT.get(("selection" if units.features.any() else "search", units.offsets is not None), {})
        return [Judged(np.arange(20) < of.get(one, 1), np.ones(20)).score(one) for one in templates]


def test_templates_with_offsets_are_chosen_by_scores_that_all_have_them() -> None:
    """Right with them are 18 + 12 pictures for the one, 10 + 14 for the other; that has 18 without them."""
    reward, units = Told(), [EncodedPictures(np.full((20, 2), part, dtype=np.float32), None) for part in (0, 1)]
    found = search(SearchSettings(steps=1), reward, GivenTemplates(["one <CLASS>", "other <CLASS>"]), *units)
    offsets = fitted_on("centring", *units)
    result, settled = settle_offsets(found, offsets, *units, ScoreKeeper(None, reward))
    assert settled.kept is offsets and result.choice.template == "one <CLASS>"


@pytest.mark.parametrize(
    ("gain", "error", "kept"), [(0.02, 0.0199, True), (0.02, 0.02, False), (0.02, None, False), (-0.1, 0.01, False)]
)
def test_offsets_are_kept_where_the_gain_exceeds_its_standard_error(
    gain: float, error: float | None, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.running.cross_fitted_difference", lambda *of: (gain, error))
    reward, units = Told(), [EncodedPictures(np.full((20, 2), part, dtype=np.float32), None) for part in (0, 1)]
    found = search(SearchSettings(steps=1), reward, GivenTemplates(["one <CLASS>", "other <CLASS>"]), *units)
    offsets = fitted_on("centring", *units)
    result, settled = settle_offsets(found, offsets, *units, ScoreKeeper(None, reward))
    assert settled.kept == (offsets if kept else None) and (settled.gain, settled.standard_error) == (gain, error)
    assert result.choice.template == ("one <CLASS>" if kept else "other <CLASS>")
