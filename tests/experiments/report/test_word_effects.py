from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.report.words import word_effects
from ipo_prompts.experiments.run.comparison import Compared
from ipo_prompts.experiments.run.files import content_of
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.evidence import holm
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling

X_RAY = "an x-ray of a <CLASS> with neon colors, in dim light."


@pytest.fixture(scope="module")
def pictures(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipReward, EncodedPictures, Sampling]:
    drawn = draw(load_data("embedded", seed=0), 4, 2, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        reward = ClipReward(clip, drawn.class_names)
        encoded = reward.encode([i.picture for i in drawn.selection], [i.label for i in drawn.selection])
    return reward, encoded, Sampling.of(len(encoded), encoded.labels.tolist())


def measured(reward: ClipReward, *scored_only: Any, part: Any = "fresh") -> dict[str, Any]:
    return content_of(word_effects(reward, part, seen(reward, *scored_only)))


def seen(reward: ClipReward, units: Any, chosen: Score, sampling: Sampling) -> Compared:
    return Compared([], units, None, reward, sampling, chosen, chosen)


def effects(pictures: tuple[ClipReward, EncodedPictures, Sampling], template: str) -> dict[str, Any]:
    reward, encoded, sampling = pictures
    found = measured(reward, encoded, reward.score([template], encoded)[0], sampling)
    json.dumps(found, allow_nan=False)
    return found


def test_the_words_that_name_the_shift_matter_and_others_do_not(pictures: Any) -> None:
    found = effects(pictures, "a photograph of a <CLASS> with inverted colors.")
    rows = {row["text"]: row for row in found["changes"]}
    named, plain = rows["with inverted colors"], rows["photograph"]
    assert named["value"]["ci95"][1] < 0 and named["loss"]["ci95"][0] > 0
    for measure in ("value", "loss"):
        assert abs(plain[measure]["change"]) < abs(named[measure]["change"]) / 2


def test_every_number_is_that_of_the_template_beside_it(pictures: Any) -> None:
    reward, encoded, _ = pictures
    found = effects(pictures, X_RAY)
    chosen = reward.score([X_RAY], encoded)[0]
    assert (found["part"], found["n"], found["template"]) == ("fresh", 136, X_RAY)
    assert (found["value"], found["loss"]) == (round(chosen.value, 6), round(chosen.loss, 6))
    for row in found["changes"]:
        start, end = row["span"]
        assert X_RAY[start:end] == row["text"]
        score = reward.score([row["template"]], encoded)[0]
        assert row["value"]["change"] == pytest.approx(score.value - chosen.value, abs=2e-6)
        assert row["loss"]["change"] == pytest.approx(score.loss - chosen.loss, abs=2e-6)
        assert row["value"]["ci95"][0] <= row["value"]["change"] <= row["value"]["ci95"][1]
        assert row["significant"] == (row["p"] < 0.05)
    assert f"{len(found['changes'])} changes scored on 136 fresh pictures, training or validation" in found["note"]


def test_all_templates_are_scored_in_one_call(pictures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reward, encoded, sampling = pictures
    chosen = reward.score([X_RAY], encoded)[0]
    calls: list[int] = []
    real = ClipReward.score

    def counted(self: ClipReward, templates: Any, encoded: EncodedPictures) -> list[Score]:
        calls.append(len(templates))
        assert len(set(templates)) == len(templates)
        return real(self, templates, encoded)

    monkeypatch.setattr(ClipReward, "score", counted)
    measured(reward, encoded, chosen, sampling)
    assert len(calls) == 1


def test_what_cannot_be_scored_is_skipped_with_its_reason(pictures: Any) -> None:
    skipped = {row["template"]: row["reason"] for row in effects(pictures, "<CLASS>, a negative")["skipped"]}
    assert skipped == {"a negative": "it has no <CLASS> slot"}


@pytest.mark.parametrize("template", ["<CLASS>", "<CLASS>.", "<CLASS>!"])
def test_a_bare_class_name_has_no_words_to_change(pictures: Any, template: str) -> None:
    found = effects(pictures, template)
    assert found["changes"] == []
    assert [row["reason"] for row in found["skipped"]] == ["it has no <CLASS> slot"]


def test_one_of_several_slots_can_go(pictures: Any) -> None:
    found = effects(pictures, "a <CLASS>, a negative of a <CLASS>.")
    rows = {row["template"]: row for row in found["changes"]}
    assert {"a, a negative of a <CLASS>.", "a <CLASS>, a negative of a.", "a <CLASS>."} <= set(rows)
    assert not found["skipped"]


@pytest.mark.parametrize("draws", [None, ["one"] * 136])
def test_without_classes_or_with_one_draw_all_is_still_json(pictures: Any, draws: list[str] | None) -> None:
    reward, encoded, _ = pictures
    found = effects((reward, encoded, Sampling.of(136, None, draws)), "a negative <CLASS>.")
    for row in found["changes"]:
        if draws:
            assert (row["value"]["ci95"], row["loss"]["ci95"], row["significant"]) == ([-1.0, 1.0], None, False)
        else:
            assert row["loss"]["ci95"][0] <= row["loss"]["change"] <= row["loss"]["ci95"][1]


def test_a_clear_effect_is_significant_after_holm(pictures: Any) -> None:
    reward, encoded, sampling = pictures
    n = len(encoded)
    perfect = Score(X_RAY, 1.0, 0.0, np.ones(n, dtype=bool), np.zeros(n), encoded.labels)
    rows = measured(reward, encoded, perfect, sampling)["changes"]
    assert all(row["significant"] and row["value"]["ci95"][1] < 0 for row in rows)


class Graded:
    """A real reward whose units contribute numbers: how far the loss is below 10 nats, in tenths."""

    def __init__(self, inner: ClipReward) -> None:
        self._inner = inner
        self.class_names = inner.class_names
        self.problem, self.examples = inner.problem, inner.examples

    def score(self, templates: Any, units: Any) -> list[Score]:
        found = []
        for one in self._inner.score(templates, units):
            values = 1 - one.losses / 10
            found.append(Score(one.template, float(values.mean()), one.loss, values, one.losses))
        return found


def test_numbers_are_tested_by_t_within_classes(pictures: Any) -> None:
    reward, encoded, sampling = pictures
    graded = Graded(reward)
    chosen = graded.score([X_RAY], encoded)[0]
    found = word_effects(graded, "fresh", seen(graded, encoded, chosen, sampling))
    row = next(row for row in found.changes if row.text == "neon")
    changed = graded.score([row.template], encoded)[0]
    # Two pictures a class: squares within pairs times 2/1, and two draws more of the mean square of what differs.
    differences = changed.hits - chosen.hits
    pairs = np.stack([differences[encoded.labels == label] for label in range(68)])
    squares = 2 * ((pairs - pairs.mean(axis=1, keepdims=True)) ** 2).sum() + 2 * np.mean(differences**2)
    expected = stats.t(68, differences.mean(), np.sqrt(squares) / 136)
    assert row.value.change == pytest.approx(changed.value - chosen.value, abs=2e-6)
    assert row.value.ci95 == pytest.approx(expected.interval(0.95), abs=2e-6)
    p = 2 * min(expected.cdf(0), expected.sf(0))
    assert row.p is not None and p <= row.p <= p * len(found.changes) + 1e-6


def test_variants_of_one_picture_count_once(pictures: Any) -> None:
    reward, encoded, sampling = pictures
    chosen = reward.score([X_RAY], encoded)[0]
    alone = measured(reward, encoded, chosen, sampling)
    twice = np.tile(np.arange(136), 2)
    doubled = EncodedPictures(encoded.features[twice], encoded.labels[twice])
    sampling = Sampling.of(272, doubled.labels.tolist(), twice.tolist())
    found = measured(reward, doubled, reward.score([X_RAY], doubled)[0], sampling)
    assert (found["n"], alone["n"]) == (272, 136)
    for one, two in zip(alone["changes"], found["changes"], strict=True):
        assert two["p"] == one["p"]
        assert two["value"]["ci95"] == pytest.approx(one["value"]["ci95"], abs=2e-6)
        assert two["loss"]["ci95"] == pytest.approx(one["loss"]["ci95"], abs=2e-6)


def test_on_the_pictures_that_chose_the_same_changes_are_described_and_not_tested(pictures: Any) -> None:
    reward, encoded, sampling = pictures
    scored_only = encoded, reward.score([X_RAY], encoded)[0], sampling
    tested, described = measured(reward, *scored_only), measured(reward, *scored_only, part="selection")
    assert described["part"] == "selection"
    for one, two in zip(tested["changes"], described["changes"], strict=True):
        assert [one[name]["change"] for name in ("value", "loss")] == [
            two[name]["change"] for name in ("value", "loss")
        ]
        assert (two["value"]["ci95"], two["loss"]["ci95"], two["p"], two["significant"]) == (None, None, None, False)
        assert one["value"]["ci95"] and one["loss"]["ci95"] and one["p"] is not None
    assert "136 selection pictures, which chose the template: no other training pictures" in described["note"]
    assert "changes look worse here than they are, the loss less so. No change is tested" in described["note"]


def test_classes_of_which_none_is_left_are_counted(pictures: Any) -> None:
    reward, encoded, _ = pictures
    some = np.flatnonzero(encoded.labels < 60)
    few = EncodedPictures(encoded.features[some], encoded.labels[some])
    found = effects((reward, few, Sampling.of(len(few), few.labels.tolist())), "a negative <CLASS>.")
    assert "120 fresh pictures of 60 of the 68 classes, training or validation" in found["note"]


def test_holm_is_the_step_down_procedure() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    # Worked by hand: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, then never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_what_its_definition_rejects(seed: int) -> None:
    p = np.random.default_rng(seed).beta(0.3, 3, size=20)
    order = np.argsort(p)
    rejected = np.zeros(20, dtype=bool)
    for rank, i in enumerate(order):
        if p[i] >= 0.05 / (20 - rank):
            break
        rejected[i] = True
    assert [value < 0.05 for value in holm(list(p))] == list(rejected)
