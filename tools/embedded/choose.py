"""Chooses the training seed by validation accuracy and exports it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CustomTextCLIP

from ipo.experiments.embedded.operations import SIDE
from tools.embedded.model import build, export
from tools.embedded.raster import Picture, Pixels
from tools.embedded.splits import Split
from tools.embedded.tokens import CompactTokenizer
from tools.embedded.train import make_tokenizer, probe, validation


@dataclass(frozen=True)
class Chosen:
    """The exported seed; for every seed that was trained, its last log row with the probes measured anew."""

    seed: int
    logs: tuple[dict[str, Any], ...]


def score(row: dict[str, Any]) -> float:
    """Mean class accuracy on the validation pictures over all probes."""
    probes = [v for k, v in row.items() if k.endswith(("_anchor", "_named"))]
    return float(sum(probes) / len(probes))


def choose(
    folder: Path, seeds: tuple[int, ...], pictures: list[Picture], pixels: Pixels, split: Split, out: Path
) -> Chosen:
    """Exports the best of ``seeds`` that left a checkpoint in ``folder`` to ``out``.

    The validation accuracies are measured from the checkpoints: logs may be of earlier domains.

    Raises:
        FileNotFoundError: no seed was trained yet.
    """
    tokenizer, held_out = make_tokenizer(pictures), validation(pictures, pixels, split)
    logs = []
    for seed in seeds:
        path = folder / f"seed-{seed}.jsonl"
        if path.exists() and path.stat().st_size and (folder / f"seed-{seed}.pt").exists():
            row = json.loads(path.read_text("utf-8").splitlines()[-1])
            model = _checkpoint(folder, seed, tokenizer)
            logs.append({**row, **probe(model, tokenizer, held_out, SIDE)})
    if not logs:
        raise FileNotFoundError(f"no trained seed in {folder}; run --stage train first")
    best = max(logs, key=score)
    export(_checkpoint(folder, int(best["seed"]), tokenizer), tokenizer, out)
    return Chosen(int(best["seed"]), tuple(logs))


def _checkpoint(folder: Path, seed: int, tokenizer: CompactTokenizer) -> CustomTextCLIP:
    model = build(tokenizer)
    model.load_state_dict(torch.load(folder / f"seed-{seed}.pt", weights_only=True))
    return model
