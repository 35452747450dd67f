"""The architecture: a genuine open_clip model, small enough to train on a CPU."""

import copy
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import save_file

from ipo_prompts.experiments.embedded.shifts import SIDE
from tools.embedded.tokens import CONTEXT, STOCK_SIZE, CompactTokenizer

EMBEDDING: Final = 128
"""Width of an embedding."""
_MEAN: Final = 0.5
_STD: Final = 0.5
TABLE: Final = "text.token_embedding.weight"
_CONFIG: Final[dict[str, Any]] = {
    "embed_dim": EMBEDDING,
    "custom_text": True,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": SIDE,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": STOCK_SIZE,
        "width": 128,
        "heads": 4,
        "layers": 3,
    },
}


def build(tokenizer: CompactTokenizer) -> CustomTextCLIP:
    """Return a fresh model over the compact vocabulary; seed torch before."""
    text = {**_CONFIG["text_cfg"], "vocab_size": tokenizer.size}
    return CustomTextCLIP(_CONFIG["embed_dim"], vision_cfg=copy.deepcopy(_CONFIG["vision_cfg"]), text_cfg=text)


def export(model: CustomTextCLIP, tokenizer: CompactTokenizer, folder: Path) -> None:
    """Writes ``open_clip_config.json`` and fp16 weights for open_clip's ``local-dir:``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    state[TABLE] = tokenizer.spread(state[TABLE])
    stored = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    preprocess = {
        "size": SIDE,
        "mode": "RGB",
        "mean": [_MEAN] * 3,
        "std": [_STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    config = {"model_cfg": _CONFIG, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    weights = folder / "open_clip_model.safetensors"
    save_file(stored, weights, metadata={"format": "pt"})
    weights.chmod(0o644)


def normalise(images: npt.NDArray[np.float32]) -> torch.Tensor:
    """Convert [0, 1] images (n, h, w, 3) to the image tower's (n, 3, h, w), as ``preprocess_cfg`` does."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2) - _MEAN) / _STD


def encode_texts(model: CustomTextCLIP, tokens: torch.Tensor) -> torch.Tensor:
    """Return text features of tokens shorter than the context.

    The causal mask is cut to the text, because open_clip's has the full context's size;
    nothing after the end token can matter, so the result is the same and cheaper.
    """
    mask = model.text.attn_mask
    length = tokens.shape[1]
    model.text.attn_mask = mask[:length, :length]
    try:
        features: torch.Tensor = model.encode_text(tokens)
    finally:
        model.text.attn_mask = mask
    return features
