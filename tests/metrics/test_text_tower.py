"""The fast text path against open_clip's own `encode_text`, on towers that open_clip ships (fewer layers)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from ipo_prompts.metrics import text_pass, text_tower
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.template import SLOT, fill, named
from ipo_prompts.metrics.text_pass import TextPass, Trie
from ipo_prompts.metrics.text_tower import encode_ensemble, encode_templates, encode_texts, text_path
from support.once import KEPT

TOLERANCE = 1e-5
TINY_VISION = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32}
NAMES = ("cat", "great white shark", "great grey owl", "hot_dog", "T-shirt", "Škoda", "犬", "🐕", "macaw", "great auk")
TEMPLATES = (
    "a photo of a <CLASS>.",
    "a photo of many <CLASS>, seen from above",
    "<CLASS>",
    "<CLASS> in the wild: a drawing!",
    "a <CLASS> is a <CLASS>; it's a bad photo of the <CLASS>",
    "la <CLASS>… à l'été – 写真 🎉",
    "a blurry image of one of those small things that people call a <CLASS>",
)


def built(name: str, layers: int = 2, vocabulary: int | None = None, **changes: Any) -> Any:
    """A tower as open_clip's configuration `name` says, with few layers, a quarter of the width and random weights.

    The number of heads stays; the weights are not tiny, as those of a trained tower.
    """
    config = open_clip.get_model_config(name)
    assert config is not None
    width = config["text_cfg"]["width"] // 4
    text = {**config["text_cfg"], "layers": layers, "width": width, **changes}
    text.pop("hf_tokenizer_name", None)
    text["vocab_size"] = vocabulary or 49408
    torch.manual_seed(0)
    kinds = {"quick_gelu": config.get("quick_gelu", False)}
    if "multimodal_cfg" in config:
        multimodal = {**config["multimodal_cfg"], "layers": 1, "width": width}
        model = open_clip.CoCa(config["embed_dim"] // 4, multimodal, text, TINY_VISION, **kinds)
    else:
        kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
        model = kind(config["embed_dim"] // 4, TINY_VISION, text, **kinds)
    with torch.no_grad():  # biases, gains and positions that matter
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


FAST = {
    "ViT-B-32": lambda: built("ViT-B-32", 3),
    "ViT-B-32-quickgelu": lambda: built("ViT-B-32-quickgelu"),
    "ViT-L-14": lambda: built("ViT-L-14", 1),
    "RN50x4": lambda: built("RN50x4", 1),  # 10 heads
    "EVA02-B-16": lambda: built("EVA02-B-16"),  # CustomTextCLIP
    "PE-Core-S-16-384": lambda: built("PE-Core-S-16-384"),  # context of 32 tokens
    "ViT-L-14-worldwide": lambda: built("ViT-L-14-worldwide", 1, eos_id=49407),  # pools the end token, not the highest
    "MobileCLIP-B": lambda: built("MobileCLIP-B", 1, norm_kwargs={"eps": 1e-3}, act_kwargs={"approximate": "tanh"}),
    "layer scale, projection with bias": lambda: built("ViTamin-S", ls_init_value=0.5, proj_bias=True, mlp_ratio=2.5),
    "no projection": lambda: built("ViT-S-16", 1, proj_type="none"),
    "one layer": lambda: built("ViT-S-32-alt", 1),
    "embedded": lambda: load_clip("embedded", "cpu").model,
}
PLAIN = {
    "ViT-B-16-SigLIP": lambda: built("ViT-B-16-SigLIP", 1),
    "MobileCLIP-S1": lambda: built("MobileCLIP-S1", 1),  # not causal
    "coca_ViT-B-32": lambda: built("coca_ViT-B-32", 1),
    "custom attention": lambda: built("EVA02-B-16", 1, qk_norm=True),
    "pools the last": lambda: built("EVA02-B-16", 1, pool_type="last"),
}
FAST, PLAIN = ({name: cache(make) for name, make in towers.items()} for towers in (FAST, PLAIN))
fast = pytest.mark.parametrize("tower", FAST)
plain = pytest.mark.parametrize("tower", PLAIN)


def tokenizer_of(model: Any) -> Any:
    tower = getattr(model, "text", model)
    return open_clip.SimpleTokenizer(context_length=tower.context_length)


def direct(model: Any, tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """The result of open_clip itself: float32 (n, D), unit rows."""
    with torch.inference_mode():
        features = [model.encode_text(tokenizer(list(texts[i : i + 64]))) for i in range(0, len(texts), 64)]
    return functional.normalize(torch.cat(features).float(), dim=-1).numpy()


def assert_equal_to_open_clip(model: Any, templates: Sequence[str], names: Sequence[str]) -> None:
    tokenizer = tokenizer_of(model)
    ours = encode_templates(model, tokenizer, templates, names)
    theirs = direct(model, tokenizer, [fill(template, name) for template in templates for name in names])
    assert ours.dtype == np.float32
    assert ours.shape == (len(templates), len(names), theirs.shape[1])
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=-1), 1, atol=1e-5)


# --- equality


WORDS = st.sampled_from(
    "a photo;of the;blurry;tiny,;.;!…;it's;'s;don't;x-ray;3D 2024;naïve été;写真;фото;🎉;👩\u200d👧;<b>;&;".split(";")  # noqa: SIM905 - shorter
)
PART = st.one_of(
    st.lists(WORDS, max_size=12).map(" ".join),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.just(""),
)
TEMPLATE = st.lists(PART, min_size=2, max_size=4).map(SLOT.join)


@fast
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(templates=st.lists(TEMPLATE, min_size=1, max_size=4))
def test_any_template_equals_open_clip(tower: str, templates: list[str]) -> None:
    assert_equal_to_open_clip(FAST[tower](), templates, NAMES[1:4])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    templates=st.lists(TEMPLATE, min_size=1, max_size=6), names=st.lists(st.text(max_size=12), min_size=1, max_size=5)
)
def test_any_template_and_any_name_equal_open_clip(templates: list[str], names: list[str]) -> None:
    assert_equal_to_open_clip(FAST["embedded"](), templates, names)


@fast
def test_usual_templates_take_the_fast_path_and_equal_open_clip(tower: str) -> None:
    model = FAST[tower]()
    assert text_path(model).startswith("fast: ")
    assert_equal_to_open_clip(model, TEMPLATES, NAMES[:6])


@plain
def test_other_towers_take_their_own_path(tower: str) -> None:
    model = PLAIN[tower]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the structure is known: nothing to warn of
        assert text_path(model).startswith("plain: ")
    assert_equal_to_open_clip(model, TEMPLATES, NAMES[:4])


@fast
def test_up_to_the_limit_and_beyond_it_texts_are_cut_as_the_tokenizer_does(tower: str) -> None:
    model = FAST[tower]()
    context = tokenizer_of(model).context_length
    templates = ["a " * (context - 3 - more) + SLOT for more in (2, 1, 0, -1, -2)]
    assert_equal_to_open_clip(model, [*templates, SLOT + " a" * context], ["cat", "dog"])


def test_control_tokens_in_a_text_cut_it_where_open_clip_does() -> None:
    texts = ["a cat<end_of_text> on a mat", "a cat", "<start_of_text> a cat", "", "<end_of_text>"]
    for tower in ("embedded", "ViT-L-14-worldwide"):
        model = FAST[tower]()
        tokenizer = tokenizer_of(model)
        np.testing.assert_allclose(
            encode_texts(model, tokenizer, texts), direct(model, tokenizer, texts), rtol=0, atol=TOLERANCE
        )


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_as_its_rounding(precision: torch.dtype) -> None:
    from open_clip.model import convert_weights_to_lp

    torch.manual_seed(0)
    text = {"width": 128, "heads": 8, "layers": 2}
    model = open_clip.CLIP(128, TINY_VISION, text, cast_dtype=precision).eval()
    convert_weights_to_lp(model, precision)
    assert text_path(model).startswith("fast: ")
    tokenizer = tokenizer_of(model)
    texts = [fill(TEMPLATES[0], name) for name in NAMES]
    ours, theirs = encode_texts(model, tokenizer, texts), direct(model, tokenizer, texts)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=torch.finfo(precision).eps)


# --- company: what else is in the call


def test_an_end_token_that_is_not_the_highest_is_found_where_it_first_stands() -> None:
    model, usual = built("ViT-L-14-worldwide", 1, eos_id=300), open_clip.SimpleTokenizer()

    def tokenizer(texts: list[str]) -> torch.Tensor:
        tokens = usual(texts)
        return torch.where(tokens == 49407, 300, tokens)

    assert text_path(model).startswith("fast: ")
    texts = ["a cat", "a very old dog", "犬"]
    ours = encode_texts(model, tokenizer, texts)
    np.testing.assert_allclose(ours, direct(model, tokenizer, texts), rtol=0, atol=TOLERANCE)


def test_order_repeats_and_company_do_not_matter(clip: Clip) -> None:
    texts = [fill(template, name) for template in TEMPLATES for name in NAMES]
    usual = encode_texts(clip.model, clip.tokenizer, texts)
    rng = np.random.default_rng(0)
    for _ in range(5):
        places = rng.integers(0, len(texts), size=rng.integers(1, 200))
        some = encode_texts(clip.model, clip.tokenizer, [texts[i] for i in places])
        np.testing.assert_allclose(some, usual[places], rtol=0, atol=1e-6)


def test_the_same_call_gives_the_same_bits(clip: Clip) -> None:
    first = encode_templates(clip.model, clip.tokenizer, TEMPLATES, NAMES)
    KEPT.clear()
    second = encode_templates(clip.model, clip.tokenizer, TEMPLATES, NAMES)
    assert first.tobytes() == second.tobytes()


ORDINARY = ("cat", "great white shark", "hot_dog", "T-shirt", "St. Bernard's", "", "<end_of_text>", "(new)  car")


@pytest.mark.parametrize(
    "template",
    [
        "a photo of a <CLASS>.",
        "<CLASS>",
        "the <CLASS>'s photo",
        "photo (<CLASS>), <start_of_text> a type",
        "a<CLASS>!? no",
    ],
)
def test_words_are_read_once_for_all_prompts_with_the_same_tokens(clip: Clip, template: str) -> None:
    path, templates = text_tower._path(clip.model), [template, "a dark <CLASS>"]
    found = text_tower._filled(clip.tokenizer, templates, ORDINARY, path)
    rows, lengths = text_tower._tokens(clip.tokenizer, [fill(t, name) for t in templates for name in ORDINARY], path)
    assert found is not None and found[1].tolist() == lengths.tolist()
    used = np.arange(rows.shape[1]) < lengths[:, None]
    assert np.array_equal(found[0][used], rows[used])


@pytest.mark.parametrize("template", ["a <CLASS> and a <CLASS>", "a café of <CLASS>", "a <CLASS> " + "and so on " * 40])
def test_other_prompts_are_read_one_by_one(clip: Clip, template: str) -> None:
    assert text_tower._filled(clip.tokenizer, [template], ORDINARY, text_tower._path(clip.model)) is None


def test_equal_texts_get_equal_bits(clip: Clip) -> None:
    rows = encode_texts(clip.model, clip.tokenizer, ["a cat", "a dog", "A  Cat ", "a cat"])
    assert rows[0].tobytes() == rows[2].tobytes() == rows[3].tobytes()


@pytest.mark.parametrize(("nodes", "tile"), [(1, 1), (7, 3), (64, 64), (100, 16), (10**6, 5)])
def test_the_cuts_between_passes_do_not_matter(
    clip: Clip, nodes: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tower, "NODES", {"cpu": nodes})
    monkeypatch.setattr(text_pass, "TILE", tile)
    monkeypatch.setattr(text_tower, "TEXT_BATCH", 7)
    assert_equal_to_open_clip(clip.model, TEMPLATES[:5], NAMES[:5])


def test_nothing_to_encode_gives_nothing(clip: Clip) -> None:
    assert encode_texts(clip.model, clip.tokenizer, []).shape == (0, 0)
    assert encode_templates(clip.model, clip.tokenizer, [], NAMES).shape[:2] == (0, len(NAMES))
    assert clip.encode_texts([]).shape == (0, 0)


# --- ensembles


@pytest.mark.parametrize("tower", ["ViT-B-32", "EVA02-B-16", "embedded", "ViT-B-16-SigLIP"])
def test_an_ensemble_equals_open_clips_zero_shot_classifier(tower: str) -> None:
    model = (FAST | PLAIN)[tower]()
    tokenizer = tokenizer_of(model)
    fills = [lambda name, t=template: fill(t, name) for template in TEMPLATES[:4]]
    theirs = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, fills).numpy().T
    ours = encode_ensemble(model, tokenizer, TEMPLATES[:4], NAMES)
    assert (ours.dtype, ours.shape) == (np.float32, theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


SYNONYMS = ["cat", named(["dog", "puppy", "small hound"]), named(["bus", "coach"])]


def of_several_names(clip: Clip, templates: Sequence[str]) -> np.ndarray:
    """The unit means of unit rows over the names of each class: float64 (T, 3, D)."""
    names = [["cat"], ["dog", "puppy", "small hound"], ["bus", "coach"]]
    rows = np.array(
        [[clip.encode_texts([fill(one, name) for name in own]).mean(axis=0) for own in names] for one in templates]
    )
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_class_with_synonyms_has_the_unit_mean_of_all_its_names(clip: Clip) -> None:
    found = encode_templates(clip.model, clip.tokenizer, TEMPLATES[:2], SYNONYMS)
    np.testing.assert_allclose(found, of_several_names(clip, TEMPLATES[:2]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("together", [6, 20_000])
def test_an_ensemble_with_synonyms_counts_every_template(
    clip: Clip, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is encoded template by template, and where one is named twice."""
    monkeypatch.setattr(text_tower, "TOGETHER", together)
    templates = [*TEMPLATES[:3], TEMPLATES[1]]
    mean = of_several_names(clip, templates).mean(axis=0)
    found = encode_ensemble(clip.model, clip.tokenizer, templates, SYNONYMS)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=-1, keepdims=True), rtol=0, atol=1e-6)


def test_an_ensemble_of_one_is_its_template_to_the_bit(clip: Clip) -> None:
    alone = encode_templates(clip.model, clip.tokenizer, [TEMPLATES[0]], NAMES)[0]
    assert class_embeddings(clip, [TEMPLATES[0]], NAMES).tobytes() == alone.tobytes()


def test_an_ensembles_memory_does_not_grow_with_its_templates(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def watched(model: Any, tokenizer: Any, templates: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
        found = encode_templates(model, tokenizer, templates, class_names)
        held.append(found.shape[0] * found.shape[1])
        return found

    monkeypatch.setattr(text_tower, "encode_templates", watched)
    monkeypatch.setattr(text_tower, "TOGETHER", 30)
    encode_ensemble(clip.model, clip.tokenizer, [f"{t} {i}" for t in TEMPLATES[:5] for i in range(4)], NAMES)
    assert sum(held) == 20 * len(NAMES)
    assert max(held) == 30


# --- the trie


def test_shared_beginnings_are_nodes_once() -> None:
    rows = np.array([[1, 5, 6, 9, 0], [1, 5, 7, 9, 0], [1, 5, 6, 9, 3], [1, 5, 6, 8, 9], [2, 5, 9, 0, 0]])
    trie = Trie(rows, np.array([4, 4, 4, 5, 3]))
    # 1 5 6 9 | 1 5 7 9 | (the first again: what follows the end does not count) | 1 5 6 8 9 | 2 5 9
    assert trie.texts == 4
    assert trie.nodes == 4 + 2 + 2 + 3
    assert trie.text_of[0] == trie.text_of[2]
    assert sorted(set(trie.text_of.tolist())) == [0, 1, 2, 3]


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=7), min_size=1, max_size=40),
    size=st.integers(1, 50),
)
def test_every_node_sees_exactly_the_beginning_of_its_text(rows: list[list[int]], size: int) -> None:
    texts = sorted({tuple(row) for row in rows})
    table = np.array([[*row, *[0] * (7 - len(row))] for row in rows])
    trie = Trie(table, np.array([len(row) for row in rows]))
    assert trie.nodes == len({text[: i + 1] for text in texts for i in range(len(text))})
    assert [texts[i] for i in trie.text_of] == [tuple(row) for row in rows]
    found: list[tuple[int, ...]] = []
    for chunk in trie.chunks(size):
        beginnings = []
        seen = chunk.seen.reshape(-1, chunk.seen.shape[2])
        for node, (own, keys) in enumerate(zip(seen, np.repeat(chunk.keys, chunk.seen.shape[1], axis=0), strict=True)):
            ancestors = sorted(keys[own], key=lambda key: chunk.depths[key])
            assert chunk.depths[ancestors].tolist() == list(range(chunk.depths[node] + 1))
            beginnings.append(tuple(chunk.tokens[ancestors].tolist()))
        found += [beginnings[end] for end in chunk.ends]
    assert found == texts


def test_the_fewest_nodes_go_through_the_tower(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = TextPass.run
    monkeypatch.setattr(TextPass, "run", lambda self, chunk: sizes.append(len(chunk.tokens)) or run(self, chunk))
    text_path(clip.model)
    sizes.clear()
    names = [f"{a} {b}" for a in ("red", "green", "blue", "white") for b in ("cat", "dog", "owl", "cow")]
    encode_templates(clip.model, clip.tokenizer, ["a photo of a <CLASS>.", "a photo of a <CLASS>, seen close"], names)
    # start, "a photo of a", 4 colours, 16 animals, then ". END" and ", seen close END" for each; the tile's rest
    assert 1 + 4 + 4 + 16 * (1 + 2 + 4) == 121
    assert 121 <= sum(sizes) <= 122


# --- the self-check


class Hooked(open_clip.CLIP):
    """A subclass whose `encode_text` does more than the structure says."""

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        features = super().encode_text(text)
        features = torch.cat([features[:, :1] + 1, features[:, 1:]], dim=1)
        return functional.normalize(features, dim=-1) if normalize else features


def test_a_tower_that_does_something_else_is_found_out_and_warned_of_once() -> None:
    torch.manual_seed(0)
    model = Hooked(64, TINY_VISION, {"context_length": 20, "width": 64, "heads": 2, "layers": 1}).eval()
    with pytest.warns(UserWarning, match="differs from encode_text"):
        assert_equal_to_open_clip(model, TEMPLATES[:2], NAMES[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal_to_open_clip(model, TEMPLATES[:2], NAMES[:3])
    assert text_path(model).startswith("plain: the fast path differs from encode_text by ")


def test_a_tower_that_cannot_run_the_pass_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = open_clip.CLIP(64, TINY_VISION, {"context_length": 20, "width": 64, "heads": 2, "layers": 1}).eval()
    run = TextPass.run
    monkeypatch.setattr(TextPass, "run", lambda self, chunk: run(self, replace(chunk, tokens=chunk.tokens + 10**6)))
    with pytest.warns(UserWarning, match="fast text path does not run"):
        assert text_path(model).startswith("plain: ")


class Masking(nn.Module):
    """A substitute for a Hugging Face text tower: not causal, masks its padding (or not), pools the mean."""

    def __init__(self, masks: bool, pad: int = 0) -> None:
        super().__init__()
        self.text = nn.Module()
        self.text.config = type("Config", (), {"pad_token_id": pad})()
        self.pad = pad
        self.embed = nn.Embedding(49408, 16)
        self.masks = masks
        self.widths: list[int] = []

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        self.widths.append(tokens.shape[1])
        real = ((tokens != self.pad) | (not self.masks))[..., None]
        return (self.embed(tokens) * real).sum(1) / real.sum(1)


@pytest.mark.parametrize("masks", [True, False])
def test_only_a_tower_that_masks_padding_gets_less_of_it(masks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, tokenizer = Masking(masks), open_clip.SimpleTokenizer()
    assert text_path(model).startswith("plain: a Hugging Face text tower, ")
    monkeypatch.setattr(text_tower, "TEXT_BATCH", 2)
    texts = ["a cat", "a b c d e f g", "dog", "a b c d e f g h"]
    model.widths.clear()
    ours = encode_texts(model, tokenizer, texts)
    assert model.widths == ([4, 10] if masks else [77, 77])
    np.testing.assert_allclose(ours, direct(model, tokenizer, texts), rtol=0, atol=1e-6)


def test_texts_of_several_batches_are_padded_with_the_towers_own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, plain_tokenizer = Masking(True, pad=1), open_clip.SimpleTokenizer()

    def tokenizer(texts: list[str]) -> torch.Tensor:
        tokens = plain_tokenizer(texts)
        return torch.where(tokens == 0, 1, tokens)

    monkeypatch.setattr(text_tower, "TEXT_BATCH", 2)
    texts = ["a cat", "a b c", "dog", "a b c d e f g h"]
    ours = encode_texts(model, tokenizer, texts)
    np.testing.assert_allclose(ours, direct(model, tokenizer, texts), rtol=0, atol=1e-6)
