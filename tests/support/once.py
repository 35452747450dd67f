"""What the frozen towers make of the same tokens and pixels, computed once a process: it has the same bits.

All around them is done each time: loading and its checks, decoding, tokens, the trie, the files that keep features.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from ipo_prompts.metrics.text_pass import Chunk, TextPass

EMBEDDED = f"local-dir:{files('ipo_prompts.experiments.embedded') / 'model'}"
KEPT: OrderedDict[bytes, torch.Tensor] = OrderedDict()
MOST = 3000
"""Batches that are kept."""


def remember(patch: pytest.MonkeyPatch) -> None:
    """Remember, for the embedded CLIP, until the patch is undone."""
    create, see, run = open_clip.create_model_from_pretrained, open_clip.CustomTextCLIP.encode_image, TextPass.run
    embedded: list[Any] = []

    def created(name: str, **options: Any) -> Any:
        if name != EMBEDDED or options != {"device": "cpu", "precision": "fp32"}:
            return create(name, **options)
        if not embedded:
            embedded.extend(create(name, **options))
        return tuple(embedded)

    def look(self: Any, pixels: torch.Tensor, normalize: bool = False) -> Any:
        if not embedded or self is not embedded[0] or normalize or torch.compiler.is_exporting():
            return see(self, pixels, normalize)
        return _once([pixels.numpy()], lambda: see(self, pixels))

    def encode(self: TextPass, chunk: Chunk) -> Any:
        if not embedded or self.tower is not embedded[0].text:
            return run(self, chunk)
        arrays = [chunk.tokens, chunk.depths, chunk.keys, chunk.seen, chunk.ends]
        return _once(arrays, lambda: run(self, chunk))

    patch.setattr(open_clip, "create_model_from_pretrained", created)
    patch.setattr(open_clip.CustomTextCLIP, "encode_image", look)
    patch.setattr(TextPass, "run", encode)


def _once(arrays: list[Any], make: Callable[[], torch.Tensor]) -> torch.Tensor:
    digest = hashlib.blake2b()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array))
    key = digest.digest()
    kept = KEPT.pop(key, None)  # and put behind the others; another thread may be here at the same time
    if kept is None:
        kept = make()
    KEPT[key] = kept
    if len(KEPT) > MOST:
        KEPT.popitem(last=False)
    return kept.clone()
