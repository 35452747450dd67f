from __future__ import annotations

import json
from typing import Any

import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.report import explain
from ipo_prompts.experiments.report.explain import word_effects
from ipo_prompts.experiments.run.files import content_of
from ipo_prompts.experiments.run.final_test import Scored
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.evidence import ALPHA, Effect
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling

X_RAY = "an x-ray of a <CLASS> with neon colors, in dim light."


@pytest.fixture(scope="module")
def images(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipReward, EncodedImages, Sampling]:
    drawn = draw(load_data("embedded", seed=0), 4, 2, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        reward = ClipReward(clip, drawn.class_names)
        encoded = reward.encode([i.image for i in drawn.val], [i.label for i in drawn.val])
    return reward, encoded, Sampling.of(len(encoded), encoded.labels.tolist())


def measured(reward: ClipReward, *scored_only: Any, part: Any = "fresh") -> dict[str, Any]:
    seen_part = seen(reward, *scored_only)
    return content_of(word_effects(reward, seen_part.optimised.template, part, seen_part))


def seen(reward: ClipReward, units: Any, chosen: Score, sampling: Sampling) -> Scored:
    return Scored(reward, Encoded(units, (), (), None), (), [chosen], sampling)


def effects(images: tuple[ClipReward, EncodedImages, Sampling], template: str) -> dict[str, Any]:
    reward, encoded, sampling = images
    found = measured(reward, encoded, reward.score([template], encoded)[0], sampling)
    json.dumps(found, allow_nan=False)
    return found


def test_the_words_that_name_the_shift_matter_and_others_do_not(images: Any) -> None:
    found = effects(images, "a photograph of a <CLASS> with inverted colors.")
    rows = {row["text"]: row for row in found["changes"]}
    named, plain = rows["with inverted colors"], rows["photograph"]
    assert named["ci95"][1] < 0
    assert abs(plain["change"]) < abs(named["change"]) / 2


def test_every_number_is_that_of_the_template_beside_it(images: Any) -> None:
    reward, encoded, _ = images
    found = effects(images, X_RAY)
    chosen = reward.score([X_RAY], encoded)[0]
    assert (found["part"], found["n"], found["template"]) == ("fresh", 136, X_RAY)
    assert found["value"] == round(chosen.value, 6)
    for row in found["changes"]:
        start, end = row["span"]
        assert X_RAY[start:end] == row["text"]
        score = reward.score([row["template"]], encoded)[0]
        assert row["change"] == pytest.approx(score.value - chosen.value, abs=2e-6)
        assert row["ci95"][0] <= row["change"] <= row["ci95"][1]
        assert row["significant"] == (row["p"] < 0.05)


def test_all_templates_are_scored_in_one_call(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reward, encoded, sampling = images
    chosen = reward.score([X_RAY], encoded)[0]
    calls: list[int] = []
    real = ClipReward.score

    def counted(self: ClipReward, templates: Any, encoded: EncodedImages) -> list[Score]:
        calls.append(len(templates))
        assert len(set(templates)) == len(templates)
        return real(self, templates, encoded)

    monkeypatch.setattr(ClipReward, "score", counted)
    measured(reward, encoded, chosen, sampling)
    assert len(calls) == 1


@pytest.mark.parametrize(("p", "significant"), [(ALPHA, True), (ALPHA + 1e-6, False)])
def test_a_change_is_shown_at_the_p_at_which_a_verdict_shows_a_gain(
    images: Any, monkeypatch: pytest.MonkeyPatch, p: float, significant: bool
) -> None:
    monkeypatch.setattr(explain, "paired_difference", lambda *_: Effect(-0.1, -0.2, 0.0, p, "these classes"))
    (row,) = effects(images, "drawing <CLASS>.")["changes"]
    assert (row["p"], row["significant"], row["ci95"]) == (pytest.approx(p), significant, [-0.2, 0.0])


def test_what_cannot_be_scored_is_left_out(images: Any) -> None:
    tried = [row["template"] for row in effects(images, "<CLASS>, a negative")["changes"]]
    assert tried and "a negative" not in tried


@pytest.mark.parametrize("template", ["<CLASS>", "<CLASS>.", "<CLASS>!"])
def test_a_bare_class_name_has_no_words_to_change(images: Any, template: str) -> None:
    found = effects(images, template)
    assert found["changes"] == []


def test_on_the_images_that_chose_the_same_changes_are_described_and_not_tested(images: Any) -> None:
    reward, encoded, sampling = images
    scored_only = encoded, reward.score([X_RAY], encoded)[0], sampling
    tested, described = measured(reward, *scored_only), measured(reward, *scored_only, part="val")
    assert described["part"] == "val"
    for one, two in zip(tested["changes"], described["changes"], strict=True):
        assert one["change"] == two["change"]
        assert (two["ci95"], two["p"], two["significant"]) == (None, None, False)
        assert one["ci95"] and one["p"] is not None
