"""Other tasks: their scenes and galleries, and every method of a grid under their rewards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan, plan
from ipo_prompts.experiments.run.prepared import encode, prepare
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.tasks.segmentation import LEAST, SIDE, compose
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.lm import connect
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.templates.phrases import PhraseBank
from support.runs import copy_pictures

TASKS = {"retrieval": ("recall@1", "queries"), "segmentation": ("mean IoU", "scenes")}


def test_scenes_hold_each_picture_once_with_its_exact_mask() -> None:
    items = load_data("embedded", seed=0).val[:22]
    scenes = compose(items, 3)
    assert len(scenes) == 5
    again = compose(items, 3)
    assert [s.image.bytes() for s in scenes] == [s.image.bytes() for s in again]
    assert [s.image.bytes() for s in scenes] != [s.image.bytes() for s in compose(items, 4)]
    labels = []
    for scene in scenes:
        pixels = np.asarray(scene.image.image())
        assert pixels.shape == (SIDE, SIDE, 3)
        for y, x in ((0, 0), (0, SIDE - 1), (SIDE - 1, 0), (SIDE - 1, SIDE - 1)):
            label = scene.mask[y, x]
            labels.append(label)
            rows, columns = np.nonzero(scene.mask == label)
            if (scene.mask[[0, 0, -1, -1], [0, -1, 0, -1]] == label).sum() == 1:
                height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
                assert min(height, width) >= LEAST
                assert len(rows) == height * width
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                own = [
                    np.asarray(item.picture.image().resize((width, height), 3)) for item in items if item.label == label
                ]
                part = np.asarray(scene.image.image().crop(box))
                assert any((part == one).all() for one in own)
    left = [item.label for item in items]
    for label in labels:
        left.remove(label)  # fails when a picture was used twice
    assert len(left) == 2
    twins = [replace(item, group=items[i % 8].group) for i, item in enumerate(items)]
    alone = [*items[16:], *items[14:16]]
    assert [s.image.bytes() for s in compose(twins, 3)] == [s.image.bytes() for s in compose(alone, 3)]


def planned(task: str, *more: str) -> Plan:
    return plan(load_config(None, [f"reward={task}", "describer=none", *more]), ready=False)


def test_scenes_of_the_parts_do_not_mix(cache: Path, clip: Clip, tmp_path: Path) -> None:
    """Each part is composed of its own pictures, and the sealed scenes are the same for every seed."""
    ui = Ui(0, quiet=True)
    few = (f"data=folder:{copy_pictures(tmp_path / 'pictures')}", "shots=2", "selection_shots=1")
    sealed = []
    for seed in (0, 1):
        found = planned("segmentation", *few, f"seed={seed}")
        prepared = prepare(found, ui, clip)
        assert prepared.selection is not None
        for encoded, items in ((prepared.search, found.drawn.search), (prepared.selection, found.drawn.selection)):
            assert [p.bytes() for p in encoded.pictures] == [e.image.bytes() for e in compose(items, seed)]
        test = encode(found, prepared.reward, found.drawn.test, "test", ui=ui, seed=0)
        sealed.append([picture.bytes() for picture in test.pictures])
    assert sealed[0] == sealed[1] == [e.image.bytes() for e in compose(found.drawn.test, 0)]


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
    monkeypatch.setattr("ipo_prompts.experiments.compare.methods.given.MANY", 40)
    usable = PhraseBank.usable
    monkeypatch.setattr(PhraseBank, "usable", lambda self, *given: usable(self, *given)[::10])
    pictures = copy_pictures(tmp_path / "pictures")
    settings = {"reward": task, "describer": "none", "shots": 2, "selection_shots": 1, "steps": 1}
    ids = []
    for method in METHODS:
        _, engine = scripted(as_list("a negative of a <CLASS>.", "a drawing of a <CLASS>."), as_list("a <CLASS> here."))
        backend = Backend("scripted/model", engine, lambda tokens_in, tokens_out: 0.0, small=False)
        monkeypatch.setattr(connect, "find_backend", lambda *_, found=backend, **__: found)
        this = Cell("few-shot", f"folder:{pictures}", method, 0, settings=tuple(settings.items()))
        content = run_cell(this, tmp_path / method)
        assert (content["measure"], content["unit"]) == TASKS[task]
        if method in (
            "hand-written",
            "centred",
            "class-mean",
            "gda",
            "gda-text",
            "gepa",
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
