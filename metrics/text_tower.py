"""Templates × class names → class embeddings: the one way in which templates reach the text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from ipo.metrics.clip import TEXT_BATCH, Floats
from ipo.metrics.template import fill


def encode_templates(model: Any, tokenizer: Any, templates: Sequence[str], class_names: Sequence[str]) -> Floats:
    """Encode every template filled with every class name, equal to open_clip's own `encode_text`.

    Returns:
        float32 (T, C, D), unit rows, in the order given.
    """
    texts = [fill(template, name) for template in templates for name in class_names]
    device = next(model.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = tokenizer(texts[start : start + TEXT_BATCH]).to(device)
            rows.append(functional.normalize(model.encode_text(tokens).float(), dim=-1).cpu().numpy())
    embeddings: Floats = np.concatenate(rows).reshape(len(templates), len(class_names), -1)
    return embeddings
