"""Templates taken together: which, and that luck does not take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, fitted_on
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.reward import Judged, Score
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import search
from ipo_prompts.programs.selection import POOLED, ScoreTable
from ipo_prompts.programs.settling import ALIKE, Rows, best_rows, cross_fitted_ensemble, settle, settle_offsets
from ipo_prompts.programs.strategies.base import GivenTemplates
from ipo_prompts.programs.templates.settings import SearchSettings

EACH = 10
"""Selection units of a fold; unit i lies in fold i modulo 5."""
N = 5 * EACH
FOLD, TURN = np.arange(N) % 5, np.arange(N) // 5


def table(hits: list[Any], losses: list[float] | None = None) -> ScoreTable:
    rows = np.array(hits, dtype=np.float64)
    lost = np.ones_like(rows) * np.array(losses or [1 + row / 10 for row in range(len(rows))])[:, None]
    n = rows.shape[1]
    return ScoreTable(rows, lost, rows, np.full(len(rows), 4), None, [("part", unit) for unit in range(n)])


def steadily(right: int) -> Any:
    """Hits on so many of the ten units of every fold."""
    return right > TURN


def test_the_best_have_most_hits_then_the_lower_loss_and_are_read_differently() -> None:
    hits = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    of = table(hits, [1.0, 2.0, 3.0, 1.5, 5.0, 5.0 + ALIKE / 2])
    assert best_rows(of, 1) == (4,)
    assert best_rows(of, 3) == (4, 2, 3)  # 5 is 4 once more; of 1 and 3 the latter has the lower loss
    assert best_rows(of, 9) == (4, 2, 3, 1, 0)


def test_templates_that_differ_on_one_picture_are_two_and_one_met_before_is_none() -> None:
    seldom = [1.0, 1.0, 1.0, 1.0 + 2 * ALIKE]  # less than `ALIKE` on average
    other, again = [0.5, 1.5, 0.5, 1.5 + 2 * ALIKE], [1.0 + 0.9 * ALIKE] * 4  # the first once more, behind another one
    losses = np.array([[1.0] * 4, seldom, other, again])
    hits = np.ones((4, 4))
    of = ScoreTable(hits, losses, hits, np.full(4, 4), None, [("part", unit) for unit in range(4)])
    assert best_rows(of, 2) == (0, 1)
    assert best_rows(replace(of, losses=losses[[0, 3, 2]], hits=hits[:3], evidence=hits[:3]), 3) == (0, 2)


def test_an_ensemble_that_is_better_only_by_luck_gains_nothing() -> None:
    """The second best is good by luck where it was chosen, and so is what it is a member of."""
    steady = steadily(7)
    lucky = [steadily(6) & (k != FOLD) for k in range(5)]
    selection = table([steadily(1), steady, *lucky])
    searched = table([[1] + 9 * [0], *(6 * [5 * [1] + 5 * [0]])])

    def hits_of(rows: Rows) -> Any:
        assert rows[0] == 1
        return np.where(rows[1] - 2 == FOLD, TURN < 4, 1).astype(np.float64)

    looks_good = hits_of(best_rows(searched.pooled(selection), 2)).mean() - steady.mean()
    assert looks_good == pytest.approx(0.18)
    (gain, error), (over_initial, _) = cross_fitted_ensemble(searched, selection, 2, hits_of)
    assert gain == pytest.approx(-0.3) and error is not None and error > 0
    assert over_initial == pytest.approx(0.3)


def test_what_it_truly_gains_is_counted_over_the_one_and_over_the_initial_template() -> None:
    selection = table([steadily(2), steadily(6), steadily(5)])
    searched = table([[1] + 9 * [0], 6 * [1] + 4 * [0], 5 * [1] + 5 * [0]])
    (gain, error), (over, of_that) = cross_fitted_ensemble(
        searched, selection, 2, lambda rows: steadily(9 if rows == (1, 2) else 0).astype(np.float64)
    )
    assert gain == pytest.approx(0.3) and over == pytest.approx(0.7)
    assert error == pytest.approx(np.std(steadily(3), ddof=1) / np.sqrt(N), rel=0.05) and of_that is not None


NAMES = ("cat", "apple", "bus", "key", "book", "fish")
TEMPLATES = ["a negative of a <CLASS>.", "a painting of a small <CLASS>."]


def between(clip: Clip, seed: int, noise: float) -> EncodedPictures:
    """Pictures near the mean text of their classes in two templates."""
    rng = np.random.default_rng(seed)
    texts = sum(clip.encode_texts([of.replace("<CLASS>", name) for name in NAMES]) for of in TEMPLATES) / 2
    labels = np.repeat(np.arange(len(NAMES)), 40)
    rows = texts[labels] + noise * rng.standard_normal((len(labels), texts.shape[1]))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return EncodedPictures(features, labels)


class Leading(ClipReward):
    scale = Scale(lead=0.5)


def settled(
    clip: Clip, folder: Path, size: int = 2, noise: float = 0.1, kind: type[ClipReward] = ClipReward
) -> tuple[Any, Any, Any, list[Any]]:
    reward = kind(clip, NAMES, FeatureStore(clip, folder))
    units = between(clip, 1, noise), between(clip, 2, noise)
    for _ in range(2):  # the second time as a resumed run does
        journal = Journal(folder / "run")
        record = ScoreKeeper(journal, reward)
        found = search(SearchSettings(steps=1), reward, GivenTemplates(TEMPLATES), *units, record=record)
        result, decided = settle(size, found, reward, *units, record)
        journal.close()
    return found, result, decided, read(folder / "run")


@pytest.mark.parametrize(
    ("gain", "error", "kept"), [(0.02, 0.0199, True), (0.02, 0.02, False), (0.02, None, False), (-0.1, 0.01, False)]
)
def test_it_is_taken_where_the_gain_exceeds_its_standard_error(
    gain: float, error: float | None, kept: bool, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_ensemble", lambda *of: ((gain, error), (0.3, 0.1)))
    found, result, decided, events = settled(clip, tmp_path)
    assert (decided.kept, decided.gain, decided.standard_error) == (kept, gain, error)
    assert decided.one == found.choice.template and len(decided.members) == 2
    (noted,) = [event for event in events if event["type"] == "ensemble"]
    assert (noted["size"], tuple(noted["members"]), noted["kept"]) == (2, decided.members, kept)
    if kept:
        assert result.choice.templates == decided.members
        assert (result.choice.gain, result.choice.standard_error) == (0.3, 0.1)
        assert (result.choice.kept_initial, result.choice.how) == (False, POOLED)
    else:
        assert result == found


def test_two_templates_that_each_see_half_of_the_pictures_are_taken_together(clip: Clip, tmp_path: Path) -> None:
    _, result, decided, _ = settled(clip, tmp_path, noise=0.12)
    assert decided.kept and decided.gain > decided.standard_error
    assert result.choice.templates == decided.members and set(decided.members) == set(TEMPLATES)


def test_an_ensemble_must_have_the_lead_too(clip: Clip, tmp_path: Path) -> None:
    found, result, decided, _ = settled(clip, tmp_path, noise=0.12, kind=Leading)
    assert found.choice.kept_initial and decided.gain > decided.standard_error, "more than luck, less than the lead"
    assert not decided.kept and result == found


@pytest.mark.parametrize(
    ("kind", "over_initial", "kept"),
    [(Leading, 0.51, True), (Leading, 0.5, False), (ClipReward, 0.01, True), (ClipReward, 0.0, False)],
)
def test_the_lead_is_over_the_initial_template_and_not_over_the_one(
    kind: type[ClipReward],
    over_initial: float,
    kept: bool,
    clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leads = []

    def measured(searched: ScoreTable, selection: ScoreTable, *of: Any) -> Any:
        leads.extend([searched.lead, selection.lead])
        return (0.02, 0.01), (over_initial, 0.1)

    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_ensemble", measured)
    _, _, decided, _ = settled(clip, tmp_path, kind=kind)
    assert decided.kept == kept and set(leads) == {kind.scale.lead}


def test_the_score_is_that_of_the_program(clip: Clip, tmp_path: Path) -> None:
    reward = ClipReward(clip, NAMES, FeatureStore(clip, tmp_path))
    pictures = between(clip, 3, 0.1)
    score = reward.score_together(TEMPLATES, pictures)
    program = TemplateClassifier(clip, NAMES, [(template, 1.0) for template in TEMPLATES])
    assert score.predictions.tolist() == program.logits(pictures.features).argmax(axis=1).tolist()
    assert score.template == " + ".join(TEMPLATES)


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
    offsets = fitted_on("mean", *units)
    result, settled = settle_offsets(found, offsets, *units, ScoreKeeper(None, reward))
    assert settled.kept is offsets and result.choice.template == "one <CLASS>"


@pytest.mark.parametrize(
    ("gain", "error", "kept"), [(0.02, 0.0199, True), (0.02, 0.02, False), (0.02, None, False), (-0.1, 0.01, False)]
)
def test_offsets_are_kept_where_the_gain_exceeds_its_standard_error(
    gain: float, error: float | None, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_difference", lambda *of: (gain, error))
    reward, units = Told(), [EncodedPictures(np.full((20, 2), part, dtype=np.float32), None) for part in (0, 1)]
    found = search(SearchSettings(steps=1), reward, GivenTemplates(["one <CLASS>", "other <CLASS>"]), *units)
    offsets = fitted_on("mean", *units)
    result, settled = settle_offsets(found, offsets, *units, ScoreKeeper(None, reward))
    assert settled.kept == (offsets if kept else None) and (settled.gain, settled.standard_error) == (gain, error)
    assert result.choice.template == ("one <CLASS>" if kept else "other <CLASS>")


def test_one_template_is_no_ensemble(clip: Clip, tmp_path: Path) -> None:
    found, result, decided, _ = settled(clip, tmp_path, size=1)
    assert result == found and not decided.kept
