"""Other tasks: their galleries, and every method of a grid under their rewards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan, plan
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.phrases import Vocabulary
from support.runs import copy_images

SEGMENTATION = "examples.segmentation:Segmentation"
TASKS = {"retrieval": ("recall@1", "queries"), SEGMENTATION: ("mean IoU", "scenes")}


def planned(task: str, *more: str) -> Plan:
    return plan(load_config(None, [f"reward={task}", "describer=none", *more]), ready=False)


def test_galleries_of_the_parts_do_not_mix(cache: Path) -> None:
    found = planned("retrieval")
    prepared = prepare(found, Ui(0, quiet=True))
    assert prepared.val is not None
    names = [{image.name for image in part.images} for part in (prepared.train, prepared.val)]
    names.append({item.image.name for item in found.drawn.test})
    assert [len(part) for part in names] == [272, 136, 272]
    assert not names[0] & names[1] | names[0] & names[2] | names[1] & names[2]


def test_runs_of_one_process_share_a_clip_and_not_its_seconds(cache: Path) -> None:
    found = planned("classification", "shots=1")
    first = prepare(found, Ui(0, quiet=True))
    first.reward.score(["a <CLASS>."], first.train.units)
    spent = dict(first.clip.seconds)
    second = prepare(found, Ui(0, quiet=True))
    second.reward.score(["one <CLASS>."], second.train.units)
    assert second.clip.model is first.clip.model and first.clip.seconds == spent


@pytest.mark.parametrize("task", TASKS)
def test_every_method_has_a_value_or_a_reason(
    task: str,
    tmp_path: Path,
    cache: Path,
    scripted: Callable[..., Any],
    as_list: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Pools of a few dozen: every template of a pool goes through the same reward.
    usable = Vocabulary.usable
    monkeypatch.setattr(Vocabulary, "usable", lambda self, *given: usable(self, *given)[::10])
    images = copy_images(tmp_path / "images")
    settings = {"reward": task, "describer": "none", "shots": 2, "val_shots": 1, "steps": 1}
    ids = []
    for method in METHODS:
        lm, _ = scripted(as_list("a negative of a <CLASS>.", "a drawing of a <CLASS>."), as_list("a <CLASS> here."))
        backend = Backend("scripted/model", lm, lambda tokens_in, tokens_out: 0.0)
        monkeypatch.setattr("ipo_prompts.experiments.run.plan.find_backend", lambda *_, found=backend, **__: found)
        this = Cell("few-shot", f"folder:{images}", method, 0, (), settings)
        content = run_cell(this, tmp_path / method)
        assert (content.reward.measure, content.reward.unit) == TASKS[task]
        if method in (
            "hand-written",
            "prototype",
            "gda",
            "gda-text",
        ):  # no template by people; need classes
            assert content.absent and not content.tests
            continue
        assert content.absent is None
        test = content.tests["test"]
        assert 0 < test.values.mean() < 1 and "train" in content.shown
        ids.append(test.images)
    assert len(set(ids)) == 1
