"""Trains the text tower with one seed, beside an image tower that stays as it is.

If the image tower were trained, too, it would learn to see through the transformations, and the words for them would
say little. As it stays, an image under two transformations lies elsewhere than the unchanged one, and the text tower
has to learn from the words where.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ipo_prompts.experiments.embedded.shifts import SIDE
from tools.embedded.batches import WORDS, BatchMaker
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.english import English
from tools.embedded.model import build, encode_texts, normalise
from tools.embedded.other_words import fit_other_words
from tools.embedded.splits import Split
from tools.embedded.train import (
    LEARNING_RATE,
    descend,
    followed,
    keep,
    optimizer_of,
    probe,
    schedule,
    symmetric,
    unit,
    validation,
)

_LOG_EVERY: Final = 250
_REFIT_EVERY: Final = 150
_LESSON: Final = 64
"""Texts of each of the two lessons in a step: together as many as there are captions of images."""
_ENGLISH: Final = 1.0
"""Weight of the lessons beside the captions of images, once captions have settled."""
_SETTLED: Final = 300
"""Steps in which the weight of the lessons grows to its full size."""
HARD: Final = 8.0
"""How many times a caption with the right class and the wrong transformations counts among the wrong captions: neither
word alone describes an image well that is pale and lies on its side."""


def train_text(
    drawings: list[Drawing],
    pixels: Pixels,
    split: Split,
    english: English,
    tower: dict[str, Tensor],
    seed: int,
    steps: int,
    folder: Path,
) -> None:
    """Writes ``seed-N.pt`` (weights) and ``seed-N.jsonl`` (log) into ``folder``.

    Args:
        images, pixels, split: the images that the CLIP may see, and validation images.
        english: the lessons that the text tower starts from, and learns on beside the images.
        tower: the state of a trained model, whose image tower and logit scale are used.
        seed, steps: the seed and the number of steps of the training.
        folder: where to write.
    """
    torch.manual_seed(seed)
    tokenizer, interpreter = english.tokenizer, english.interpreter()
    model = build(tokenizer).to(memory_format=torch.channels_last)
    model.text.load_state_dict(english.tower)
    kept = {name: value for name, value in tower.items() if name == "logit_scale" or name.startswith("visual.")}
    model.load_state_dict({**model.state_dict(), **kept})
    model.visual.requires_grad_(False)
    held_out = validation(drawings, pixels, split)
    batches = BatchMaker(drawings, pixels, split.clip, seed, WORDS, english.common)
    lessons = [part.forever(np.random.default_rng(seed), _LESSON) for part in (english.sentences, english.plain)]
    optimizer = optimizer_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{seed}.jsonl").write_text("", "utf-8")
    started, correct = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        model.visual.eval()  # else its statistics would follow the batches
        if step % _REFIT_EVERY == 1:
            interpreter.refit(model)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * schedule(step, steps)
        batch = batches.next(step / steps)
        images = normalise(batch.images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                seen = model.encode_image(images)
            said = encode_texts(model, tokenizer(batch.texts))
        scores = model.logit_scale.exp() * unit(seen) @ unit(said).T
        matched = cross_entropy(scores, batch.things)
        unknown = sum(interpreter.surprise(model, *next(lesson)) for lesson in lessons) / len(lessons)
        loss = matched + _ENGLISH * min(1, step / _SETTLED) * unknown
        descend(model, optimizer, loss)
        correct = followed(correct, scores)
        if step == steps:
            fit_other_words(model, english, interpreter, seed)
        if step % _LOG_EVERY == 0 or step == steps:
            row = {
                "seed": seed,
                "step": step,
                "steps": steps,
                "loss": round(matched.item(), 4),
                "language": round(float(unknown), 4),
                "batch_accuracy": round(correct, 4),
                "seconds": round(time.monotonic() - started, 1),
                **probe(model, tokenizer, held_out, SIDE),
            }
            keep(model, row, folder)


def cross_entropy(scores: Tensor, things: list[str]) -> Tensor:
    """Return the symmetric loss; captions of the right thing and wrong transformations count ``HARD`` times: a scalar.

    ``scores`` are of images with captions (n, n), matched on the diagonal; ``things`` are their concepts.
    """
    number = {thing: i for i, thing in enumerate(things)}
    same = torch.tensor([number[thing] for thing in things])
    twins = (same[:, None] == same[None]) & ~torch.eye(len(same), dtype=torch.bool)
    return symmetric(scores + math.log(HARD) * twins)
