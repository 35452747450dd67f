"""From icon packages to parts: sources, concepts, rasters, duplicates, tints and the split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.embedded import concepts, held_back, raster
from tools.embedded.concepts import Concept, Emoji
from tools.embedded.drawings import Drawing, Pixels, as_floats, load, save
from tools.embedded.duplicates import join, looks_like
from tools.embedded.sources import ALLOWED_LICENCES, SOURCES, check_licence
from tools.embedded.splits import PER_CLASS, split
from tools.embedded.tint import tint

Drawn = tuple[list[Drawing], Pixels]
Emojis = Callable[..., Path]


def test_sources_are_pinned_licensed_and_named_once() -> None:
    assert len({s.name for s in SOURCES}) == len({s.package for s in SOURCES}) == len(SOURCES) == 53
    for source in SOURCES:
        assert source.licence in ALLOWED_LICENCES and source.kind in {"emoji", "icon", "glyph"}
        assert source.version.count(".") == 2 and source.url.startswith("https://") and source.author


@pytest.mark.parametrize(
    ("file", "content"), [("info.json", {"license": {"spdx": "MIT"}}), ("package.json", {"license": "MIT"})]
)
def test_a_package_must_state_the_licence_that_we_state(tmp_path: Path, file: str, content: object) -> None:
    (tmp_path / file).write_text(json.dumps(content))
    check_licence(tmp_path, "MIT")
    with pytest.raises(ValueError, match="says licence 'MIT', we expect 'ISC'"):
        check_licence(tmp_path, "ISC")


def test_classes_come_first_and_others_leave_out_what_is_no_plain_thing(tmp_path: Path, emoji_data: Emojis) -> None:
    refused = [("one o’clock", 0), ("old person", 0), ("a b c d", 0), ("flag: chad", 1), ("france", 1)]
    found = concepts.list_concepts(concepts.read_emojis(emoji_data(tmp_path, ("teapot", 0), ("axe", 0), *refused)))
    classes = [c for c in found if c.is_class]
    assert found[: len(classes)] == classes and [c.name for c in classes[:2]] == ["cat", "apple"]
    assert len(classes) == 90 and [c.name for c in found[90:]] == ["axe", "teapot"]
    cat = classes[0]
    assert [e.label for e in cat.emojis] == ["cat", "cat face", "black cat"]
    assert cat.slugs == ("cat", "cat-face", "black-cat") and cat.emojis[0].code == "1f000"
    by_name = {c.name: c.slugs for c in classes}
    assert "mouse" not in by_name["mouse"] and "bike" in by_name["bicycle"]


def test_held_back_are_drawings_of_other_packages_unlike_each_other_and_those_that_were_met(drawn: Drawn) -> None:
    cats = [row for row, drawing in enumerate(drawn[0]) if drawing.concept == "cat" and drawing.kind == "emoji"]
    met, pixels = [drawn[0][cats[0]]], drawn[1][cats[:1]]
    new = [replace(drawn[0][row], base=f"pack-{number // 2}/cat") for number, row in enumerate([*cats, *cats])]
    new_pixels = drawn[1][[*cats, *cats]]
    rows = list(held_back._chosen(met, pixels, new, new_pixels))
    assert len(rows) == sum(PER_CLASS.values()) == len({new[row].base for row in rows})
    assert not {0, len(cats)} & {*rows}, "met"
    alike = looks_like(new_pixels[rows], new_pixels[rows])
    assert alike.sum() == len(rows), "each is like itself alone"
    assert list(held_back._chosen(met, pixels, new[:16], new_pixels[:16])) == [], "eight packages are too few"


def test_other_concepts_are_drawn_by_seed(tmp_path: Path, emoji_data: Emojis) -> None:
    many = [(f"thing {n}", 0) for n in range(400)]
    emojis = concepts.read_emojis(emoji_data(tmp_path, *many))
    found = [c.name for c in concepts.list_concepts(emojis) if not c.is_class]
    again = [c.name for c in concepts.list_concepts(dict(reversed(emojis.items()))) if not c.is_class]
    assert found == again and len(set(found)) == concepts.EXTRA_CONCEPTS


def test_strangers_are_single_words_of_no_concept_that_is_taught(tmp_path: Path, emoji_data: Emojis) -> None:
    letters = "abcdefghijklmnopqrst"
    many = [(one + other, 0) for one in letters for other in letters]
    refused = [("two words", 0), ("face", 0), ("o’clock", 0), ("chad", 1)]
    emojis = concepts.read_emojis(emoji_data(tmp_path, *many, *refused))
    found = [c.name for c in concepts.list_strangers(emojis)]
    taught = {c.name for c in concepts.list_concepts(emojis)}
    assert len(set(found)) == concepts.STRANGERS and not taught & set(found)
    assert set(found) <= {label for label, _ in many}  # "face" is a word of the label "cat face"
    assert found == [c.name for c in concepts.list_strangers(dict(reversed(emojis.items())))]


def test_a_bitmap_package_is_found_by_code_with_or_without_selector(tmp_path: Path) -> None:
    source = next(s for s in SOURCES if s.package.startswith("@lobehub"))
    assets = tmp_path / source.package / "assets"
    assets.mkdir(parents=True)
    Image.new("RGBA", (128, 64), (255, 0, 0, 255)).save(assets / "2708.webp", lossless=True)
    plane = Concept("airplane", (Emoji("2708-fe0f", "airplane", "travel"), Emoji("1f9", "jet", "travel")), (), True)
    ((drawing, pixels),) = raster.Pack(tmp_path, source).drawings(plane)
    assert (drawing.name, drawing.base) == ("fluent-emoji-3d/airplane", "fluent/2708-fe0f")
    assert pixels.shape == (64, 64, 4) and pixels.dtype == np.uint8
    assert pixels[32, 32].tolist() == [255, 0, 0, 255] and pixels[4, 32, 3] == 0
    # Premultiplied while resizing: where the edge is half transparent it is still red.
    edge = pixels[(pixels[..., 3] > 30) & (pixels[..., 3] < 225)]
    assert (edge[:, 0] > 240).all()


def test_drawings_are_read_as_they_were_saved(tmp_path: Path, drawn: Drawn) -> None:
    drawings, pixels = drawn
    save(tmp_path / "raster.npy", drawings, pixels)
    read, same = load(tmp_path / "raster.npy")
    assert read == drawings and np.array_equal(same, pixels)
    assert as_floats(pixels).dtype == np.float32 and as_floats(pixels).max() == 1


def test_twins_of_one_concept_share_a_base_and_others_do_not(drawn: Drawn) -> None:
    drawings, pixels = drawn
    twin = replace(drawings[0], name="other/cat", base="other/cat")
    stranger = replace(twin, concept="dog", base="other/dog")
    three = np.stack([pixels[0], pixels[0], pixels[0]])
    three[1, :3, :3] += 9
    assert [p.base for p in join([drawings[0], twin, stranger], three)] == ["f/cat0", "f/cat0", "other/dog"]
    assert [p.base for p in join(drawings[0:4:2], pixels[0:4:2])] == ["f/cat0", "f/cat1"]


def test_glyphs_take_the_colour_of_their_concept_s_emoji(drawn: Drawn) -> None:
    drawings, pixels = drawn
    tinted = tint(drawings, pixels)
    assert np.array_equal(tinted[::2], pixels[::2]) and np.array_equal(tinted[..., 3], pixels[..., 3])
    for row, strongest in ((1, 0), (33, 1), (65, 2)):  # cat is red, dog green, car blue
        colour = tinted[row][pixels[row, ..., 3] == 255].mean(0)[:3]
        assert colour.argmax() == strongest and colour.max() > 100
    orphan = replace(drawings[1], concept="unseen")
    assert np.array_equal(tint([orphan], pixels[1:2]), pixels[1:2])


def test_no_base_image_stands_in_two_places(drawn: Drawn) -> None:
    drawings, _ = drawn
    found = split(drawings)
    held_out = [drawings[row].base for rows in found.parts.values() for row in rows]
    assert len(set(held_out)) == len(held_out)
    assert not set(held_out) & {drawings[row].base for row in found.clip}


def test_parts_have_their_sizes_and_an_odd_class_joins_none(drawn: Drawn) -> None:
    drawings, _ = drawn
    found = split(drawings)
    assert found.classes == ("cat", "dog") == split(drawings).classes
    for part, rows in found.parts.items():
        assert Counter(drawings[row].concept for row in rows) == dict.fromkeys(found.classes, PER_CLASS[part])
    assert found == split(drawings)
    # 16 bases of two drawings: ten are held out of a class; the CLIP sees the others, and all of what is no class.
    seen = Counter(drawings[row].concept for row in found.clip)
    assert seen == {"cat": 12, "dog": 12, "car": 12, "tea": 6}


def test_a_change_to_one_class_leaves_the_others_alone(drawn: Drawn) -> None:
    drawings, _ = drawn
    fewer = [p for p in drawings if p.concept != "dog"]
    first = split(drawings)
    again = split(fewer)
    assert again.classes == ("cat", "car")
    for part in PER_CLASS:
        cats = [drawings[row].name for row in first.parts[part] if drawings[row].concept == "cat"]
        assert cats == [fewer[row].name for row in again.parts[part] if fewer[row].concept == "cat"]
