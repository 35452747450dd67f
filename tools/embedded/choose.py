"""Chooses the training seed by validation accuracy and exports it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch

from ipo_prompts.experiments.embedded.shifts import SIDE
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.model import build, export
from tools.embedded.splits import Split
from tools.embedded.tokens import CompactTokenizer
from tools.embedded.train import probe, validation

_CHOICE: Final = "choice.json"


def score(row: dict[str, Any]) -> float:
    """Return the mean class accuracy on the validation images over all probes."""
    return fmean(row[name] for name in probes(row))


def probes(row: dict[str, Any]) -> list[str]:
    """Return the columns of a log row that are probes."""
    return [name for name in row if name.endswith(("_baseline", "_named"))]


@dataclass(frozen=True)
class Choice:
    """The seed that ships, and the last log row of every seed that was trained."""

    seed: int
    rows: list[dict[str, Any]]


def choose(
    folder: Path,
    seeds: tuple[int, ...],
    drawings: list[Drawing],
    pixels: Pixels,
    split: Split,
    tokenizer: CompactTokenizer,
    out: Path,
) -> Choice:
    """Exports the best of ``seeds`` that left a checkpoint in ``folder`` to ``out``; writes ``folder/choice.json``.

    The validation accuracies of the rows are measured again from the checkpoint: logs may be of earlier domains.

    Raises:
        FileNotFoundError: no seed was trained yet.
    """
    held_out = validation(drawings, pixels, split)
    model = build(tokenizer)
    rows = []
    for seed in seeds:
        log, weights = folder / f"seed-{seed}.jsonl", folder / f"seed-{seed}.pt"
        if weights.exists() and log.exists() and log.stat().st_size:
            model.load_state_dict(torch.load(weights, weights_only=True))
            row = json.loads(log.read_text("utf-8").splitlines()[-1])
            rows.append({**row, **probe(model, tokenizer, held_out, SIDE)})
    if not rows:
        raise FileNotFoundError(f"no trained seed in {folder}; run the stage that trains first")
    rows = [{**row, "score": round(score(row), 4)} for row in rows]
    choice = Choice(int(max(rows, key=score)["seed"]), rows)
    export_seed(folder, choice.seed, tokenizer, out)
    (folder / _CHOICE).write_text(json.dumps(asdict(choice)), "utf-8")
    return choice


def export_seed(folder: Path, seed: int, tokenizer: CompactTokenizer, out: Path) -> None:
    """Exports the model that was trained with a seed to ``out``."""
    model = build(tokenizer)
    model.load_state_dict(torch.load(folder / f"seed-{seed}.pt", weights_only=True))
    export(model, tokenizer, out)


def towers(folder: Path, out: Path) -> Choice:
    """Return how the image tower was chosen, from its training in ``folder``, or else from the card in ``out``."""
    trained = folder / _CHOICE
    if trained.exists():
        return Choice(**json.loads(trained.read_text("utf-8")))
    return Choice(**json.loads((out / "card.json").read_text("utf-8"))["towers"])
