"""The plain CLIPs, which claims are made on: trained as the web might, and chosen by nobody.

Their weights do not ship. `python -m tools.embedded --recipe plain` makes them (docs/plain-clip.md), and here it is
written down by which bytes they are known: what is measured with others is of another CLIP.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from ipo_prompts.metrics.errors import InputError

WEIGHTS: Final = "open_clip_model.safetensors"
PINNED: Final = {
    77: "d58a4f95a02258f24d7070e6867421b6046dfaa43ea4f83ad2d933ccf3b3b9cb",
    78: "f570dc6427457a08da3b60f479b86e3ab4b1444f4cb0687cbcb3bdc6458bd409",
    79: "ebb9e5d341a34c31baea5c3f1087b7b63d0ac5483066f58a595e2a761642c2d3",
}
"""Seed of the training → SHA-256 of the weights."""


def plain_clip(folder: Path, seed: int) -> str:
    """Return how a run names a plain CLIP, after a look at its weights.

    Args:
        folder: where it lies, `plain-SEED` of what made it.
        seed: of its training, one of `PINNED`.

    Raises:
        InputError: there are no weights, or not the pinned ones.
    """
    if seed not in PINNED:
        known = ", ".join(map(str, PINNED))
        raise InputError(f"no weights of a plain CLIP of seed {seed} are pinned; there are: {known}.")
    file = folder / WEIGHTS
    if not file.is_file():
        raise InputError(
            f"there are no weights of a CLIP in {folder}; make them with `python -m tools.embedded --work WORK "
            f"--out OUT --stage fetch --stage train --recipe plain --seed {seed} --steps 1500`."
        )
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != PINNED[seed]:
        raise InputError(
            f"the weights in {folder} are not those of seed {seed} (SHA-256 {found[:12]}…, pinned is "
            f"{PINNED[seed][:12]}…): made on another processor or with another PyTorch they may differ in their last "
            f"bits; what they measure is of another CLIP, so name it yourself: clip=local-dir:{folder}."
        )
    return f"local-dir:{folder}"
