"""SigLIP, CustomTextCLIP and Hugging Face text towers as reward models, in small with random weights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as functional
from PIL import Image
from safetensors.torch import save_file

from examples.segmentation import SegmentationReward, encode_tokens
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.retrieval import RetrievalReward

NAMES = ["cat", "hot_dog", "red bus", "tree"]
TEMPLATES = ["a photo of a <CLASS>.", "<CLASS> in the rain"]
WORDS = ["a", "photo", "of", "cat", "hot", "dog", "red", "bus", "tree", "in", "the", "rain", "."]
VIT = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def vision_of_siglip() -> dict[str, Any]:
    """A timm vision transformer that pools by attention and ends without a projection."""
    return {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}


def custom(folder: Path) -> dict[str, Any]:
    return {"embed_dim": 32, "custom_text": True, "vision_cfg": VIT, "text_cfg": TEXT}


def siglip(folder: Path) -> dict[str, Any]:
    text = {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    return {
        "embed_dim": 64,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": vision_of_siglip(),
        "text_cfg": text,
    }


def hugging_face(folder: Path) -> dict[str, Any]:
    """A BERT of two layers with a vocabulary of its own, all read from a folder."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tower = folder / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    # Weights too: `open_clip.create_model` reads the tower's own before those of the whole model.
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **size)).save_pretrained(tower)
    text = {
        "hf_model_name": str(tower),
        "hf_tokenizer_name": str(folder),  # for a local-dir, open_clip reads the one beside the weights
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 24,
    }
    return {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": text}


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {"custom": custom, "siglip": siglip, "hugging_face": hugging_face}


@pytest.fixture(scope="session", params=KINDS)
def tower(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A random model, saved as a local-dir and loaded as a user loads one."""
    folder = tmp_path_factory.mktemp(request.param)
    config = KINDS[request.param](folder)
    listed = folder / f"ipo-tower-{request.param}.json"
    listed.write_text(json.dumps(config))
    open_clip.add_model_config(listed)
    torch.manual_seed(0)
    model = open_clip.create_model(listed.stem)
    side = config["vision_cfg"]["image_size"]
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"size": side}}))
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return load_clip(f"local-dir:{folder}", "cpu")


def images(count: int, side: int = 40) -> list[LazyImage]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((side, side)).save(buffer, format="PNG")
        found.append(LazyImage.from_bytes(f"image {i}", buffer.getvalue()))
    return found


def direct(clip: Clip, given: list[LazyImage], template: str) -> torch.Tensor:
    """Logits as open_clip's README computes them: (images, classes)."""
    texts = [template.replace("<CLASS>", name.replace("_", " ")) for name in NAMES]
    with torch.no_grad():
        seen = torch.cat([clip.model.encode_image(clip.preprocess(p.rgb()).unsqueeze(0)) for p in given])
        meant = clip.model.encode_text(clip.tokenizer(texts))
    logits = clip.model.logit_scale.exp() * functional.normalize(seen, dim=-1) @ functional.normalize(meant, dim=-1).T
    return logits + clip.logit_bias


def test_classification_equals_open_clip(tower: Clip, tmp_path: Path) -> None:
    given = images(6)
    labels = [0, 1, 2, 3, 0, 1]
    reward = ClipReward(tower, NAMES, FeatureStore(tower, tmp_path))
    examples = [dspy.Example(image=p, label=NAMES[y]) for p, y in zip(given, labels, strict=True)]
    for template, score in zip(TEMPLATES, reward.score(TEMPLATES, reward.examples(examples)), strict=True):
        logits = direct(tower, given, template)
        assert logits.std() > 1e-3
        losses = functional.cross_entropy(logits, torch.tensor(labels), reduction="none")
        np.testing.assert_allclose(score.losses, losses.numpy(), atol=1e-4)
        assert score.predictions.tolist() == logits.argmax(dim=1).tolist()


def test_retrieval_equals_open_clip(tower: Clip, tmp_path: Path) -> None:
    given = images(4)
    reward = RetrievalReward(tower, NAMES, store=FeatureStore(tower, tmp_path))
    gallery = reward.examples([dspy.Example(image=p, caption=name) for p, name in zip(given, NAMES, strict=True)])
    for template, score in zip(TEMPLATES, reward.score(TEMPLATES, gallery), strict=True):
        logits = direct(tower, given, template).T
        # The gallery is sorted by content, so images are compared by the losses that do not depend on the order.
        losses = functional.cross_entropy(logits, torch.arange(4), reduction="none")
        np.testing.assert_allclose(score.losses, losses.numpy(), atol=1e-4)
        assert score.hits.tolist() == (logits.argmax(dim=1) == torch.arange(4)).tolist()


def test_segmentation_by_windows_works_with_every_tower(tower: Clip) -> None:
    mask = np.repeat(np.repeat([[0, 1], [2, 3]], 20, axis=0), 20, axis=1)
    reward = SegmentationReward(tower, NAMES, window=20)
    scenes = reward.examples([dspy.Example(image=p, mask=mask) for p in images(2)])
    assert scenes.scenes[0].features.shape[:2] == (3, 3)
    for score in reward.score(TEMPLATES, scenes):
        assert 0 <= score.value <= 1
        assert score.hits.mean() == pytest.approx(score.value)
        assert score.loss > 0


def test_tokens_are_those_of_a_plain_vision_transformer_only(tower: Clip) -> None:
    image = images(1)[0].rgb()
    if type(tower.model.visual).__name__ == "TimmModel":
        with pytest.raises(InputError, match="give a window"):
            SegmentationReward(tower, NAMES)
        return
    patches = encode_tokens(tower, image)
    assert patches.features.shape == (4, 4, 32)
    assert patches.y.tolist() == [5, 15, 25, 35]
    wide = encode_tokens(tower, image.resize((80, 40)))
    assert (wide.y.tolist(), wide.x.tolist()) == ([5, 15, 25, 35], [10, 30, 50, 70])
    np.testing.assert_allclose(np.linalg.norm(patches.features, axis=-1), 1, atol=1e-5)
    # By hand: the last block with value and output projection in place of attention.
    visual = tower.model.visual
    config = open_clip.get_model_preprocess_cfg(tower.model) | {"resize_mode": "squash"}
    squash = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    pixels = squash(image).unsqueeze(0)
    with torch.no_grad():
        x = visual.forward_intermediates(
            pixels, indices=[0], intermediates_only=True, output_fmt="NLC", output_extra_tokens=True
        )
        x = torch.cat([x["image_intermediates_prefix"][0], x["image_intermediates"][0]], dim=1)
        block = visual.transformer.resblocks[-1]
        weight, bias = block.attn.in_proj_weight[-64:], block.attn.in_proj_bias[-64:]
        x = x + block.attn.out_proj(functional.linear(block.ln_1(x), weight, bias))
        x = x + block.mlp(block.ln_2(x))
        expected = functional.normalize(visual.ln_post(x)[0, 1:] @ visual.proj, dim=-1).reshape(4, 4, 32)
    np.testing.assert_allclose(patches.features, expected.numpy(), atol=1e-5)
    # Nothing is left behind in the model.
    before = visual(pixels)
    encode_tokens(tower, image)
    assert torch.equal(before, visual(pixels))


def test_texts_that_do_not_fit_are_refused(tower: Clip) -> None:
    reward = ClipReward(tower, NAMES)
    assert reward.problem("a photo of a <CLASS>.") is None
    assert "tokens" in (reward.problem("<CLASS>" + " rain" * 30) or "")
