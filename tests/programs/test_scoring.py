"""Scores on their way from a reward to the search: they are sound, they do not change, and they are on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.programs.journal import Journal, read
from ipo_prompts.programs.scoring import note_scores, score

THIRDS = np.array([1 / 3, 2 / 3, 1.0])
Change = Callable[[list[Score]], Any]


class Own:
    """A reward of someone's own that gives what it is told to."""

    class_names = ("cat", "dog")

    def __init__(self, change: Change, *hits: Any, scale: Scale = FRACTION) -> None:
        self.change, self.hits, self.scale = change, hits, scale

    def score(self, templates: Sequence[str], units: Any) -> Any:
        rows = zip(templates, map(np.array, self.hits), strict=True)
        return self.change(
            [Score(one, float(hits.mean()), 1 / 7, hits, np.full(len(hits), 1 / 7)) for one, hits in rows]
        )


def kept(change: Change, *hits: Any, groups: Any = None, **own: Any) -> list[Score]:
    reward: Any = Own(change, *(hits or (THIRDS,)), **own)
    return score(reward, [f"number {i} <CLASS>" for i in range(len(reward.hits))], SimpleNamespace(groups=groups))


def with_(**changes: Any) -> Change:
    return lambda scores: [replace(one, **changes) for one in scores]


def test_a_score_does_not_change_once_it_is_given_and_is_on_record_bit_for_bit(tmp_path: Path) -> None:
    (one,) = kept(with_(predictions=np.zeros(3, dtype=np.int64)), THIRDS / 7)
    for array in (one.hits, one.losses, one.predictions):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with closing(Journal(tmp_path)) as journal:
        note_scores(journal, "train", 2, [one])
    (event,) = read(tmp_path)
    assert event["scores"][0]["hits"] == (THIRDS / 7).tolist()


POINTS = Scale(low=0, high=10_000, percent=False)


@pytest.mark.parametrize(
    ("hits", "change", "scale"),
    [
        (THIRDS, with_(value=2 / 3 + 5e-6), FRACTION),  # as a sum in float32 may be off
        ([-5e-6] * 2, with_(), FRACTION),
        ([1 + 5e-6] * 2, with_(), FRACTION),
        ([9e3, 9e3], with_(value=9_000.05), POINTS),
    ],
)
def test_rounding_is_accepted(hits: Any, change: Change, scale: Scale) -> None:
    assert len(kept(change, hits, scale=scale)) == 1


@pytest.mark.parametrize(
    ("change", "own", "said"),
    [
        (lambda scores: iter(scores), {}, r"score\(\) of the reward Own gave list_iterator, not a list of Score"),
        (lambda scores: scores[1:], {}, "the reward Own gave 0 scores for 1 templates"),
        (lambda scores: [7], {}, "gave the template 'number 0 <CLASS>' int, not a Score"),
        (with_(template="b"), {}, "the score of 'b': scores come in the order"),
        (with_(hits=THIRDS[None]), {}, "hits that are not an array with one number for each unit"),
        (with_(losses=THIRDS[:2]), {}, "2 losses where there are 3 units"),
        (with_(), {"groups": ["a", "b"]}, "'number 0 <CLASS>' 3 hits where there are 2 units"),
        (with_(value=2 / 3 + 5e-5), {}, "they must be the same"),
        (with_(value=9_000.5, hits=np.full(3, 9e3)), {"scale": POINTS}, "must be the same"),
        (with_(value=float("nan")), {}, "the value nan, which is not in"),
        (with_(value=1.001), {}, r"which is not in \[0, 1\]"),
        (with_(losses=np.array([0.1, np.inf, 0.2])), {}, "every loss must be a finite number"),
        (with_(loss=float("inf")), {}, "every loss must be a finite number"),
    ],
)
def test_what_a_reward_gives_is_sound(change: Change, own: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        kept(change, **own)


def test_templates_are_scored_on_the_same_units() -> None:
    with pytest.raises(InputError, match=r"'number 1 <CLASS>' 2 hits where there are 3 units"):
        kept(with_(), [1.0, 0.0, 1.0], [1.0, 0.0])
