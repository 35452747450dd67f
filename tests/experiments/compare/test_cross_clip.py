"""Templates carried over to another CLIP: the same text, the same pictures, the other's numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipo_prompts.experiments.compare import cell as cells
from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import notes
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR, PICTURES_DIR
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.features import FeatureStore

DATA = "embedded:small+faded"
FEW = {"shots": 1, "selection_shots": 1, "lm": "none", "describer": "none", "steps": 1, "strategy.scored_templates": 20}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP that saw something else: the embedded one with noise in its weights."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(MODEL_DIR, folder, dirs_exist_ok=True)
    file = next(folder.glob("*.safetensors"))
    generator = torch.Generator().manual_seed(0)
    weights = load_file(file)
    kept = weights["text.text_projection"]
    noise = torch.randn(kept.shape, generator=generator) * kept.float().std() / 2
    weights["text.text_projection"] = (kept + noise).to(kept.dtype)
    save_file(weights, file)
    return f"local-dir:{folder}"


def cell(method: str, clip: str, other: str, **settings: object) -> Cell:
    targets = ("embedded", other)
    return Cell("cross-clip", DATA, method, 0, targets, {**FEW, "clip": clip, **settings})


def test_what_was_searched_with_one_clip_is_scored_with_both(other: str, tmp_path: Path) -> None:
    found = {
        clip: run_cell(cell("phrases", clip, other), tmp_path / str(i)) for i, clip in enumerate(("embedded", other))
    }
    data = load_data(DATA, seed=0)
    for clip, content in found.items():
        assert list(content["scores"]) == ["embedded", other] and not content["gaps"], clip
        (template,) = (one["template"] for one in content["templates"])
        for name, score in content["scores"].items():
            reward = ClipReward(load_clip(name, "cpu"), data.class_names)
            units = reward.encode([item.picture for item in data.test], [item.label for item in data.test])
            assert reward.score([template], units)[0].bits == score["hits"], (clip, name)
    ours, theirs = (content["scores"] for content in found.values())
    assert ours["embedded"]["hits"] != ours[other]["hits"]
    table = build_table(list(found.values())[:1], reference="phrases")
    assert set(table.columns) == {"embedded", other}
    assert theirs[other]["n"] == ours["embedded"]["n"] == len(data.test)


def test_the_other_clip_sees_the_pictures_with_its_own_eyes(
    clip: Clip, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "_clip", lambda *_: clip)
    monkeypatch.setattr(cells, "carried_over", lambda fitted, clip: fitted)
    monkeypatch.setattr(cells, "tested", lambda fitted, test, reward, encoded: encoded)
    task = SimpleNamespace(reward=lambda clip, names, store: store, encode=lambda store, items, seed: store)
    searched: Any = SimpleNamespace(
        config=SimpleNamespace(device="cpu", precision="fp32"),
        clip=SimpleNamespace(fingerprint="another"),
        store="what another sees",
        plan=SimpleNamespace(task=task),
    )
    test: Any = SimpleNamespace(clip="embedded", class_names=("a", "b"), items=())
    learnt: Any = "what was learnt"
    store: Any = cells._tested(learnt, test, searched)
    assert isinstance(store, FeatureStore) and store.clip is clip
    searched.clip = clip
    assert cells._tested(learnt, test, searched) == searched.store


def test_one_grid_has_rows_in_both_precisions(tmp_path: Path) -> None:
    for name in ("cat", "fish"):
        for number in range(4):
            file = sorted((PICTURES_DIR / "a" / name).iterdir())[number]
            (tmp_path / "two" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "two" / name)
    found = []
    for precision in ("fp32", "fp16"):
        one = Cell("few-shot", f"folder:{tmp_path}/two", "baseline", 0, (), {**FEW, "precision": precision})
        content = run_cell(one, tmp_path / precision)
        assert json.loads((tmp_path / precision / cells.FILE_NAME).read_text())["precision"] == precision
        (score,) = content["scores"].values()
        assert score["n"] and cells._clip("embedded", "auto", precision).precision == precision
        found.append({**content, "cell": {**content["cell"], "method": f"in {precision}"}})
    same, other = (next(iter(one["scores"].values()))["loss"] for one in found)
    assert same != other, "half precision rounds"
    assert "Precision of the CLIP: fp16 (in fp16); fp32 (in fp32)." in notes(build_table(found, "in fp32"))
