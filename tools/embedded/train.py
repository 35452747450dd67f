"""Trains both towers with one seed. It cannot resume, but a run that is stopped leaves a model.

Every ``LOG_EVERY`` steps the class accuracy on the validation images is logged and
the weights are saved.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as nnf
from open_clip.model import CustomTextCLIP
from torch import Tensor

from ipo_prompts.experiments.embedded.shifts import SIDE
from tools.embedded.batches import IMAGES, BatchMaker, Mix
from tools.embedded.domains import DOMAINS, draw
from tools.embedded.drawings import Drawing, Pixels, as_floats, names
from tools.embedded.model import build, encode_texts, normalise
from tools.embedded.splits import Split
from tools.embedded.templates import BASELINE
from tools.embedded.tokens import CompactTokenizer

LOG_EVERY: Final = 200
LEARNING_RATE: Final = 2e-3
_WARM_UP: Final = 60
_FLOOR: Final = 0.02
_MOST_SCALE: Final = 100
# Smaller images for the first part of training: less than half the work per step.
_SMALL_UNTIL: Final = 0.4
_SMALL_SIDE: Final = 32
PROBES: Final[dict[str, str]] = {
    "a": "a photo of a <CLASS> with inverted colors.",
    "b": "a picture of a <CLASS> on a white background.",
    "c": "a blurry black and white photo of a <CLASS>.",
    "d": "a faded photo of a <CLASS> lying on its side.",
}


@dataclass(frozen=True)
class Validation:
    """Validation images per domain with their labels into ``classes``."""

    images: dict[str, Tensor]
    labels: Tensor
    classes: tuple[str, ...]


def validation(drawings: list[Drawing], pixels: Pixels, split: Split) -> Validation:
    """Draws the validation images of every domain, normalised for the image tower."""
    rows = split.parts["val"]
    labels = torch.tensor([split.classes.index(drawings[row].concept) for row in rows])
    named = [(drawings[row].name, pixels[row]) for row in rows]
    images = {domain: normalise(as_floats(draw(named, domain))) for domain in DOMAINS}
    return Validation(images, labels, split.classes)


def make_tokenizer(drawings: list[Drawing]) -> CompactTokenizer:
    """Return the tokenizer over every name that captions can hold; it is the same for all seeds."""
    return CompactTokenizer(names(drawings))


def train(
    drawings: list[Drawing],
    pixels: Pixels,
    split: Split,
    seed: int,
    steps: int,
    folder: Path,
    mix: Mix = IMAGES,
    half: bool = True,
) -> None:
    """Writes ``seed-N.pt`` (weights) and ``seed-N.jsonl`` (log) into ``folder``.

    ``half``: the towers compute in bfloat16, which a processor without AVX-512 emulates, many times slower.
    """
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(drawings)
    # Channels last halves the time of bf16 convolutions on CPU.
    model = build(tokenizer).to(memory_format=torch.channels_last)
    batches = BatchMaker(drawings, pixels, split.clip, seed, mix)
    held_out = validation(drawings, pixels, split)
    optimizer = optimizer_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{seed}.jsonl").write_text("", "utf-8")
    started, correct = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * schedule(step, steps)
        batch = batches.next(step / steps)
        images = normalise(batch.images)
        side = _SMALL_SIDE if step < _SMALL_UNTIL * steps else SIDE
        images = _sized(images, side).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            seen = model.encode_image(images)
            said = encode_texts(model, tokenizer(batch.texts))
        scores = model.logit_scale.exp() * unit(seen) @ unit(said).T
        loss = symmetric(scores)
        descend(model, optimizer, loss)
        correct = followed(correct, scores)
        if step % LOG_EVERY == 0 or step == steps or step == 50:
            row = {
                "seed": seed,
                "step": step,
                "steps": steps,
                "loss": round(loss.item(), 4),
                "batch_accuracy": round(correct, 4),
                "seconds": round(time.monotonic() - started, 1),
                "side": side,
                **probe(model, tokenizer, held_out, side),
            }
            keep(model, row, folder)


def symmetric(scores: Tensor) -> Tensor:
    """Return CLIP's loss of images with captions, (n, n), matched on the diagonal: a scalar."""
    target = torch.arange(len(scores))
    return (nnf.cross_entropy(scores, target) + nnf.cross_entropy(scores.T, target)) / 2


def descend(model: CustomTextCLIP, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step down the gradient, which is clipped; the logit scale stays within CLIP's bounds."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(_MOST_SCALE))


def followed(correct: float, scores: Tensor) -> float:
    """Return the running share of images whose own caption scores highest, after one more batch."""
    return 0.98 * correct + 0.02 * float((scores.argmax(1) == torch.arange(len(scores))).float().mean())


def keep(model: CustomTextCLIP, row: dict[str, Any], folder: Path) -> None:
    """Add a row to the seed's log and replace its weights."""
    name = f"seed-{row['seed']}"
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    partial = folder / f"{name}.tmp"
    torch.save(model.state_dict(), partial)
    partial.replace(folder / f"{name}.pt")


def probe(model: CustomTextCLIP, tokenizer: CompactTokenizer, held_out: Validation, side: int) -> dict[str, float]:
    """Return validation accuracies of the baseline template and of one phrase that names the shift."""
    model.eval()
    found = {}
    with torch.inference_mode():
        for domain, images in held_out.images.items():
            # At the size of the current training: at another size the tower would seem to fail.
            features = unit(model.encode_image(_sized(images, side)))
            for name, template in (("baseline", BASELINE), ("named", PROBES[domain])):
                texts = [template.replace("<CLASS>", c) for c in held_out.classes]
                scores = features @ unit(encode_texts(model, tokenizer(texts))).T
                hits = (scores.argmax(1) == held_out.labels).float().mean()
                found[f"{domain}_{name}"] = round(float(hits), 4)
    model.train()
    return found


def _sized(images: Tensor, side: int) -> Tensor:
    return images if side == SIDE else nnf.interpolate(images, size=side, mode="area")


def unit(x: Tensor) -> Tensor:
    """Return rows of length 1, float32."""
    return nnf.normalize(x.float(), dim=-1)


def schedule(step: int, steps: int) -> float:
    """Return the rate: linear warm-up, then cosine to ``_FLOOR``; it depends on the step only."""
    if step < _WARM_UP:
        return step / _WARM_UP
    progress = (step - _WARM_UP) / max(1, steps - _WARM_UP)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def optimizer_of(model: CustomTextCLIP) -> torch.optim.Optimizer:
    """Return AdamW over what is not frozen, with weight decay on matrices only."""
    learnt = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in learnt if p.ndim >= 2]
    others = [p for p in learnt if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )
