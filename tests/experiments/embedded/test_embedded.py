"""Checks on the files that ship: the CLIP loads, the split is clean, words decide."""

import json
import re
from functools import cache
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from ipo_prompts.experiments.embedded import DOMAINS, IMAGES_DIR, MODEL_DIR, SPLIT_FILE

PARTS = ("train", "val", "test")
BASELINE = "a photo of a <CLASS>."
NAMES_SHIFT = (
    "a photo of a <CLASS> with inverted colors.",
    "a photographic negative of a <CLASS>.",
    "a negative image of a <CLASS> on a black background.",
)
TELLING = re.compile(r"negativ|invert|sketch|edge|outline|dark|nois|grain|blur|gray|grey|clean|drawing|pencil")


@cache
def table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SPLIT_FILE.read_text("utf-8"))
    return found


@cache
def loaded() -> Any:
    name = f"local-dir:{MODEL_DIR}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@cache
def features(domain: str) -> torch.Tensor:
    model, preprocess, _ = loaded()
    rows = table()["test"]
    images = [preprocess(Image.open(IMAGES_DIR / domain / row[0])) for row in rows]
    with torch.inference_mode():
        found: torch.Tensor = model.encode_image(torch.stack(images), normalize=True)
    return found


def accuracy(domain: str, template: str) -> float:
    model, _, tokenizer = loaded()
    texts = tokenizer([template.replace("<CLASS>", name) for name in table()["classes"]])
    with torch.inference_mode():
        scores = features(domain) @ model.encode_text(texts, normalize=True).T
    labels = torch.tensor([row[1] for row in table()["test"]])
    return float((scores.argmax(1) == labels).float().mean())


def test_model_loads_as_fp32_with_stock_tokenizer() -> None:
    model, _, tokenizer = loaded()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert tokenizer.vocab_size == 49408
    assert tokenizer(["a cat"]).shape == (1, 48)


def test_sizes_stay_small() -> None:
    assert sum(p.stat().st_size for p in MODEL_DIR.iterdir()) <= 25e6
    assert sum(p.stat().st_size for p in IMAGES_DIR.rglob("*.webp")) <= 8e6


def test_no_base_image_stands_in_two_parts() -> None:
    seen = [row[3] for part in PARTS for row in table()[part]]
    owners = {(row[3], part) for part in PARTS for row in table()[part]}
    assert len(owners) == len(set(seen)) == len(seen)


@pytest.mark.parametrize(("part", "least"), [("train", 2), ("val", 2), ("test", 3)])
def test_every_class_stands_in_every_part(part: str, least: int) -> None:
    counts = [0] * len(table()["classes"])
    for _, label, name, _ in table()[part]:
        assert table()["classes"][label] == name
        counts[label] += 1
    assert min(counts) >= least


def test_enough_base_test_images_and_equal_halves() -> None:
    assert len({row[3] for row in table()["test"]}) >= 200
    assert len(table()["classes"]) % 2 == 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_images_are_readable_and_nothing_else_lies_there(domain: str) -> None:
    wanted = {row[0] for part in PARTS for row in table()[part]}
    present = {p.relative_to(IMAGES_DIR / domain).as_posix() for p in (IMAGES_DIR / domain).rglob("*") if p.is_file()}
    assert present == wanted
    for path in wanted:
        with Image.open(IMAGES_DIR / domain / path) as image:
            image.load()
            assert (image.mode, image.size) == ("RGB", (48, 48))


def test_no_name_tells_the_domain() -> None:
    names = [*table()["classes"], *DOMAINS]
    names += [row[0] for part in PARTS for row in table()[part]]
    assert [name for name in names if TELLING.search(name)] == []


def test_naming_the_shift_beats_the_baseline_on_a() -> None:
    gains = [accuracy("a", template) - accuracy("a", BASELINE) for template in NAMES_SHIFT]
    assert max(gains) > 0.05 and sum(gains) / len(gains) > 0.05


def test_baseline_is_well_above_chance_on_the_control() -> None:
    assert accuracy("b", BASELINE) > 10 / len(table()["classes"])
