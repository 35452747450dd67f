"""The controls beside the answer: labelled images without words, and CLIP's 80 templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.report.page import notebook_part, read_run, run_page
from ipo_prompts.experiments.run.files import config_of, load_config
from ipo_prompts.experiments.run.plan import Plan, plan
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.template import fill, imagenet_templates
from ipo_prompts.metrics.verdict import share
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import copy_images, ipo, resuming

BOTH = ["images alone", "CLIP's 80 templates"]


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_run_shows_and_records_both_controls(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    data, runs = f"folder:{copy_images(tmp_path / 'images')}", iter(range(9))

    def run(*more: str) -> tuple[Path, str]:
        folder = tmp_path / f"run{next(runs)}"
        words = (data, "lm=none", "steps=1", "candidates_per_step=2", "shots=1", "val_shots=1", *more)
        ended = ipo(capfd, "optimize", *words, "--out", str(folder))
        assert ended.code == 0, ended.err
        return folder, ended.out

    folder, out = run()
    result = load_result(folder)
    assert list(result.controls) == BOTH and all(name in out for name in BOTH)
    page = run_page(read_run(folder)).replace("\xa0", " ")
    for name, found in result.controls.items():
        assert f"{name} {share(found)}" in out and found.n == result.rows_on("test")[-1].n
    assert "or comparison: images alone" in page and "or comparison: images alone" in notebook_part(read_run(folder))

    drawn, store = plan(config_of(folder)).drawn, FeatureStore(clip)
    names = TemplateClassifier.from_file(folder, clip).class_names

    def accuracy(rows: Any) -> float:
        hits = store.encode([item.image for item in drawn.test]) @ rows.T
        return float(np.mean(hits.argmax(axis=1) == [item.label for item in drawn.test]))

    texts = [unit(sum(clip.encode_texts([fill(one, name)])[0] for one in imagenet_templates())) for name in names]
    assert result.controls[BOTH[1]].value == pytest.approx(accuracy(np.array(texts)), abs=1e-6)
    shown = [*drawn.train, *drawn.val]
    plain = store.encode([item.image for item in shown])[:, None]
    views = np.concatenate([plain, store.views([item.image for item in shown])], axis=1)

    def means(features: Any) -> Any:
        own: Sequence[Any] = [
            [row for row, item in zip(features, shown, strict=True) if item.label == i] for i in range(6)
        ]
        return np.array([unit(np.concatenate(rows).sum(axis=0)) for rows in own])

    expected = {round(accuracy(means(features)), 6) for features in (plain, views)}
    assert result.controls[BOTH[0]].value in expected, "views teach if left-out images are named better with them"

    before = (folder / "result.json").read_text().partition('"controls"')[2].partition('"advice"')[0]
    (folder / "result.json").unlink()
    assert ipo(capfd, *resuming(folder)).code == 0
    assert (folder / "result.json").read_text().partition('"controls"')[2].partition('"advice"')[0] == before
    assert list(load_result(run("classifier=text")[0]).controls) == BOTH[1:]
    closed, out = run("test=no")
    assert not load_result(closed).controls and "for comparison" not in out


@pytest.mark.parametrize(("words", "classes", "made"), [([], 200, True), ([], 201, False), (["test=no"], 2, False)])
def test_with_many_classes_the_80_templates_are_left_out(words: list[str], classes: int, made: bool) -> None:
    nothing: Any = None
    drawn: Any = SimpleNamespace(class_names=tuple(map(str, range(classes))))
    assert Plan(load_config(None, words), nothing, drawn, None, None).with_80_templates == made


def test_without_controls_nothing_is_compared() -> None:
    run = read_run(Path(__file__).parents[2] / "recorded" / "local-history")
    assert run.result.controls and "or comparison" in run_page(run)
    run = replace(run, result=run.result.model_copy(update={"controls": {}}))
    assert "or comparison" not in run_page(run) + notebook_part(run)
