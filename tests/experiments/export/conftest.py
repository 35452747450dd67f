"""Small CLIPs with random weights, as a user loads them: a CLIP and a SigLIP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm.models
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.images import LazyImage

SIDE, WIDTH, DIM = 32, 64, 32
VISION = {"image_size": SIDE, "layers": 2, "width": WIDTH, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 2}
WORDS = ["a", "photo", "of", "cat", "ice", "cream", "dog", "horse", "pizza", "robot", "tree", "weird"]


@pytest.fixture(scope="session")
def images() -> list[LazyImage]:
    return [item.image for item in load_data("embedded", seed=0).train[::40]][:12]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    config = {"embed_dim": DIM, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT}
    transform = {"size": SIDE, "interpolation": "bicubic", "resize_mode": "shortest"}
    return made(tmp_path_factory.mktemp("other") / "open_clip", config, transform)


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """What is special about SigLIP: a tower of timm that pools by attention, a logit bias, text that is canonical."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    def vit_of_a_test(**given: Any) -> VisionTransformer:
        own = {"num_classes": given["num_classes"], "global_pool": given["global_pool"], "img_size": SIDE}
        return VisionTransformer(patch_size=8, embed_dim=DIM, depth=2, num_heads=2, class_token=False, **own)

    vit_of_a_test.__module__ = "timm.models.vision_transformer"
    timm.models.register_model(vit_of_a_test)
    folder = tmp_path_factory.mktemp("siglip")
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    text = {
        **{**TEXT, "context_length": 64, "vocab_size": len(words), "width": DIM},
        **{"hf_tokenizer_name": str(folder), "tokenizer_kwargs": {"clean": "canonicalize"}},
        **{"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
    }
    vision = {"image_size": SIDE, "timm_model_name": "vit_of_a_test", "timm_pool": "map", "timm_proj": "none"}
    config = {"embed_dim": DIM, "custom_text": True, "init_logit_bias": -10, "vision_cfg": vision, "text_cfg": text}
    return made(folder, config, {"size": SIDE, "resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3})


def made(folder: Path, config: dict[str, Any], transform: dict[str, Any]) -> Clip:
    """Save random weights as a local-dir, and load them."""
    folder.mkdir(exist_ok=True)
    listed = folder / f"ipo-{folder.name}.json"
    listed.write_text(json.dumps(config))
    open_clip.add_model_config(listed)
    torch.manual_seed(4)
    model = open_clip.create_model(listed.stem)
    with torch.no_grad():  # weights as they are drawn give all images and texts nearly the same features
        for name, weight in model.named_parameters():
            if weight.dim() > 1 or "class_embedding" in name:
                weight.mul_(6)
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    about = {"model_cfg": config, "preprocess_cfg": transform}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    return load_clip(f"local-dir:{folder}", device="cpu")
