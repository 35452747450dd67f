"""Encoding pictures that are decoded ahead: against the slower of decoder and encoder, and against open_clip's loop."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.common import alternate, arguments, report
from ipo_prompts.metrics.clip import AHEAD, Clip
from ipo_prompts.metrics.features import BATCH
from ipo_prompts.metrics.pictures import Picture

SLEEP = 0.15
"""The seconds that the sleeping encoder takes for a batch. It holds no lock of Python meanwhile, as a GPU does not."""
WORKERS = 2


class Sleeper(nn.Module):
    """An encoder that takes `SLEEP` seconds for a batch and leaves the cores alone."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a row for each picture."""
        time.sleep(SLEEP)
        return pixels[:, 0, 0, :8]


class Opened(Dataset[torch.Tensor]):
    """Pictures as a DataLoader of open_clip's users reads them."""

    def __init__(self, files: list[bytes], preprocess: Callable[[Any], torch.Tensor]) -> None:
        self.files = files
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.preprocess(Image.open(io.BytesIO(self.files[index])))


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        pictures={"type": int, "default": 640, "help": "of 500 x 375 pixels, JPEG"},
        model={"default": "ViT-B-32", "help": "open_clip architecture; random weights"},
        threads={"type": int, "default": os.cpu_count() or 1, "help": "torch threads"},
    )
    torch.set_num_threads(options.threads)
    logging.disable(logging.WARNING)  # open_clip says that the weights are random, which is meant
    model, _, preprocess = open_clip.create_model_and_transforms(options.model)
    tokenizer = open_clip.get_tokenizer(options.model)
    files = _jpegs(2 * BATCH if options.small else options.pictures)
    pictures = [Picture.from_bytes(str(i), data) for i, data in enumerate(files)]
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    sleeping, real = Clip("sleeping", Sleeper(), preprocess, tokenizer), Clip("real", model, preprocess, tokenizer)
    pixels = [real.decoding(picture.image) for picture in pictures]
    few = batches[: max(1, len(batches) // 4)]  # for the real encoder, which is slow without a GPU
    loader = DataLoader(Opened(files[: BATCH * len(few)], preprocess), BATCH, num_workers=WORKERS)
    seconds = alternate(
        1 if options.small else options.repeats,
        decoder=lambda: [future.result() for future in [sleeping.decoding(one.image) for one in pictures]],
        sleeper=lambda: [sleeping.encode_pixels(pixels[:BATCH], BATCH) for _ in batches],
        ahead=lambda: list(sleeping.encode_batches(batches, BATCH)),
        in_turn=lambda: [sleeping.encode_pictures(batch, BATCH) for batch in batches],
        encoder=lambda: [real.encode_pixels(pixels[:BATCH], BATCH) for _ in few],
        real_ahead=lambda: list(real.encode_batches(few, BATCH)),
        real_in_turn=lambda: [real.encode_pictures(batch, BATCH) for batch in few],
        open_clip=lambda: _theirs(model, loader),
    )
    theirs, ours = _theirs(model, loader), np.concatenate(list(real.encode_batches(few, BATCH)))
    slower = max(seconds["decoder"], seconds["sleeper"])
    report(
        "encoding",
        pictures=len(pictures),
        pictures_of_the_real_encoder=BATCH * len(few),
        batches_ahead=AHEAD,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        ratio_sleeping={name: round(slower / seconds[name], 3) for name in ("ahead", "in_turn")},
        ratio_open_clip={n: round(seconds["open_clip"] / seconds[n], 3) for n in ("real_ahead", "real_in_turn")},
        largest_difference=float(np.abs(theirs - ours).max()),
        repeats=options.repeats,
    )


@torch.inference_mode()
def _theirs(model: Any, loader: DataLoader[torch.Tensor]) -> Any:
    return torch.cat([nn.functional.normalize(model.encode_image(batch), dim=-1) for batch in loader]).numpy()


def _jpegs(count: int) -> list[bytes]:
    rng, files = np.random.default_rng(0), []
    for _ in range(count):
        rough = Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        rough.resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


if __name__ == "__main__":
    main()
