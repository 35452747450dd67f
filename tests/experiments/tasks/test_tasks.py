"""Other tasks: their galleries, and every method of a grid under their rewards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.run.config import nested
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan, plan
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.phrases import Vocabulary
from support.runs import copy_pictures

SEGMENTATION = "examples.segmentation:Segmentation"
TASKS = {"retrieval": ("recall@1", "queries"), SEGMENTATION: ("mean IoU", "scenes")}


def planned(task: str, *more: str) -> Plan:
    return plan(load_config(None, [f"reward={task}", "describer=none", *more]), ready=False)


def test_galleries_of_the_parts_do_not_mix(cache: Path, clip: Clip) -> None:
    found = planned("retrieval")
    prepared = prepare(found, Ui(0, quiet=True), clip)
    assert prepared.selection is not None
    names = [{picture.name for picture in part.pictures} for part in (prepared.search, prepared.selection)]
    names.append({item.picture.name for item in found.drawn.test})
    assert [len(part) for part in names] == [272, 136, 272]
    assert not names[0] & names[1] | names[0] & names[2] | names[1] & names[2]


@pytest.mark.parametrize("task", TASKS)
def test_every_method_has_a_value_or_a_reason(
    task: str,
    tmp_path: Path,
    cache: Path,
    clip: Clip,
    scripted: Callable[..., Any],
    as_list: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.compare.cell.load_clip", lambda *_: clip)
    # Pools of a few dozen: every template of a pool goes through the same reward.
    usable = Vocabulary.usable
    monkeypatch.setattr(Vocabulary, "usable", lambda self, *given: usable(self, *given)[::10])
    pictures = copy_pictures(tmp_path / "pictures")
    settings = {"reward": task, "describer": "none", "shots": 2, "selection_shots": 1, "steps": 1}
    ids = []
    for method in METHODS:
        lm, _ = scripted(as_list("a negative of a <CLASS>.", "a drawing of a <CLASS>."), as_list("a <CLASS> here."))
        backend = Backend("scripted/model", lm, lambda tokens_in, tokens_out: 0.0)
        monkeypatch.setattr("ipo_prompts.experiments.run.plan.find_backend", lambda *_, found=backend, **__: found)
        this = Cell("few-shot", f"folder:{pictures}", method, 0, (), nested(settings))
        content = run_cell(this, tmp_path / method)
        assert (content["measure"], content["unit"]) == TASKS[task]
        if method in (
            "hand-written",
            "class-mean",
            "gda",
            "gda-text",
        ):  # no template by people; need classes
            assert content["absent"] and not content["scores"]
            continue
        assert content["absent"] is None
        score = content["scores"]["test"]
        each = score.get("values") or [int(hit) for hit in score["hits"]]
        assert len(each) == score["n"] and np.mean(each) == pytest.approx(score["value"], abs=1e-5)
        assert content["search"]["n"] > 0 and content["selection"]["n"] > 0
        ids.append(content["picture_ids"]["test"])
    assert len(set(ids)) == 1
