"""Templates carried over to another CLIP: the same text, the same images, the other's numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.documents import table_of
from ipo_prompts.experiments.compare.grid import GridConfig, entries
from ipo_prompts.experiments.compare.words import notes
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import load_clip

DATA = "embedded:small+faded"
FEW = {
    "shots": 1,
    "val_shots": 1,
    "lm": "none",
    "describer": "none",
    "steps": 1,
    "strategy": {"scored_templates": 20},
}


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


@pytest.mark.parametrize("method", ["phrases", "best-of-80"])
def test_what_was_searched_with_one_clip_is_scored_with_both(
    method: str, other: str, cache: Path, tmp_path: Path
) -> None:
    found = {clip: run_cell(cell(method, clip, other), tmp_path / str(i)) for i, clip in enumerate(("embedded", other))}
    data = load_data(DATA, seed=0)
    for clip, content in found.items():
        assert list(content.tests) == ["test", "embedded", other] and not content.gaps, clip
        for name, one in content.tests.items():
            reward = ClipReward(load_clip(clip if name == "test" else name, "cpu"), data.class_names)
            units = reward.encode([item.image for item in data.test], [item.label for item in data.test])
            assert reward.score(content.templates or (), units)[0].bits == one.answer, (clip, name)
    ours, theirs = (content.tests for content in found.values())
    assert ours["embedded"].answer != ours[other].answer
    assert len(theirs[other].answer) == len(ours["embedded"].answer) == len(data.test)


def test_one_grid_has_rows_in_both_precisions(cache: Path, tmp_path: Path) -> None:
    rows = [{"label": f"in {one}", "method": "baseline", "settings": {"precision": one}} for one in ("fp32", "fp16")]
    about = {"title": "x", "protocol": "few-shot", "data": [DATA], "seeds": [0], "settings": FEW}
    grid = GridConfig.model_validate({**about, "methods": rows, "reference": "in fp32"})
    found = entries(grid, tmp_path)
    done = [entry.run() for entry in found]
    assert [one.clip.precision for one in done] == ["fp32", "fp16"]
    table = table_of(grid, found, done)
    assert table and "Precision of the CLIP: fp16 (in fp16); fp32 (in fp32)." in notes(table)
