"""An open_clip model as a folder that transformers loads: the weights by their names there, tokenizer and transform.

Two architectures of transformers have a place for them: CLIP, for open_clip's own towers, and SigLIP, for a vision
transformer of timm that pools by attention beside a text tower that sees in both directions. Every weight must find its
place, and every place its weight; whatever else differs, the comparison with the program shows.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipo_prompts.metrics.clip import Clip

PADDED = 64
"""Tokens to which the pipeline fills a text for SigLIP, whatever its configuration says."""
_ACTS = {"QuickGELU": "quick_gelu", "GELU": "gelu", "GELUTanh": "gelu_pytorch_tanh"}
_BLOCK = {
    **{"ln_1": "layer_norm1", "ln_2": "layer_norm2", "norm1": "layer_norm1", "norm2": "layer_norm2"},
    **{"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"},
    **{"attn.out_proj": "self_attn.out_proj", "attn.proj": "self_attn.out_proj"},
}
"""A part of a layer, as open_clip or timm calls it → as transformers does."""
_THREE = re.compile(r"attn\.(?:in_proj_|qkv\.)(weight|bias)")
_TEXT = {"token_embedding": "embeddings.token_embedding", "ln_final": "final_layer_norm"}
_VISION = {"conv1": "embeddings.patch_embedding", "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
_TIMM = {
    **{"patch_embed.proj": "embeddings.patch_embedding", "norm": "post_layernorm", "attn_pool.norm": "head.layernorm"},
    **{"attn_pool.proj": "head.attention.out_proj", "attn_pool.mlp.fc1": "head.mlp.fc1"},
    **{"attn_pool.mlp.fc2": "head.mlp.fc2"},
}


def unmapped(clip: Clip) -> str | None:
    """Return what of a CLIP has no place in transformers, as part of a sentence, or None."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
    from open_clip.transformer import TextTransformer, VisionTransformer

    model, tokenizer = clip.model, clip.tokenizer
    visual, text = model.visual, getattr(model, "text", model)
    siglip = hasattr(visual, "trunk")
    transform = visual.preprocess_cfg
    pools = text.pool_type if isinstance(text, TextTransformer) else getattr(model, "text_pool_type", None)
    if siglip and getattr(visual.trunk, "attn_pool", None) is None:
        return f"its picture tower, {type(visual.trunk).__name__} of timm, is neither a CLIP's nor a SigLIP's"
    if not siglip and not (isinstance(visual, VisionTransformer) and visual.pool_type == "tok"):
        return f"its picture tower, {type(visual).__name__}, is neither a CLIP's nor a SigLIP's"
    if pools != ("last" if siglip else "argmax") or (text.attn_mask is None) != siglip:
        return (
            f"its text tower, {type(text).__name__}, does not read as that of a {'SigLIP' if siglip else 'CLIP'} does"
        )
    if siglip and clip.context_length != PADDED:
        return f"the pipeline gives a SigLIP {PADDED} tokens a text, and its text tower takes {clip.context_length}"
    if siglip and not (isinstance(tokenizer, HFTokenizer) and not tokenizer.tokenizer_mode):
        return f"its tokenizer, {type(tokenizer).__name__}, is not one of transformers"
    if not siglip and not (type(tokenizer) is SimpleTokenizer and tokenizer.clean_fn is get_clean_fn("lower")):
        return f"its tokenizer, {type(tokenizer).__name__}, is not that of CLIP"
    if transform["resize_mode"] == "longest" or not isinstance(_side(transform), int):
        return f"its picture transform ({transform['resize_mode']}, {transform['size']}) has none like it there"
    if _act(_layers(visual)[0]) is None or _act(_layers(text)[0]) is None:
        return "its activation is not known there"
    try:
        _converted(clip)
    except (RuntimeError, KeyError) as error:
        found = re.search(r'"([^"]+)"', str(error))
        return f"not all of its weights have a place there ({found[1] if found else error})"
    return None


def save(clip: Clip, folder: Path) -> None:
    """Write the folder; `unmapped` found nothing against it."""
    from transformers import CLIPImageProcessor, SiglipImageProcessor

    _converted(clip).save_pretrained(folder)
    _tokenizer(clip.tokenizer).save_pretrained(folder)
    transform = clip.model.visual.preprocess_cfg
    side = _side(transform)
    square = {"height": side, "width": side}
    how = {
        "resample": {"bilinear": 2}.get(transform["interpolation"], 3),
        "image_mean": list(transform["mean"]),
        "image_std": list(transform["std"]),
    }
    made = (
        SiglipImageProcessor(size=square, **how)
        if transform["resize_mode"] == "squash"
        else CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square, **how)
    )
    made.save_pretrained(folder)


def _converted(clip: Clip) -> Any:
    """Return the model of transformers with the weights.

    Raises:
        RuntimeError, KeyError: a weight has no place, or a place no weight.
    """
    import transformers

    model = clip.model
    visual, text = model.visual, getattr(model, "text", model)
    weights = {name: weight.float().cpu() for name, weight in model.state_dict().items()}
    weights = {name.removeprefix("text."): weight for name, weight in weights.items() if not name.endswith("attn_mask")}
    siglip = hasattr(visual, "trunk")
    sizes = [_sizes(visual), _sizes(text)]
    about_text = {"vocab_size": len(weights["token_embedding.weight"]), "max_position_embeddings": clip.context_length}
    patch = (visual.trunk.patch_embed.proj if siglip else visual.conv1).kernel_size[0]
    about_pictures = {"image_size": _side(visual.preprocess_cfg), "patch_size": patch}
    if siglip:
        renamed = _siglip(weights)
        about_text |= {"projection_size": len(renamed["text_model.head.weight"])}
    else:
        renamed = _clip(weights)
        about_text |= {"bos_token_id": 49406, "eos_token_id": 49407}
    towers = {"text_config": {**sizes[1], **about_text}, "vision_config": {**sizes[0], **about_pictures}}
    if siglip:
        made = transformers.SiglipModel(transformers.SiglipConfig(**towers))
    else:
        width = len(renamed["text_projection.weight"])
        made = transformers.CLIPModel(transformers.CLIPConfig(**towers, projection_dim=width))
    made.load_state_dict({name: weight.contiguous() for name, weight in renamed.items()})
    return made.eval()


def _clip(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of a CLIP."""
    found: dict[str, Any] = {"logit_scale": weights["logit_scale"]}
    for name, weight in weights.items():
        tower, rest = ("vision", name.removeprefix("visual.")) if name.startswith("visual.") else ("text", name)
        place = f"{tower}_model"
        if rest == "positional_embedding":
            found[f"{place}.embeddings.position_embedding.weight"] = weight
        elif rest == "class_embedding":
            found[f"{place}.embeddings.class_embedding"] = weight
        elif rest in ("proj", "text_projection", "text_projection.weight"):
            kind = "visual" if tower == "vision" else "text"
            found[f"{kind}_projection.weight"] = weight if rest.endswith("weight") else weight.T
        elif rest != "logit_scale":
            found |= _layer_or(rest, weight, place, _TEXT if tower == "text" else _VISION)
    return found


def _siglip(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of a SigLIP."""
    import torch

    found: dict[str, Any] = {}
    pool = {
        kind: torch.cat([weights[f"visual.trunk.attn_pool.{one}.{kind}"] for one in ("q", "kv")])
        for kind in ("weight", "bias")
    }
    for name, weight in weights.items():
        inside = name.removeprefix("visual.trunk.")
        if name in ("logit_scale", "logit_bias"):
            found[name] = weight.reshape(1)
        elif name == "positional_embedding":
            found["text_model.embeddings.position_embedding.weight"] = weight
        elif name.startswith("text_projection"):
            found[f"text_model.head.{name.rpartition('.')[2]}"] = weight
        elif inside == name:
            found |= _layer_or(name, weight, "text_model", _TEXT)
        elif inside == "pos_embed":
            found["vision_model.embeddings.position_embedding.weight"] = weight[0]
        elif inside == "attn_pool.latent":
            found["vision_model.head.probe"] = weight
        elif not re.match(r"attn_pool\.(q|kv)\.", inside):
            found |= _layer_or(inside, weight, "vision_model", _TIMM)
    return found | {f"vision_model.head.attention.in_proj_{kind}": weight for kind, weight in pool.items()}


def _layer_or(name: str, weight: Any, place: str, others: Mapping[str, str]) -> dict[str, Any]:
    """Rename a weight of a layer, or one of a few others; one that is neither keeps its name, which fits nowhere."""
    layer = re.fullmatch(r"(?:transformer\.resblocks|blocks)\.(\d+)\.(.+)", name)
    if layer is None:
        part, _, kind = name.rpartition(".")
        return {f"{place}.{others[part]}.{kind}" if part in others else name: weight}
    inside = f"{place}.encoder.layers.{layer[1]}"
    if three := _THREE.fullmatch(layer[2]):
        parts = zip("qkv", weight.chunk(3), strict=True)
        return {f"{inside}.self_attn.{letter}_proj.{three[1]}": part for letter, part in parts}
    part, _, kind = layer[2].rpartition(".")
    return {f"{inside}.{_BLOCK[part]}.{kind}" if part in _BLOCK else name: weight}


def _layers(tower: Any) -> Any:
    return tower.trunk.blocks if hasattr(tower, "trunk") else tower.transformer.resblocks


def _act(layer: Any) -> str | None:
    act = layer.mlp.act if hasattr(layer.mlp, "act") else layer.mlp.gelu
    return "gelu_pytorch_tanh" if getattr(act, "approximate", "none") == "tanh" else _ACTS.get(type(act).__name__)


def _sizes(tower: Any) -> dict[str, Any]:
    """Return what transformers calls the sizes of a tower."""
    layers = _layers(tower)
    first = layers[0]
    wide = first.mlp.fc1 if hasattr(first.mlp, "fc1") else first.mlp.c_fc
    norm = first.norm1 if hasattr(first, "norm1") else first.ln_1
    return {
        "hidden_size": wide.in_features,
        "intermediate_size": wide.out_features,
        "num_hidden_layers": len(layers),
        "num_attention_heads": first.attn.num_heads,
        "hidden_act": _act(first),
        "layer_norm_eps": norm.eps,
    }


def _side(transform: Mapping[str, Any]) -> Any:
    """Return the side of a square picture; what is no square as it is."""
    size = transform["size"]
    return size[0] if not isinstance(size, int) and len({*size}) == 1 else size


def _tokenizer(ours: Any) -> Any:
    """Return a tokenizer of transformers that gives the same tokens."""
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    if not hasattr(ours, "tokenizer"):
        merges = sorted(ours.bpe_ranks, key=ours.bpe_ranks.__getitem__)
        called = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
        vocabulary = {called.get(word, word): number for word, number in ours.encoder.items()}
        return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=ours.context_length)
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import Regex, Tokenizer, normalizers

    own = ours.tokenizer
    backend = Tokenizer.from_str(own.backend_tokenizer.to_str())
    steps = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if ours.clean_fn is not get_clean_fn("whitespace"):
        steps = [normalizers.Lowercase(), *steps]
    if ours.clean_fn is get_clean_fn("canonicalize"):
        signs = "".join(f"\\{sign}" for sign in string.punctuation)
        steps = [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{signs}]"), ""), *steps]
    backend.normalizer = normalizers.Sequence([*steps, *([backend.normalizer] if backend.normalizer else [])])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=ours.context_length,
        model_input_names=["input_ids"],  # what fills a text up is seen, as in training
        **own.special_tokens_map,
    )
