"""Chooses the training seed by validation accuracy and exports it."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from ipo.experiments.embedded.operations import SIDE
from tools.embedded.drawings import Picture, Pixels
from tools.embedded.model import build, export
from tools.embedded.splits import Split
from tools.embedded.train import make_tokenizer, probe, validation


def score(row: dict[str, Any]) -> float:
    """Mean class accuracy on the validation pictures over all probes."""
    return fmean(row[name] for name in probes(row))


def probes(row: dict[str, Any]) -> list[str]:
    """Which columns of a log row are probes."""
    return [name for name in row if name.endswith(("_anchor", "_named"))]


def choose(
    folder: Path, seeds: tuple[int, ...], pictures: list[Picture], pixels: Pixels, split: Split, out: Path
) -> tuple[int, list[dict[str, Any]]]:
    """Exports the best of ``seeds`` that left a checkpoint in ``folder`` to ``out``.

    Returns the exported seed and the last log row of every trained seed. Its validation accuracies
    are measured again from the checkpoint: logs may be of earlier domains.

    Raises:
        FileNotFoundError: no seed was trained yet.
    """
    tokenizer, held_out = make_tokenizer(pictures), validation(pictures, pixels, split)
    model = build(tokenizer)
    logs = []
    for seed in seeds:
        log, weights = folder / f"seed-{seed}.jsonl", folder / f"seed-{seed}.pt"
        if weights.exists() and log.exists() and log.stat().st_size:
            model.load_state_dict(torch.load(weights, weights_only=True))
            row = json.loads(log.read_text("utf-8").splitlines()[-1])
            logs.append({**row, **probe(model, tokenizer, held_out, SIDE)})
    if not logs:
        raise FileNotFoundError(f"no trained seed in {folder}; run --stage train first")
    best = int(max(logs, key=score)["seed"])
    model.load_state_dict(torch.load(folder / f"seed-{best}.pt", weights_only=True))
    export(model, tokenizer, out)
    return best, logs
