from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics import surrogate
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.surrogate import BEST, FEWEST, FIRST, LAST, Surrogate, few_of
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.phrases import Vocabulary
from ipo_prompts.programs.search import SearchResult, search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import compose
from ipo_prompts.programs.strategies.compose import Compose


class Counting(ClipReward):
    """Remembers how many names each template was encoded with."""

    encoded: dict[str, list[int]]

    def encode_batch(self, templates: Sequence[str], units: Any, names: Sequence[str] | None = None) -> Any:
        for template in templates:
            self.encoded.setdefault(template, []).append(len(self.names_in(units) if names is None else names))
        return super().encode_batch(templates, units, names)


@pytest.fixture(scope="module")
def negative(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Counting, EncodedImages]:
    """The shipped images as negatives, six of each of 68 classes."""
    data = load_data("embedded:negative", seed=0)
    reward = Counting(clip, data.class_names, FeatureStore(clip, tmp_path_factory.mktemp("store")))
    items = [*data.train, *data.val]
    return reward, reward.encode([item.image for item in items], [item.label for item in items])


@pytest.fixture()
def bed(negative: tuple[Counting, EncodedImages]) -> tuple[Counting, EncodedImages]:
    negative[0].encoded = {}
    return negative


def phrases(count: int) -> list[str]:
    return [phrase.template for phrase in Vocabulary.load().phrases[:count]]


def test_the_best_of_many_templates_are_found_although_few_are_encoded_with_all_names(
    bed: tuple[Counting, EncodedImages],
) -> None:
    reward, units = bed
    templates = phrases(200)
    exact = {score.template: score for score in reward.score_batch(templates, units)}
    reward.encoded.clear()
    found = Surrogate(reward, units, BASELINE).promising(templates)
    assert len(found) == FEWEST + -(-200 // BEST)
    for score in found:
        assert score.value == pytest.approx(exact[score.template].value, abs=1 / units.labels.size)
        assert score.loss == pytest.approx(exact[score.template].loss, abs=1e-3)
    best = sorted(exact, key=lambda template: exact[template].rank, reverse=True)
    assert set(best[:5]) <= {score.template for score in found}
    for template, numbers in reward.encoded.items():
        assert set(numbers) <= {few_of(68), 68} and numbers.count(68) == (template in {one.template for one in found})


def test_predictions_follow_the_scores_far_better_than_scores_of_few_classes(
    bed: tuple[Counting, EncodedImages],
) -> None:
    reward, units = bed
    templates = phrases(160)
    made = Surrogate(reward, units, BASELINE)
    made.score(templates[:60])
    rest = templates[60:]
    exact = {score.template: score.rank for score in reward.score_batch(rest, units)}
    true = [exact[template] for template in rest]

    def agreement(ranked: list[str]) -> float:
        place = {template: -i for i, template in enumerate(ranked)}
        of_true = {rank: i for i, rank in enumerate(sorted(set(true)))}
        return float(spearmanr([place[one] for one in rest], [of_true[rank] for rank in true])[0])

    few = made._few
    part = units.part(np.flatnonzero(np.isin(units.labels, few)), few)
    alone = sorted(reward.score_batch(rest, part), key=lambda score: score.rank, reverse=True)
    predicted, without = agreement(made._ranked(rest)), agreement([score.template for score in alone])
    assert predicted > 0.85 > 0.8 > without


def test_with_all_classes_a_prediction_is_the_score(
    bed: tuple[Counting, EncodedImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, units = bed
    monkeypatch.setattr(surrogate, "FEW", 68)
    made = Surrogate(reward, units, BASELINE)
    made.score(phrases(5))
    ranked = made._ranked(phrases(40)[5:])
    exact = sorted(reward.score_batch(phrases(40)[5:], units), key=lambda score: score.rank, reverse=True)
    assert ranked[:10] == [score.template for score in exact][:10]


def test_a_change_that_all_classes_share_is_predicted_from_nothing_known(
    bed: tuple[Counting, EncodedImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, units = bed
    names = reward.names_in(units)
    start = reward.texts.encode([BASELINE], names)[0]
    move = np.random.default_rng(1).normal(0, 0.1, start.shape[1]).astype(np.float32)
    judged: list[Floats] = []

    def moved(templates: Sequence[str], units: Any, some: Sequence[str] | None = None) -> Any:
        yield templates, (start + move)[[names.index(one) for one in some or names]][None]

    def judge(templates: Sequence[str], rows: Sequence[Floats], units: Any) -> Any:
        judged.extend(rows)
        return ClipReward.score_embeddings(reward, templates, rows, units)

    made = Surrogate(reward, units, BASELINE)
    made.score(["a <CLASS>."])  # one known change, of another direction
    monkeypatch.setattr(reward, "encode_batch", moved)
    monkeypatch.setattr(reward, "score_embeddings", judge)
    made._ranked(["a new <CLASS>."])
    expected = start + move
    others = np.delete(np.arange(len(names)), made._few)
    expected[others] /= np.linalg.norm(expected[others], axis=1, keepdims=True)
    np.testing.assert_allclose(np.sum(judged[-1] * expected, axis=1)[others], 1, atol=0.02)


def test_few_templates_are_all_scored_and_the_first_ones_too(bed: tuple[Counting, EncodedImages]) -> None:
    reward, units = bed
    made = Surrogate(reward, units, BASELINE)
    assert [score.template for score in made.promising(phrases(3))] == phrases(3)
    assert made.promising([]) == []
    drawn = made.promising(phrases(23)[3:])
    assert [score.template for score in drawn] == phrases(23)[3:], "nothing is predicted from three templates"
    assert len(made.promising(phrases(40)[23:])) == -(-17 // BEST) + 1
    assert made._known == 27


def test_the_changes_that_are_kept_are_those_of_the_first_and_the_last_templates(
    bed: tuple[Counting, EncodedImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, units = bed
    templates = phrases(FIRST + LAST + 40)
    made = Surrogate(reward, units, BASELINE)
    for start in range(0, len(templates), 17):
        made.score(templates[start : start + 17])
    kept = [*templates[:FIRST], *templates[-LAST:]]
    rows = np.concatenate([rows for _, rows in reward.encode_batch(kept, units)]) - made._start
    distance = np.abs(made._changes[:, None] - rows[None]).max(axis=(2, 3))
    assert (distance.min(axis=0) < 1e-5).all() and (distance.min(axis=1) < 1e-5).all()
    monkeypatch.setattr(surrogate, "BYTES", 30 * made._start.nbytes)
    small = Surrogate(reward, units, BASELINE)
    small.score(templates)
    assert len(small._changes) == 30, "no more than fit into the memory"
    assert sorted(small._ranked(templates[:5])) == sorted(templates[:5])


def test_many_images_judge_predictions_by_a_sample_and_scores_by_all(
    bed: tuple[Counting, EncodedImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, units = bed
    monkeypatch.setattr(surrogate, "JUDGING", len(units) // 2)
    made = Surrogate(reward, units, BASELINE)
    assert len(made._judging) == len(units) // 2 and len({*made._judging.labels}) == len({*units.labels})
    assert {score.n for score in made.promising(phrases(80))} == {len(units)}


def searched(bed: tuple[Counting, EncodedImages], folder: Path, steps: int = 3) -> SearchResult:
    reward, units = bed
    settings = SearchSettings(steps=steps, candidates_per_step=2)
    with closing(Journal(folder)) as journal:
        return search(settings, reward, Compose(words=0, scored_templates=40), units, journal=journal)


def test_a_search_with_many_classes_scores_only_promising_compositions_and_resumes_to_the_same_result(
    bed: tuple[Counting, EncodedImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = searched(bed, tmp_path / "every", steps=1)
    assert compose.SENTENCES > 40 * 68 and every.steps[1].scored_only > 5 * 40 - 20
    monkeypatch.setattr(compose, "SENTENCES", 40 * 67)
    reward, units = bed
    whole = searched(bed, tmp_path / "whole")
    assert 0 < whole.steps[2].scored_only <= 40 // BEST + 6
    again = reward.score([one.template for one in whole.history], units)
    assert [one.value for one in whole.history] == [score.value for score in again]
    tried = len(whole.history.tried)
    assert tried == whole.scored_only < every.scored_only / 2, "what was predicted is not recorded as a score"
    searched(bed, tmp_path / "cut", steps=1)
    resumed = searched(bed, tmp_path / "cut")
    assert [one.template for one in resumed.history] == [one.template for one in whole.history]
    assert resumed.choice.template == whole.choice.template
