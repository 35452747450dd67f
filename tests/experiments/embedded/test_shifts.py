"""What each transformation on images does; sets of them: one name each, rendered alike anywhere."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import shifts
from ipo_prompts.experiments.embedded.shifts import (
    SIDE,
    TRANSFORMATIONS,
    Image,
    canonical,
    name_of_set,
    render,
    seed_of,
    transformations_of,
)
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore


@pytest.mark.parametrize("spelled", ["negative+upside-down", "upside down + negative", "upside_down+negative"])
def test_a_set_has_one_name_however_it_is_spelled(spelled: str) -> None:
    assert transformations_of(spelled) == ("upside down", "negative")
    assert canonical(f"embedded:{spelled}") == "embedded:upside-down+negative"
    assert load_data(f"embedded:{spelled}", seed=0).name == "embedded:upside-down+negative"
    assert load_config(None, data=f"embedded:{spelled}").data == "embedded:upside-down+negative"


def test_every_set_of_transformations_can_be_named() -> None:
    for names in (*itertools.combinations(TRANSFORMATIONS, 2), TRANSFORMATIONS):
        assert transformations_of(name_of_set(names)) == names


@pytest.mark.parametrize("spec", ["embedded", "embedded:a", "embedded:e", "folder:negative+sideways", "embedded:a+b"])
def test_other_specs_stay_as_they_are(spec: str) -> None:
    assert canonical(spec) == spec


@pytest.mark.parametrize(("shift", "domain"), [("negative", "a"), ("sideways+faded", "d")])
def test_a_shipped_domain_is_its_transformations_over_the_clean_images(shift: str, domain: str) -> None:
    rendered, files = (load_data(f"embedded:{name}", seed=0) for name in (shift, domain))
    assert rendered.class_names == files.class_names and rendered.task == files.task
    for part in ("train", "val", "test"):
        assert [(i.label, i.group) for i in rendered.part(part)] == [(i.label, i.group) for i in files.part(part)]
    for ours, theirs in zip(rendered.val[:40], files.val[:40], strict=True):
        pixels = (np.asarray(item.image.rgb(), int) for item in (ours, theirs))
        assert np.abs(np.subtract(*pixels)).max() <= 1, "one of 255 levels, from rounding"


def test_a_image_has_the_same_bytes_in_every_process_and_order() -> None:
    images = [item.image for item in load_data("embedded:noise+blur+zoom", seed=0).val[:5]]
    first = [image.bytes() for image in images]
    assert [image.bytes() for image in reversed(images)][::-1] == first
    assert len(set(first)) == 5
    code = "import pickle, sys; sys.stdout.buffer.write(b''.join(p.bytes() for p in pickle.load(sys.stdin.buffer)))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(images), capture_output=True, check=True)
    assert done.stdout == b"".join(first)


def test_the_cache_knows_a_rendered_image_by_its_bytes(clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [item.image for item in load_data("embedded:dark+sideways", seed=0).val[:4]]
    before = FeatureStore(clip, tmp_path).encode(images)
    again = FeatureStore(clip, tmp_path)
    assert np.array_equal(again.encode(images), before) and again.encoded == 0
    # Another renderer: the same files on disk, other pixels.
    monkeypatch.setitem(shifts.PIXELWISE, "dark", lambda image, rng: image)
    others = [item.image for item in load_data("embedded:dark+sideways", seed=0).val[:4]]
    assert not np.array_equal(again.encode(others), before) and again.encoded == 4


def test_names_tell_the_image_and_the_set() -> None:
    data = load_data("embedded:gray+small", seed=0)
    assert data.train[0].image.name == "cat/01.webp of embedded:small+gray"


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (
            "negativ",
            r"no images embedded:negativ \(did you mean negative\?\); there are: embedded:a, .* upside-down, ",
        ),
        ("upside-dwn+gray", r"'upside dwn' is no transformation \(did you mean upside-down\?\)"),
        ("a+gray", "'a' is no transformation"),
        ("gray+", "'' is no transformation"),
        ("gray+Gray", r"'Gray' is no transformation \(did you mean gray\?\)"),
        ("gray+gray", "embedded:gray[+]gray has the transformation 'gray' twice; name it once"),
    ],
)
def test_what_is_no_set_is_one_sentence(rest: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_data(f"embedded:{rest}", seed=0)


RANDOM = {"dark", "bright", "blur", "noise"}


def drawing(seed: int = 0) -> Image:
    """A coloured blot on transparent ground, not symmetric in any way."""
    rgba = np.zeros((64, 64, 4), np.float32)
    rgba[12:52, 20:44, :3] = np.random.default_rng(seed).uniform(0.1, 0.9, 3)
    rgba[12:30, 20:30, :3] = 0.9, 0.1, 0.3
    rgba[12:52, 20:44, 3] = 1
    return rgba


def plain(*transformations: str, seed: int = 0, background: str = "white") -> Image:
    return render(drawing(), transformations, seed, background, jitter=0)


def test_a_image_is_the_same_alone_and_among_others_in_any_order() -> None:
    jobs = [(drawing(n), [TRANSFORMATIONS[n], "noise"], 100 + n) for n in range(len(TRANSFORMATIONS))]
    alone = [render(*job) for job in jobs]
    backwards = [render(*job) for job in reversed(jobs)][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(alone, backwards, strict=True))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_every_transformation_shows_and_stays_in_range(transformation: str) -> None:
    image = plain(transformation)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert np.abs(image - plain()).max() > 0.1
    assert np.array_equal(image, plain(transformation, seed=1)) == (transformation not in RANDOM)


def test_the_seed_moves_the_image_and_jitter_scales_the_move() -> None:
    still = plain()
    far = np.abs(render(drawing(), (), 1) - still).mean()
    near = np.abs(render(drawing(), (), 1, jitter=0.1) - still).mean()
    assert 0 < near < far
    assert not np.array_equal(render(drawing(), (), 1), render(drawing(), (), 2))


def test_turns_are_turns() -> None:
    assert np.allclose(plain("upside down"), np.rot90(plain(), 2), atol=1e-4)
    assert min(np.abs(plain("sideways") - np.rot90(plain(), k)).max() for k in (1, 3)) < 1e-4


def test_scales_show_more_or_less_of_the_image() -> None:
    inked = {name: float((plain(*([name] if name else [])) < 0.99).any(2).mean()) for name in ("small", "", "zoom")}
    assert inked["small"] < inked[""] / 3 and inked["zoom"] > inked[""] * 2


def test_colours() -> None:
    image = plain()
    assert np.allclose(plain("negative"), 1 - image, atol=1e-6)
    assert np.array_equal(plain("hue")[..., 0], image[..., 2])
    assert np.ptp(plain("gray"), axis=2).max() < 1e-6
    sepia = plain("sepia")
    assert (sepia[..., 0] >= sepia[..., 1]).all() and (sepia[..., 1] >= sepia[..., 2]).all()
    assert np.ptp(plain("faded")) < 0.5 * np.ptp(image)
    assert plain("dark").mean() < 0.5 * image.mean() and plain("bright").min() > image.min() + 0.2


def test_sharpness() -> None:
    steepest = np.abs(np.diff(plain(), axis=0)).max()
    assert np.abs(np.diff(plain("blur"), axis=0)).max() < 0.5 * steepest
    blocks = plain("pixel").reshape(12, 4, 12, 4, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    edges = plain("edge")
    assert edges[0, 0].min() > 0.99 and edges.min() < 0.5


def test_paper_shows_where_nothing_is_drawn_and_transformations_reach_it() -> None:
    assert np.allclose(plain(background="black")[0, 0], 0)
    assert np.allclose(plain("negative", background="black")[0, 0], 1)


def test_transformations_are_applied_in_their_own_order() -> None:
    assert np.array_equal(plain("negative", "sepia"), plain("sepia", "negative"))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no transformation 'negativ' of images \(did you mean negative\?\)"):
        plain("negativ")
    with pytest.raises(InputError, match="no background 'teal' of images; there are: white"):
        plain(background="teal")


def test_seeds_are_an_image_s_own() -> None:
    seeds = {seed_of(name, seed) for name in ("cat/01.webp", "cat/02.webp") for seed in (0, 1)}
    assert len(seeds) == 4 and seed_of("cat/01.webp", 0) in seeds


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, ipo_prompts.experiments.embedded.shifts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
