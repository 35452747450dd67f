"""Where a CLIP runs."""

from __future__ import annotations

from ipo_prompts.metrics.errors import InputError

AUTO = "auto"


def find_device(wanted: str) -> str:
    """Return the torch device that a name means: itself, or for `auto` CUDA or MPS where there is one, else the CPU.

    Raises:
        InputError: it is not here; those that are get named.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if wanted == AUTO:
        return here[0]
    if wanted not in here:
        raise InputError(f"there is no device {wanted!r} here; device can be {', '.join([AUTO, *here])}.")
    return wanted
