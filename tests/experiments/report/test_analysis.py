from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import Item, draw, fresh, load_data
from ipo_prompts.experiments.report.analysis import Analysis
from ipo_prompts.experiments.report.explain import (
    MOST_FLIPS,
    AnyPart,
    LabelledPart,
    Scored,
    analyse,
    class_rows,
    flips,
    thumbnail,
)
from ipo_prompts.experiments.run.files import content_of, read_model, write_json
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import BASELINE

NEGATIVE = "an x-ray of a <CLASS> with neon colors, in dim light."


class Job:
    """The embedded job with base and new classes, for any two templates."""

    def __init__(self, clip: Clip) -> None:
        data = load_data("embedded", seed=0)
        self.drawn = draw(data, 3, 2, 0, "base")
        self.fresh = fresh(data, self.drawn, 0)
        store = FeatureStore(clip)
        self.reward = ClipReward(clip, self.drawn.class_names, store)
        self.new = ClipReward(clip, self.drawn.new_class_names, store)

    def analysed(self, template: str) -> dict[str, Any]:
        return self.of(self.parts(template))

    def of(self, parts: dict[AnyPart, Scored]) -> dict[str, Any]:
        return content_of(analyse(parts, self.searched(parts["test"].optimised.template)))

    def searched(self, template: str) -> Any:
        """Return what is read of a search that chose this template at once."""
        history = [SimpleNamespace(scored=(Score(BASELINE, 0.5, 1.0, np.ones(2), np.ones(2)),))]
        found = SimpleNamespace(choice=SimpleNamespace(template=template), steps=history, finalists=(), descriptions=())
        return SimpleNamespace(reward=self.reward, result=found)

    def parts(self, template: str, initial: str = BASELINE) -> dict[AnyPart, Scored]:
        drawn = self.drawn
        rows: dict[AnyPart, tuple[ClipReward, Sequence[Item]]]
        rows = {"val": (self.reward, drawn.val), "fresh": (self.reward, self.fresh)}
        rows |= {"test": (self.reward, drawn.test), "new": (self.new, drawn.new_test)}
        return {name: self._part(reward, items, initial, template) for name, (reward, items) in rows.items()}

    def _part(self, reward: ClipReward, items: Sequence[Item], initial: str, template: str) -> Scored:
        images = reward.encode([item.image for item in items], [item.label for item in items])
        scores = reward.score([initial, template], images)
        drawn = Sampling.of(len(items), [item.label for item in items], [item.group for item in items])
        return Scored(reward, Encoded(images, (), items, images.labels), (), scores, drawn)


@pytest.fixture(scope="module")
def job(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Job:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return Job(clip)


@pytest.fixture(scope="module")
def found(job: Job) -> dict[str, Any]:
    return job.analysed(NEGATIVE)


def made(labels: Sequence[int], before: Sequence[int], after: Sequence[int], names: Sequence[str]) -> LabelledPart:
    """Two templates' predictions, given outright: what is counted from them can be worked out by hand."""
    truth = np.asarray(labels, dtype=np.int64)
    png = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")
    items = [
        Item(LazyImage.from_bytes(f"/home/me/{i}.png", png.getvalue()), label, str(i)) for i, label in enumerate(labels)
    ]
    scores = []
    for predictions in (np.asarray(before), np.asarray(after)):
        hits = predictions == truth
        scores.append(Score("a <CLASS>", float(hits.mean()), 1.0, hits, np.where(hits, 0.5, 1.5), predictions))
    reward: Any = SimpleNamespace(class_names=names)
    sampling: Any = None
    units: Any = None
    return LabelledPart(reward, Encoded(units, (), items, truth), (), scores, sampling)


def test_what_is_written_is_what_is_read(job: Job, tmp_path: Path) -> None:
    analysis = analyse(job.parts(NEGATIVE), job.searched(NEGATIVE))
    write_json(tmp_path / "analysis.json", analysis)
    assert read_model(Analysis, tmp_path / "analysis.json") == analysis


@pytest.mark.parametrize("missing", ["labels", "predictions", "items"])
def test_without_labels_predictions_or_images_words_are_all_there_is(job: Job, missing: str) -> None:
    def without(part: Scored) -> Scored:
        if missing == "labels":
            return replace(part, encoded=part.encoded._replace(labels=None))
        if missing == "items":
            return replace(part, encoded=part.encoded._replace(items=()))
        nothing = np.zeros(0, dtype=np.int64)
        return replace(part, scores=[replace(score, predictions=nothing) for score in part.scores])

    parts = {name: without(part) for name, part in job.parts(NEGATIVE).items()}
    found = analyse(parts, job.searched(NEGATIVE))
    assert (found.classes, found.flips) == ((), None) and found.words is not None


def test_the_parts_agree_with_the_scores(job: Job, found: dict[str, Any]) -> None:
    parts = job.parts(NEGATIVE)
    for name in ("test", "new"):
        rows = [row for row in found["classes"] if row["part"] == name]
        assert [row["name"] for row in rows] == list(parts[name].reward.class_names)
        n = sum(row["n"] for row in rows)
        assert n == parts[name].initial.n
        for which in ("initial", "optimised"):
            score: Score = getattr(parts[name], which)
            assert sum(row["n"] * row[which] for row in rows) / n == pytest.approx(score.value, abs=1e-6)
    right = {
        which: sum(int(getattr(parts[name], which).hits.sum()) for name in ("test", "new"))
        for which in ("initial", "optimised")
    }
    totals = found["flips"]["gained_total"], found["flips"]["lost_total"]
    assert totals[0] - totals[1] == right["optimised"] - right["initial"]
    assert min(totals) > 0


def test_flips_are_spread_over_classes_with_thumbnails(found: dict[str, Any]) -> None:
    for kind in ("gained", "lost"):
        rows = found["flips"][kind]
        assert len(rows) == min(MOST_FLIPS, found["flips"][f"{kind}_total"])
        for row in rows:
            right, wrong = ("after", "before") if kind == "gained" else ("before", "after")
            assert row[right] == row["class_name"] != row[wrong]
            assert "/" not in row["image"]
            assert row["thumbnail"].startswith("data:image/jpeg;base64,")
    gained = [row["class_name"] for row in found["flips"]["gained"]]
    assert len(set(gained)) == len(gained)


@pytest.mark.parametrize("part", ["fresh", "val"])
def test_words_are_tried_on_fresh_images_else_on_those_that_chose_and_never_on_test_ones(
    job: Job, monkeypatch: pytest.MonkeyPatch, part: AnyPart
) -> None:
    parts = {name: each for name, each in job.parts(NEGATIVE).items() if name != "fresh" or part == "fresh"}
    seen: list[EncodedImages] = []
    real = ClipReward.score

    def watched(self: ClipReward, templates: Sequence[str], images: EncodedImages) -> list[Score]:
        seen.append(images)
        return real(self, templates, images)

    monkeypatch.setattr(ClipReward, "score", watched)
    words = job.of(parts)["words"]
    assert len(seen) == 1
    assert seen[0] is parts[part].encoded.units
    assert (words["part"], words["n"]) == (part, parts[part].optimised.n)
    assert all((change["p"] is not None) == (part == "fresh") for change in words["changes"])


def test_the_initial_template_flips_nothing(job: Job) -> None:
    same = job.analysed(BASELINE)
    flips = same["flips"]
    assert (flips["gained"], flips["lost"], flips["gained_total"], flips["lost_total"]) == ([], [], 0, 0)
    assert len(flips["wrong"]) == MOST_FLIPS
    assert {row["gain"] for row in same["classes"]} == {0.0}
    assert same["words"]["template"] == BASELINE


def test_the_most_frequent_confusions_come_first_with_an_image_of_either_class() -> None:
    part = made([0, 0, 0, 1, 2], before=[0, 0, 0, 1, 2], after=[2, 1, 1, 1, 3], names=["cat", "dog", "fox", "owl"])
    found = flips([part])
    told = [(one.class_name, one.after, one.confused, one.image, one.taken_for is None) for one in found.wrong]
    assert told == [
        ("cat", "dog", 2, "1.png", False),
        ("cat", "fox", 1, "0.png", False),
        ("fox", "owl", 1, "4.png", True),
    ]
    assert (found.lost_total, found.wrong_total) == (4, 0)


def test_a_class_without_images_has_no_row() -> None:
    part = made([0, 0, 2], before=[0, 1, 0], after=[0, 0, 0], names=["cat", "dog", "hot_dog"])
    assert [row.model_dump() for row in class_rows("test", part)] == [
        {"name": "cat", "part": "test", "n": 2, "initial": 0.5, "optimised": 1.0, "gain": 0.5},
        {"name": "hot_dog", "part": "test", "n": 1, "initial": 0.0, "optimised": 0.0, "gain": 0.0},
    ]


def test_a_class_that_no_test_image_shows_is_named(job: Job, found: dict[str, Any]) -> None:
    assert found["untested"] == []
    shown = [item for item in job.drawn.test if item.label != 1]
    parts = job.parts(NEGATIVE) | {"test": job._part(job.reward, shown, BASELINE, NEGATIVE)}
    assert job.of(parts)["untested"] == [job.reward.class_names[1]]


@pytest.mark.parametrize(
    ("flipped", "shown"),
    [
        ([1] * 26, [0, 5, 10, 15, 20, 25]),  # one a class, evenly over the classes
        ([9, 1, 9], [0, 0, 0, 1, 2, 2]),  # the small class whole, the others in turn
        ([2, 1], [0, 0, 1]),
    ],
)
def test_no_class_crowds_out_the_others(flipped: list[int], shown: list[int]) -> None:
    names = [str(i) for i in range(len(flipped) + 1)]
    labels = [label for label, count in enumerate(flipped) for _ in range(count)]
    part = made(labels, before=[len(flipped)] * len(labels), after=labels, names=names)
    found = content_of(flips([part]))
    assert sorted(int(row["class_name"]) for row in found["gained"]) == shown
    assert found["gained_total"] == sum(flipped)
    assert len({row["image"] for row in found["gained"]}) == len(shown)
    assert found["lost"] == []


@pytest.mark.parametrize(
    ("mode", "form"), [("RGB", "JPEG"), ("RGBA", "PNG"), ("L", "JPEG"), ("P", "GIF"), ("CMYK", "JPEG")]
)
def test_a_thumbnail_is_small_and_tells_nothing_else(mode: str, form: str) -> None:
    original = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "at my home"
    options: dict[str, Any] = {"comment": b"at my home"} if form in ("JPEG", "GIF") else {}
    if form != "GIF":
        options |= {"exif": exif, "icc_profile": b"at my home"}
    Image.effect_noise((400, 200), 60).convert(mode).save(original, form, **options)
    assert b"at my home" in original.getvalue()
    data = base64.b64decode(thumbnail(LazyImage.from_bytes("x", original.getvalue())).split(",")[1])
    assert b"at my home" not in data
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.mode, image.format) == ((96, 48), "RGB", "JPEG")
        assert not image.getexif()
    assert len(data) < 8_000
