"""Scores on their way from a reward to the search: they are sound, they do not change, and they are on record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.record.score_keeper import ScoreKeeper

THIRDS = np.array([1 / 3, 2 / 3, 1.0])


@dataclass(frozen=True)
class Units:
    groups: Sequence[str] | None = None
    labels: Any = None


class Own:
    """A reward of someone's own that gives what it is told to; the value is the mean where nothing else is said."""

    class_names = ("cat", "dog")

    def __init__(self, *hits: Any, scale: Scale | None = None, **changes: Any) -> None:
        self.hits, self.changes = hits, changes
        if scale:
            self.scale = scale

    def problem(self, template: str) -> None:
        return None

    def examples(self, examples: Any) -> Any:
        raise AssertionError("units are given")

    def score(self, templates: Sequence[str], units: Units) -> list[Score]:
        rows = zip(templates, self.hits, strict=True)
        scores = [
            Score(one, float(np.mean(hits)), 1 / 7, np.asarray(hits), np.full(len(hits), 1 / 7)) for one, hits in rows
        ]
        return [replace(score, **self.changes) for score in scores]


def kept(reward: Own, units: Units = Units()) -> list[Score]:
    return ScoreKeeper(None, reward).score(0, [f"number {i} <CLASS>" for i in range(len(reward.hits))], units)


def test_templates_are_scored_on_the_same_units() -> None:
    with pytest.raises(InputError, match=r"'number 1 <CLASS>' 2 hits where there are 3 units"):
        kept(Own([1.0, 0.0, 1.0], [1.0, 0.0]))
    with pytest.raises(InputError, match=r"'number 0 <CLASS>' 3 hits where there are 2 units"):
        kept(Own([1.0, 0.0, 1.0]), Units(groups=["a", "b"]))


def test_a_score_does_not_change_once_it_is_given() -> None:
    (score,) = kept(Own(THIRDS.copy(), predictions=np.zeros(3, dtype=np.int64)))
    for array in (score.hits, score.losses, score.predictions):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": 2 / 3 + 5e-6}, None),  # as a sum in float32 may be off
        ({"value": 2 / 3 + 5e-5}, "they must be the same"),
        ({"value": float("nan")}, "the value nan"),
        ({"losses": np.array([0.1, np.inf, 0.2])}, "every loss must be a finite number"),
        ({"loss": float("inf")}, "every loss must be a finite number"),
    ],
)
def test_what_a_reward_gives_is_sound(changes: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert kept(Own(THIRDS.copy(), **changes))[0].value == changes["value"]
        return
    with pytest.raises(InputError, match=said):
        kept(Own(THIRDS.copy(), **changes))


def test_values_are_as_exact_as_they_are_large_and_keep_to_the_scale_but_for_rounding() -> None:
    points = Scale(low=0, high=10_000, percent=False)
    large = np.array([9_000.0, 9_000.0])
    assert kept(Own(large, scale=points, value=9_000.05))[0].value == 9_000.05
    with pytest.raises(InputError, match="must be the same"):
        kept(Own(large, scale=points, value=9_000.5))
    for wrong in (-5e-6, 5e-6):
        hits = np.full(2, 0.0 if wrong < 0 else 1.0) + wrong
        assert kept(Own(hits))[0].value == pytest.approx(hits[0], abs=1e-12)
    with pytest.raises(InputError, match=r"which is not in \[0, 1\]"):
        kept(Own(np.full(2, 1.001)))


def test_what_is_only_looked_at_or_proposed_early_is_on_record_to_six_decimals(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        record = ScoreKeeper(journal, Own(THIRDS / 7))
        record.score_only(2, ["a <CLASS>"], Units(), around="b <CLASS>")
        score = record.propose(2, "a <CLASS>", Units())
        (again,) = record.score(2, ["a <CLASS>"], Units(), known={"a <CLASS>": score})
    assert again is score
    scored_only, proposed, scored = read(tmp_path)
    assert (scored_only["step"], scored_only["around"], scored_only["rows"]) == (
        2,
        "b <CLASS>",
        [["a <CLASS>", 0.095238, 0.142857]],
    )
    assert (proposed["step"], proposed["row"]) == (2, ["a <CLASS>", 0.095238, 0.142857])
    assert scored["scores"][0]["hits"] == (THIRDS / 7).tolist(), "bit for bit"
