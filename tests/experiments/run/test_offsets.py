"""Offsets in a run: kept where they are worth it, left off where they do harm, refused where nothing can have them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run.beside import what_they_add
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.experiments.run.told import offsets_in_words
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, fitted_on
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.offsets import Kind, fitted
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.running import Job
from ipo_prompts.programs.running import run as run_job
from ipo_prompts.programs.selection import POOLED, Choice
from ipo_prompts.programs.strategies.base import GivenTemplates
from ipo_prompts.programs.templates.settings import SearchSettings
from support.runs import Ended, check_it_can_be_done_again, ipo

NAMES = ("cat", "apple", "bus", "key", "book", "fish")
EACH = 12
"""Pictures of a class in each part."""
TEMPLATES = ["a negative of a <CLASS>.", "a <CLASS>."]


def made_up(clip: Clip, towards: float, counts: list[int], seed: int, noise: float = 0.04) -> Encoded:
    """Pictures near the texts of their classes, all of them moved towards the first class by `towards`."""
    rng = np.random.default_rng(seed)
    texts = clip.encode_texts([f"a photo of a {name}." for name in NAMES])
    labels = np.repeat(np.arange(len(NAMES)), counts)
    rows = texts[labels] + towards * texts[0] + noise * rng.standard_normal((len(labels), texts.shape[1]))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return Encoded(EncodedPictures(features, labels), (), (), labels)


def settled(
    clip: Clip,
    kind: Kind,
    towards: float,
    counts: list[int],
    folder: Path,
    noise: float = 0.04,
    held_back: float | None = None,
) -> tuple[Any, Any, list[Any]]:
    reward = ClipReward(clip, NAMES, FeatureStore(clip, folder))
    """Search and choose on such pictures; those that are held back may be moved by something else."""
    search_part = made_up(clip, towards, counts, 1, noise)
    selection = made_up(clip, towards if held_back is None else held_back, counts, 2, noise)
    settings = SearchSettings(steps=1, offsets=kind)
    units = search_part.units, selection.units
    journal = Journal(folder / "run")
    found = run_job(Job(settings, reward, *units, strategy=lambda lm: GivenTemplates(TEMPLATES)), journal)
    journal.close()
    return found.result, found.settled, read(folder / "run")


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_they_are_kept_where_one_class_is_guessed_too_often(kind: Kind, clip: Clip, tmp_path: Path) -> None:
    result, worth, events = settled(clip, kind, 1.1, [EACH] * len(NAMES), tmp_path)
    assert worth.kept is not None and worth.kept.kind == kind
    assert worth.gain > worth.standard_error > 0
    (decided,) = [event for event in events if event["type"] == "offsets"]
    assert (decided["kind"], decided["kept"], decided["gain"]) == (kind, True, worth.gain)
    kinds = [event["kind"] for event in events if event["type"] == "scores" and event["step"] == -1]
    assert f"selection with {kind} offsets" in kinds and "selection without offsets" in kinds
    # What decides is measured with offsets that the held-back pictures had no part in.
    fair = [event["scores"] for event in events if event.get("kind", "").endswith("offsets of the search pictures")]
    told = {row["template"]: row["loss"] for row in fair[1]}
    reward = ClipReward(clip, NAMES, FeatureStore(clip, tmp_path))
    searched, selection = (made_up(clip, 1.1, [EACH] * len(NAMES), seed).units for seed in (1, 2))

    def loss(of: EncodedPictures, offsets: Any) -> Any:
        (score,) = reward.score(TEMPLATES[:1], replace(of, offsets=offsets))
        return pytest.approx(score.loss, abs=1e-6)

    assert told[TEMPLATES[0]] == loss(selection, fitted_on(kind, searched))
    assert result.choice.gain is not None
    # Those that are kept are of both parts. Searched with are only those that are the same for all templates.
    of_both = fitted_on(kind, searched, selection)
    (kept,) = reward.score(TEMPLATES[:1], replace(selection, offsets=worth.kept))
    assert kept.loss == loss(selection, of_both) != loss(selection, fitted_on(kind, searched)).expected
    for part, units in (("search", searched), ("selection", selection)):
        scores = [event["scores"] for event in events if event["type"] == "scores" and event["kind"] == part][-1]
        (row,) = [row for row in scores if row["template"] == TEMPLATES[0]]
        assert row["loss"] == loss(units, of_both if kind == "centring" else None)


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_they_are_left_off_where_they_do_harm_on_held_back_pictures(kind: str, clip: Clip, tmp_path: Path) -> None:
    """One class is guessed too often of the search pictures, and not of the others: its own are taken from it."""
    result, worth, events = settled(clip, kind, 2.0, [EACH] * len(NAMES), tmp_path, noise=0.1, held_back=0.0)
    assert worth.kept is None and worth.gain < 0
    (decided,) = [event for event in events if event["type"] == "offsets"]
    assert decided["kept"] is False
    reward = ClipReward(clip, NAMES, FeatureStore(clip, tmp_path))
    counts = [EACH] * len(NAMES)
    parts = made_up(clip, 2.0, counts, 1, noise=0.1), made_up(clip, 0.0, counts, 2, noise=0.1)
    units = (part.units for part in parts)
    plain = run_job(Job(SearchSettings(steps=1), reward, *units, strategy=lambda lm: GivenTemplates(TEMPLATES)))
    assert result.choice == plain.result.choice  # what a run without them would have chosen of these templates


@pytest.mark.parametrize("lead", [0.0, 0.5])
def test_within_the_lead_the_initial_template_stays_with_them_as_without(
    lead: float, clip: Clip, tmp_path: Path
) -> None:
    class Leading(ClipReward):
        scale = Scale(lead=lead)

    reward = Leading(clip, NAMES, FeatureStore(clip, tmp_path))
    units = [made_up(clip, 0.0, [EACH] * len(NAMES), seed, noise=0.2).units for seed in (1, 2)]
    settings = SearchSettings(steps=1, offsets="prior", initial_template=TEMPLATES[0])
    found = run_job(Job(settings, reward, *units, strategy=lambda lm: GivenTemplates(["a photo of a <CLASS>."])))
    assert found.settled is not None and found.result.choice.kept_initial == (lead > 0)


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_nearly_all_pictures_of_one_class_do_not_take_its_own_from_it(kind: str, clip: Clip, tmp_path: Path) -> None:
    """Unless each class weighed the same, it would seem to be guessed too often."""
    counts = [60, 3, 3, 3, 3, 3]
    _, worth, _ = settled(clip, kind, 0.0, counts, tmp_path, noise=0.1)
    assert worth.gain >= 0
    reward, pictures = (
        ClipReward(clip, NAMES, FeatureStore(clip, tmp_path)),
        made_up(clip, 0.0, counts, 2, noise=0.1).units,
    )
    plain = reward.score(TEMPLATES[1:], replace(pictures, offsets=fitted(kind, pictures.features)))[0].value
    weighed = reward.score(TEMPLATES[1:], replace(pictures, offsets=fitted_on(kind, pictures)))[0].value
    assert plain < weighed


@pytest.mark.parametrize(("gain", "small"), [(0.2, False), (0.05, True)])
def test_what_is_settled_after_them_has_those_that_are_kept(
    gain: float, small: bool, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names have the offsets that are kept; a small language model is asked for none."""
    monkeypatch.setattr("ipo_prompts.programs.running.cross_fitted_difference", lambda *of: (gain, 0.1))
    chosen = Choice("a choice <CLASS>", False, 0.1, 0.05, POOLED)
    monkeypatch.setattr("ipo_prompts.programs.running.pooled_choice", lambda *of: chosen)
    given: list[Any] = []

    def look(settings: Any, reward: Any, templates: Any, parts: Any, offsets: Any, record: Any, **more: Any) -> None:
        given.append(([*templates], [*parts], offsets, more))

    monkeypatch.setattr("ipo_prompts.programs.naming.search_names", look)
    reward = ClipReward(clip, NAMES, FeatureStore(clip, tmp_path))
    units = [made_up(clip, 1.1, [EACH] * len(NAMES), seed).units for seed in (1, 2)]
    settings, model = SearchSettings(steps=1, offsets="centring", names="search"), object()
    lm: Any = SimpleNamespace(connect=lambda *of: model, small=small)
    strategy = lambda lm: GivenTemplates(TEMPLATES)  # noqa: E731
    found = run_job(Job(settings, reward, *units, strategy=strategy, lm=lm, task="pets"))
    assert found.settled is not None and (found.settled.kept is not None) == (gain > 0.1)
    kept = found.settled.kept
    asked = {"lm": None if small else model, "task": "pets"}
    assert given == [([found.result.choice.template], units, kept, asked)]
    assert (found.result.choice == chosen) or kept is None


def test_no_other_reward_has_a_line_on_them() -> None:
    prepared: Any = SimpleNamespace(search=SimpleNamespace(units=object()))
    assert what_they_add(prepared, None, {}) is None


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in sorted((PICTURES_DIR / "a").iterdir())[:12]:
        shutil.copytree(name, folder / name.name)
    (folder.parent / "templates.txt").write_text("\n".join(["an x-ray of a <CLASS>.", *TEMPLATES]))
    return folder


def words(pictures: Path, *more: str) -> list[str]:
    listed = f"strategy.file={pictures.parent / 'templates.txt'}"
    return [
        *("optimize", f"--data=folder:{pictures}", "lm=none", "describer=none", "strategy=list", listed),
        *("shots=2", "selection_shots=2", *more),
    ]


@pytest.fixture()
def run(cache: Path, light: None, capfd: pytest.CaptureFixture[str], pictures: Path) -> Any:
    def start(*more: str) -> Ended:
        return ipo(capfd, *words(pictures, *more))

    return start


@pytest.fixture()
def light(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_a_run_with_them_labels_as_its_sealed_test_and_resumes_and_replays_to_the_same(
    kind: str, run: Any, clip: Clip, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    # So few pictures decide either way: here the decision is given, the rest is real.
    monkeypatch.setattr("ipo_prompts.programs.running.cross_fitted_difference", lambda ours, theirs: (0.1, 0.05))
    folder = tmp_path / "run"
    ended = run(f"offsets={kind}", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    assert found.offsets is not None and found.offsets.kept and found.offsets.kind == kind
    assert "  offsets: kept: they add " in ended.out
    assert offsets_in_words(found.offsets, same=False).startswith(
        f"Every score is with {kind} offsets (no labels, no words). They gained +10.00 points (standard error 5.0)"
    )
    program = TemplateClassifier.from_file(folder / "program.json", clip)
    assert program.offsets is not None and program.offsets.kind == kind
    # The program predicts what the sealed test counted.
    test = found.scores["test"].optimised
    assert test == found.offsets.sealed["test"].template.with_
    drawn = plan(load_config(folder / "config.yaml")).drawn
    named = program.probabilities([item.picture for item in drawn.test]).argmax(axis=1)
    right = float(np.mean(named == [item.label for item in drawn.test]))
    assert right == pytest.approx(test.value, abs=1e-6)
    check_it_can_be_done_again(capfd, folder, tmp_path / "again")


@pytest.mark.parametrize("classes", ["all", "base-to-new"])
def test_a_run_without_them_says_what_they_would_add(classes: str, run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run(f"classes={classes}", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder).offsets
    assert found is not None and not found.kept and found.gain is None and found.kind == "centring"
    assert list(found.sealed) == (["test", "new"] if classes == "base-to-new" else ["test"])
    same = load_result(folder).scores["test"].difference.outcome == "same templates"
    words = offsets_in_words(found, same)
    assert words.startswith("With centring offsets (no labels, no words) the same template would have ")
    assert ("; on new classes " in words) == (classes == "base-to-new")
    assert "offsets" not in ended.out, "nobody asked"
    assert words in (folder / "report.html").read_text().replace("\xa0", " ")
    added, scores = found.sealed["test"], load_result(folder).scores["test"]
    assert (added.template.without, added.initial.without) == (scores.optimised, scores.initial)
    difference = added.template.with_.value - added.template.without.value
    assert added.template.difference == pytest.approx(difference, abs=2e-6)
    assert json.loads((folder / "program.json").read_text())["offsets"] is None


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["offsets=centring", "reward=retrieval"], "is for classes that compete, and not for reward=retrieval"),
        (
            ["offsets=prior", "reward=examples.segmentation:Segmentation"],
            "is for classes that compete, and not for reward=examples.segmentation:Segmentation",
        ),
        (
            ["offsets=centring", "selection=search"],
            "no pictures are held back; set selection=held-back and selection_shots=1",
        ),
        (
            ["offsets=centring", "selection_shots=0"],
            "no pictures are held back; set selection=held-back and selection_shots=1",
        ),
        (["offsets=prior", "classes=base-to-new"], "for new classes set offsets=centring"),
        (["offsets=both"], "offsets"),
    ],
)
def test_what_cannot_have_them_is_refused(more: list[str], sentence: str, run: Any, tmp_path: Path) -> None:
    ended = run(*more, "--out", str(tmp_path / "run"))
    assert ended.code == 2
    assert sentence in ended.sentence
    assert not (tmp_path / "run").exists()
