"""The sets that claims are made on: transformations that no CLIP was taught, images that none has met, own seeds."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.lab.bed import CLAIMS, SHIFTED, ShiftedSet, claims, set_of, suite
from benchmarks.lab.untaught import UNTAUGHT
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded.shifts import TRANSFORMATIONS, transformations_of
from ipo_prompts.metrics.errors import InputError
from tools.embedded.duplicates import looks_like
from tools.embedded.sources import HELD_BACK, SOURCES
from tools.embedded.vocabulary import phrases

SAYING = {
    "swirl": "swirl whirl twist spiral vortex",
    "ripple": "rippl wav undulat",
    "bulge": "bulg fisheye swell swollen convex",
    "slant": "slant shear tilt italic oblique",
    "mirror": "mirror symmetr reflect kaleidoscop",
    "tiles": "tile jumbl puzzle shuffl scrambl",
    "stripes": "strip bars barred banded",
    "halftone": "halftone newsprint dotted stippl",
    "posterise": "poster quanti tonal",
    "vignette": "vignet peephole porthole spotlight",
    "rings": "ring circle circular concentric target",
    "double": "double ghost superimpos overlaid twice",
}
"""How words begin that a caption would name an untaught transformation with."""


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("rings+swirl", "swirl+rings"),
        ("held-back/sepia+upside-down@2", "held-back/upside-down+sepia@2"),
        ("clean@007", "clean@7"),
        ("dark@0", "dark"),
    ],
)
def test_a_set_has_one_name(spec: str, name: str) -> None:
    assert set_of(spec).spec == f"{SHIFTED}{name}" == load_data(f"{SHIFTED}{spec}", seed=0).name


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("held-bck/dark", "there is no set 'held-bck/dark'; a set is written like held-back/swirl"),
        ("dark@two", "there is no set 'dark@two'"),
        ("held-back/swirll", r"'swirll' in 'held-back/swirll' is no transformation \(did you mean swirl\?\)"),
        ("dark+dark", "is there twice"),
    ],
)
def test_what_is_no_set_is_one_sentence(spec: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_data(f"{SHIFTED}{spec}", seed=0)


def test_claims_are_made_on_six_sets_of_a_kind_with_seeds_and_half_of_the_base_images_of_their_own() -> None:
    sets = {kind: [set_of(spec.removeprefix(SHIFTED)) for spec in suite(kind)] for kind in CLAIMS}
    assert sets == {kind: claims(kind) for kind in CLAIMS}
    whole = [one for of_kind in sets.values() for one in of_kind]
    assert len({one.seed for one in whole}) == len(whole) == 18 and min(one.seed for one in whole) > 0
    assert {kind: [one.base for one in of_kind].count("held-back") for kind, of_kind in sets.items()} == dict.fromkeys(
        CLAIMS, 3
    )
    untaught = Counter(transformation for one in sets["claims-untaught"] for transformation in one.transformations)
    assert untaught == Counter([*UNTAUGHT]), "no transformation in two sets"
    assert {one.transformations for one in sets["claims-clean"]} == {()}
    held_out = {transformations_of(spec.removeprefix("embedded:")) for spec in suite("suite-held-out")}
    taught = [one.transformations for one in sets["claims-taught"]]
    assert {*taught} <= held_out and len({other for _, other in taught}) == 6
    assert max(Counter(move for move, _ in taught).values()) == 2


def test_no_caption_of_any_recipe_names_an_untaught_transformation() -> None:
    assert {*SAYING} == {*UNTAUGHT} and not {*UNTAUGHT} & {*TRANSFORMATIONS}
    words = {word for phrase in phrases() for word in re.findall("[a-z]+", phrase)}
    assert len(words) > 250
    for name, beginnings in SAYING.items():
        assert not [word for word in words if word.startswith(tuple(beginnings.split()))], name


@pytest.mark.parametrize("name", UNTAUGHT)
def test_an_untaught_transformation_changes_a_image_by_its_seed_alone(name: str) -> None:
    def pixels(spec: str) -> npt.NDArray[np.int64]:
        return np.stack([np.asarray(item.image.rgb(), int) for item in load_data(spec, seed=0).val[:6]])

    shown = pixels(f"{SHIFTED}{name}@3")
    assert shown.shape == (6, 48, 48, 3) and np.array_equal(shown, pixels(f"{SHIFTED}{name}@3"))
    assert np.abs(shown - pixels(f"{SHIFTED}clean@3")).mean() > 4, "of 255"


def test_a_seed_draws_the_parts_and_what_is_random_in_the_transformations() -> None:
    first, other, shipped = (load_data(f"{SHIFTED}clean{seed}", seed=0) for seed in ("@1", "@2", ""))
    for part in ("train", "val", "test"):
        groups = [[item.group for item in data.part(part)] for data in (first, other, shipped)]
        assert len({len(one) for one in groups}) == 1 and len({*map(tuple, groups)}) == 3
        assert Counter(item.label for item in first.part(part)) == Counter(item.label for item in shipped.part(part))
    whole = [{item.group for part in ("train", "val", "test") for item in data.part(part)} for data in (first, shipped)]
    assert whole[0] == whole[1]
    again = load_data(f"{SHIFTED}clean@1", seed=5)
    assert [item.group for item in again.test] == [item.group for item in first.test]
    dark = [load_data(f"{SHIFTED}dark@{seed}", seed=0) for seed in (1, 2)]
    images = [{item.group: item.image.bytes() for item in data.test} for data in dark]
    both = {*images[0]} & {*images[1]}
    assert len(both) > 50 and all(images[0][group] != images[1][group] for group in both)


def test_held_back_images_are_of_packages_and_drawings_that_no_clip_has_met() -> None:
    data, shipped = load_data(f"{SHIFTED}held-back/clean", seed=0), load_data("embedded:b", seed=0)
    assert {*data.class_names} <= {*shipped.class_names} and len(data.class_names) == 30
    items = [item for part in ("train", "val", "test") for item in data.part(part)]
    assert Counter(item.label for item in items) == dict.fromkeys(range(30), 10)
    families = {item.group.split("/")[0] for item in items}
    assert len(families) > 30 and families <= {source.family for source in HELD_BACK}
    assert not {s.family for s in HELD_BACK} & {s.family for s in SOURCES}
    assert not {s.package for s in HELD_BACK} & {s.package for s in SOURCES}
    assert len({item.group for item in items}) == 300 and len({item.image.bytes() for item in items}) == 300


def test_drawings_that_look_alike_are_found() -> None:
    drawings = np.zeros((3, 64, 64, 4), np.uint8)
    drawings[0, 8:40, 8:40, 3] = drawings[1, 9:40, 8:40, 3] = drawings[2, 30:60, 8:40, 3] = 255
    assert looks_like(drawings, drawings[:1]).tolist() == [[True], [True], [False]]


def test_a_taught_set_without_base_or_seed_has_the_images_that_ship() -> None:
    assert ShiftedSet(()).spec == f"{SHIFTED}clean"
    ours, theirs = (load_data(f"{kind}sideways+dark", seed=0).val[:9] for kind in (SHIFTED, "embedded:"))
    assert [one.image.bytes() for one in ours] == [one.image.bytes() for one in theirs]
