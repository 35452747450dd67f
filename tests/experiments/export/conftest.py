"""A small CLIP with random weights, saved twice: as Hugging Face saves it and as open_clip does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.pictures import Picture

SIZE, WIDTH, LAYERS, DIM = 32, 64, 2, 32
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


class Twins(NamedTuple):
    hf: Path
    clip: Clip


@pytest.fixture(scope="session")
def pictures() -> list[Picture]:
    return [item.picture for item in load_data("embedded", seed=0).train[::40]][:12]


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return make_twins(tmp_path_factory.mktemp("twins"))


def make_twins(folder: Path) -> Twins:
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tower = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS}
    config = CLIPConfig(
        text_config={**tower, "num_attention_heads": 2, "eos_token_id": 49407, "bos_token_id": 49406},
        vision_config={**tower, "num_attention_heads": 2, "image_size": SIZE, "patch_size": 8},
        projection_dim=DIM,
    )
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    with torch.no_grad():  # weights as they are drawn give all pictures and texts nearly the same features
        for name, weight in model.named_parameters():
            if weight.dim() > 1 or "class_embedding" in name:
                weight.mul_(6)
    hf, ours = folder / "hf", folder / "open_clip"
    model.save_pretrained(hf)
    tokenizer().save_pretrained(hf)
    CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}, image_mean=MEAN, image_std=STD
    ).save_pretrained(hf)
    ours.mkdir()
    save_file(as_open_clip(model.state_dict()), ours / "open_clip_model.safetensors")
    vision = {"image_size": SIZE, "layers": LAYERS, "width": WIDTH, "head_width": 32, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": LAYERS}
    model_cfg = {"embed_dim": DIM, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    preprocess_cfg = {"size": SIZE, "mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    (ours / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}))
    return Twins(hf, load_clip(f"local-dir:{ours}", device="cpu"))


def tokenizer() -> Any:
    """Make Hugging Face's CLIP tokenizer from the merges that open_clip ships."""
    from open_clip.tokenizer import bytes_to_unicode, default_bpe
    from transformers import CLIPTokenizer

    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def as_open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename Hugging Face's weights to open_clip's."""
    renamed = {
        "logit_scale": state["logit_scale"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
    }
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for kind in ("weight", "bias"):
        renamed[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        renamed[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        renamed[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
        for theirs, ours in (("text_model", ""), ("vision_model", "visual.")):
            for i in range(LAYERS):
                old, new = f"{theirs}.encoder.layers.{i}", f"{ours}transformer.resblocks.{i}"
                for part, name in {**parts, "self_attn.out_proj": "attn.out_proj"}.items():
                    renamed[f"{new}.{name}.{kind}"] = state[f"{old}.{part}.{kind}"]
                three = [state[f"{old}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                renamed[f"{new}.attn.in_proj_{kind}"] = torch.cat(three)
    return {name: weight.contiguous().clone() for name, weight in renamed.items()}
