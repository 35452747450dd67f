"""Our numbers are open_clip's numbers: the same model used directly, image by image, gives the same answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as functional
from PIL import Image
from safetensors.torch import save_file

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip, check_name, load_clip, open_clip_arguments
from ipo_prompts.metrics.device import find_device
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import fill

TEMPLATES = (
    "a photo of a <CLASS>.",
    "<CLASS>",
    "a {curly} {0} <CLASS> and a {<CLASS>}",
    "the \"quoted\" 'drawing' of a <CLASS>, 50 % off $5",
    "ein schönes Bild – 一张照片 – of a <CLASS> ☃",
)
NAMES = ("cat", "ice_cream", "birthday cake", "bus", "Ärger", "mushroom")


@dataclass(frozen=True)
class Sample:
    """A model, images with labels, class names."""

    where: str
    names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]


def save_model(folder: Path, config: dict[str, Any], preprocess: dict[str, Any] | None = None) -> str:
    """Build a random model of this configuration and save it as a local-dir."""
    folder.mkdir(parents=True)
    stem = f"ipo-test-{folder.name}"
    listed = folder / f"{stem}.json"
    listed.write_text(json.dumps(config))
    open_clip.add_model_config(listed)
    torch.manual_seed(0)
    model = open_clip.create_model(stem)
    listed.unlink()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess or {"size": 32}})
    )
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def tiny_config(**text: Any) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, **text},
    }


@pytest.fixture(scope="session")
def embedded_sample() -> Sample:
    data = load_data("embedded", seed=0)
    items = data.test[:: max(1, len(data.test) // 120)]
    return Sample("embedded", data.class_names, tuple(Path(i.image.name) for i in items), tuple(i.label for i in items))


def few(sample: Sample, where: str) -> Sample:
    files = sample.files[:: len(sample.files) // 6][:6]
    return Sample(where, NAMES, files, tuple(range(6)))


@pytest.fixture(scope="session")
def vit_b_32(embedded_sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A ViT-B-32 but for its size: two blocks a tower and a quarter of the width, with random weights."""
    config = copy.deepcopy(open_clip.get_model_config("ViT-B-32"))
    assert config is not None
    for tower in ("vision_cfg", "text_cfg"):
        config[tower]["layers"] = 2
        config[tower]["width"] //= 4
    config["embed_dim"] //= 4
    return few(embedded_sample, save_model(tmp_path_factory.mktemp("vit") / "shallow", config, {"size": 224}))


@pytest.fixture(scope="session")
def siglip_like(embedded_sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """What is special about SigLIP: text that sees in both directions, pooling at the end, a logit bias, squashing."""
    config = tiny_config(no_causal_mask=True, proj_bias=True, pool_type="last")
    config |= {"init_logit_bias": -10, "custom_text": True}
    preprocess = {"size": 32, "resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3}
    return few(embedded_sample, save_model(tmp_path_factory.mktemp("sig") / "both-ways", config, preprocess))


@pytest.fixture()
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def loaded(clip: Clip) -> Callable[[str], Clip]:
    known = {"embedded": clip}

    def load(where: str) -> Clip:
        if where not in known:
            known[where] = load_clip(where, "cpu")
        return known[where]

    return load


@dataclass(frozen=True)
class Direct:
    """open_clip used as its README says, one image at a time."""

    predictions: list[int]
    losses: list[float]
    margins: list[float]


@pytest.fixture(scope="session")
def direct() -> Callable[[Sample, Sequence[str]], list[Direct]]:
    models: dict[str, tuple[Any, Any, Any]] = {}
    images: dict[str, Any] = {}

    def run(sample: Sample, templates: Sequence[str]) -> list[Direct]:
        name = f"local-dir:{open_clip_folder()}" if sample.where == "embedded" else sample.where
        if sample.where not in models:
            model, _, transform = open_clip.create_model_and_transforms(name)
            models[sample.where] = (model.eval(), transform, open_clip.get_tokenizer(name))
        model, transform, tokenizer = models[sample.where]
        found = []
        with torch.no_grad():
            if sample.where not in images:
                encoded = [model.encode_image(transform(Image.open(file)).unsqueeze(0)) for file in sample.files]
                images[sample.where] = functional.normalize(torch.cat(encoded), dim=-1)
            for template in templates:
                texts = [template.replace("<CLASS>", name.replace("_", " ")) for name in sample.names]
                classes = functional.normalize(model.encode_text(tokenizer(texts)), dim=-1)
                logits = model.logit_scale.exp() * images[sample.where] @ classes.T
                if model.logit_bias is not None:
                    logits = logits + model.logit_bias
                losses = functional.cross_entropy(logits, torch.tensor(sample.labels), reduction="none")
                top = logits.topk(2, dim=-1).values
                found.append(Direct(logits.argmax(-1).tolist(), losses.tolist(), (top[:, 0] - top[:, 1]).tolist()))
        return found

    return run


def open_clip_folder() -> Path:
    from ipo_prompts.experiments.embedded import MODEL_DIR

    return MODEL_DIR


def encoded(clip: Clip, sample: Sample, folder: Path) -> tuple[ClipReward, EncodedImages]:
    reward = ClipReward(clip, sample.names, FeatureStore(clip, folder))
    return reward, reward.encode([LazyImage.from_path(file) for file in sample.files], sample.labels)


def usable(reward: ClipReward) -> list[str]:
    """The templates that fit."""
    fit = [template for template in TEMPLATES if reward.problem(template) is None]
    assert len(fit) >= 2
    return fit


models = pytest.mark.parametrize("sample", ["embedded_sample", "vit_b_32", "siglip_like"], indirect=True)


@models
def test_scores_equal_open_clip_used_directly(
    sample: Sample, loaded: Callable[[str], Clip], direct: Any, tmp_path: Path
) -> None:
    reward, images = encoded(loaded(sample.where), sample, tmp_path)
    templates = usable(reward)
    for score, expected in zip(reward.score(templates, images), direct(sample, templates), strict=True):
        assert score.predictions.tolist() == expected.predictions
        assert score.hits.tolist() == [p == y for p, y in zip(expected.predictions, sample.labels, strict=True)]
        np.testing.assert_allclose(score.losses, expected.losses, rtol=1e-5, atol=1e-5)
        assert score.value == np.mean(score.hits)
        assert score.loss == pytest.approx(np.mean(expected.losses), abs=1e-5)


def test_the_siglip_like_model_has_its_bias(siglip_like: Sample, loaded: Callable[[str], Clip]) -> None:
    assert loaded(siglip_like.where).logit_bias == -10.0


# --- tokens


@models
@pytest.mark.parametrize("text", ["a cat", "", *TEMPLATES, "Don't   do &amp; that", "x" * 90])
def test_counting_equals_the_tokenizer(sample: Sample, loaded: Callable[[str], Clip], text: str) -> None:
    clip = loaded(sample.where)
    ids = clip.tokenizer([text], context_length=200)[0]
    assert clip.count(text) == int(ids.argmax()) + 1  # the end token has the highest id


def test_the_longest_text_that_fits_is_scored_whole_and_one_token_more_is_refused(clip: Clip) -> None:
    room = clip.context_length - clip.count("cat")
    fits, over = "<CLASS>" + " a" * room, "<CLASS>" + " a" * (room + 1)
    reward = ClipReward(clip, ["cat", "dog"])
    assert clip.count(fill(fits, "cat")) == clip.context_length
    assert reward.problem(fits) is None
    assert f"{clip.context_length + 1} tokens" in (reward.problem(over) or "")


def test_the_name_with_the_most_tokens_decides_not_the_longest_one(clip: Clip) -> None:
    long, heavy = "photograph photograph photograph", "ŧŋłđħĸ€¶øþ"
    assert len(heavy) < len(long)
    assert clip.count(heavy) > clip.count(long)
    template = "<CLASS>" + " a" * (clip.context_length - clip.count(long))
    assert ClipReward(clip, [long]).problem(template) is None
    names = [f"{long} {i}"[: len(long)] for i in range(60)]
    assert heavy in (ClipReward(clip, [*names, heavy]).problem(template) or "")
    assert heavy in (ClipReward(clip, names, also_fit=[heavy]).problem(template) or "")


# --- loading


def test_bfloat16_is_another_encoder_of_nearly_the_same_features(embedded_sample: Sample, clip: Clip) -> None:
    rough = load_clip("embedded", "cpu", "bf16")
    assert rough.fingerprint != clip.fingerprint
    images = list(map(LazyImage.from_path, embedded_sample.files[:4]))
    for found, exact in (
        (rough.encode_images(images), clip.encode_images(images)),
        (rough.encode_texts(NAMES), clip.encode_texts(NAMES)),
    ):
        assert found.dtype == np.float32 and 0 < np.abs(found - exact).max() < 0.02


def test_other_weights_under_the_same_name_have_another_fingerprint(clip: Clip) -> None:
    model = copy.deepcopy(clip.model)
    again = Clip(clip.name, model, clip.preprocess, clip.tokenizer)
    assert again.fingerprint == clip.fingerprint
    with torch.no_grad():
        model.logit_scale += 1e-4
    assert Clip(clip.name, model, clip.preprocess, clip.tokenizer).fingerprint != clip.fingerprint


def test_a_weights_file_loads_by_path(tmp_path: Path, clip: Clip) -> None:
    save_model(tmp_path / "by-path", tiny_config())
    loaded = load_clip(f"ipo-test-by-path/{tmp_path}/by-path/open_clip_model.safetensors", "cpu")
    assert loaded.context_length == 20
    assert loaded.fingerprint != clip.fingerprint
    assert (
        loaded.fingerprint == load_clip(f"ipo-test-by-path/{tmp_path}/by-path/open_clip_model.safetensors").fingerprint
    )


def break_nothing(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()


def break_weights(folder: Path) -> None:
    file = folder / "open_clip_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def break_config(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text("{")


def empty_config(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text("{}")


def other_shape(folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 48
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def no_config(folder: Path) -> None:
    (folder / "open_clip_config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (break_nothing, "no weights file"),
        (break_weights, "cannot load the CLIP"),
        (break_config, "cannot load the CLIP"),
        (empty_config, "cannot load the CLIP"),
        (other_shape, "size mismatch"),
        (no_config, "open_clip_config.json"),
    ],
)
def test_a_damaged_model_is_refused_and_never_random(
    harm: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    where = save_model(tmp_path / f"harm-{harm.__name__}", tiny_config())
    harm(tmp_path / f"harm-{harm.__name__}")
    with pytest.raises(InputError, match=message) as caught:
        load_clip(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-33/openai", r"no CLIP named 'ViT-B-33'; did you mean ViT-B-32"),
        ("ViT-B-32", r"to load, such as ViT-B-32/openai; it has: openai, "),
        ("ViT-L/14@336px", r"did you mean ViT-L-14-336/openai\?"),
        ("ViT-B-32/openia", r"no weights 'openia'; did you mean openai"),
        ("", "no CLIP named ''"),
    ],
)
def test_wrong_names_are_answered_with_near_ones(name: str, message: str) -> None:
    for refuse in (load_clip, check_name):
        with pytest.raises(InputError, match=message):
            refuse(name)


@pytest.mark.parametrize(
    ("best", "count", "here"),
    [
        (None, 0, "auto, cpu"),
        ("mps", 1, "auto, mps, mps:0, cpu"),
        ("cuda", 2, "auto, cuda, cuda:0, cuda:1, cpu"),
    ],
)
def test_a_device_that_is_not_here_is_answered_with_those_that_are(
    best: str | None, count: int, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = torch.device(best) if best else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
    assert find_device("auto") == (best or "cpu")
    assert {find_device(name) for name in here.split(", ")[1:]} == set(here.split(", ")[1:])
    for refuse in (find_device, lambda name: load_clip("embedded", name)):
        with pytest.raises(InputError, match=rf"no device 'cuda:7' here; device can be {here}\."):
            refuse("cuda:7")


def test_missing_weights_offline_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="'ViT-B-32/openai': it is not on this machine and HF_HUB_OFFLINE") as caught:
        load_clip("ViT-B-32/openai")
    assert len(str(caught.value)) < 500
    assert not caplog.records


def test_a_clip_in_a_folder_is_found_from_any_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_clip_arguments("local-dir:mine") == {"model_name": f"local-dir:{tmp_path / 'mine'}"}
    assert open_clip_arguments("hf-hub:someone/theirs") == {"model_name": "hf-hub:someone/theirs"}


def test_a_copy_has_the_model_and_seconds_of_its_own(clip: Clip) -> None:
    one, other = copy.copy(clip), copy.copy(clip)
    before = dict(clip.seconds)
    one.encode_texts(["a cat"])
    assert one.model is clip.model and one.seconds["text"] > 0
    assert other.seconds == {"text": 0.0, "image": 0.0} and clip.seconds == before
