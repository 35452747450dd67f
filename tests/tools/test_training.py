"""Batches, domains, and the whole way from drawings to a card, with two steps of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ipo.experiments.embedded import MODEL_DIR
from ipo.metrics.clip import load_clip
from ipo.metrics.statistics import standard_error
from tools.embedded import __main__ as command
from tools.embedded import card, choose, measure, pictures
from tools.embedded.batches import BatchMaker
from tools.embedded.domains import DOMAINS, draw
from tools.embedded.drawings import Picture, Pixels, save
from tools.embedded.measure import Part, first_shots, hits, rank_correlation
from tools.embedded.model import build, encode_texts, export, normalise
from tools.embedded.sources import SOURCES
from tools.embedded.splits import split
from tools.embedded.train import make_tokenizer, train

Drawn = tuple[list[Picture], Pixels]

# On a handful of pictures some accuracies are all alike.
pytestmark = pytest.mark.filterwarnings("ignore:An input array is constant")


def maker(drawn: Drawn, seed: int = 0) -> BatchMaker:
    return BatchMaker(*drawn, split(drawn[0]).clip, seed)


def test_a_batch_has_each_concept_once_and_depends_on_the_seed(drawn: Drawn) -> None:
    batch, same, other = maker(drawn).next(1), maker(drawn).next(1), maker(drawn, 1).next(1)
    assert batch.images.shape == (4, 48, 48, 3) and batch.images.dtype == np.float32
    assert np.array_equal(batch.images, same.images) and batch.texts == same.texts
    assert batch.texts != other.texts and not np.array_equal(batch.images, other.images)
    for name in ("cat", "dog", "car", "tea"):
        assert sum(name in text for text in batch.texts) == 1


def test_early_batches_are_plain_and_late_ones_are_not(drawn: Drawn) -> None:
    makes = maker(drawn)
    early = [makes.next(0) for _ in range(8)]
    late = [makes.next(1) for _ in range(8)]
    assert max(len(text) for batch in early for text in batch.texts) <= len("a picture of a cat face.")
    assert all(np.allclose(batch.images[:, 0, 0], 1) for batch in early)
    assert max(len(text) for batch in late for text in batch.texts) > 40
    assert not all(np.allclose(batch.images[:, 0, 0], 1) for batch in late)


def test_domains_differ_in_their_operations_only(drawn: Drawn) -> None:
    named = [(p.name, rgba) for p, rgba in zip(drawn[0][:6], drawn[1][:6], strict=True)]
    plain = draw(named, "b")
    assert plain.shape == (6, 48, 48, 3) and plain.dtype == np.uint8
    assert np.abs(draw(named, "a").astype(int) + plain - 255).max() <= 1
    assert np.ptp(draw(named, "c").astype(int), axis=3).max() <= 1
    assert not np.array_equal(draw(named, "d"), plain)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_picture_of_a_domain_is_the_same_alone_and_in_any_order(drawn: Drawn, domain: str) -> None:
    named = [(p.name, rgba) for p, rgba in zip(drawn[0][:5], drawn[1][:5], strict=True)]
    together = draw(named, domain)
    assert np.array_equal(draw(named[::-1], domain)[::-1], together)
    assert np.array_equal(draw(named[2:3], domain)[0], together[2])
    assert not np.array_equal(draw([("another", named[2][1])], domain)[0], together[2])


def test_an_exported_model_says_what_the_trained_one_says(tmp_path: Path, drawn: Drawn) -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer(drawn[0])
    model = build(tokenizer).eval()
    export(model, tokenizer, tmp_path)
    clip = load_clip(f"local-dir:{tmp_path}", "cpu")
    texts = ["a photo of a cat.", "a negative image of a dog on a black background."]
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(encode_texts(model, tokenizer(texts)), dim=-1).numpy()
        picture = np.full((1, 48, 48, 3), 0.25, np.float32)
        assert normalise(picture).shape == (1, 3, 48, 48) and float(normalise(picture).max()) == -0.5
    assert np.allclose(clip.encode_texts(texts), wanted, atol=5e-3)  # half-precision weights
    same, too, other = clip.encode_texts(["a lobster", "a giraffe", "a cat"])  # words never taught share one embedding
    assert np.array_equal(same, too) and not np.allclose(same, other, atol=1e-3)


def test_hits_shots_and_correlation() -> None:
    part = Part(np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], np.array([0, 1, 2, 1]))
    texts = np.stack([np.eye(3), np.eye(3)[[1, 0, 2]]]).astype(np.float32)
    assert hits(part, texts).tolist() == [[1, 1, 1, 0], [0, 0, 1, 1]]
    assert hits(part, texts, [0, 1]).tolist() == [[1, 1, 0], [0, 0, 1]]
    labels = np.array([0, 0, 1, 0, 1])
    assert first_shots(labels, 1, 1).tolist() == [False, True, False, False, True]
    assert first_shots(labels, 0, 2).tolist() == [True, True, True, False, True]
    few = np.array([[0.0, 0], [1, 0], [1, 1]])
    assert rank_correlation(few, few) == pytest.approx(1) and rank_correlation(few, few[::-1]) == pytest.approx(-1)


def test_the_shipped_pages_are_what_their_generators_write() -> None:
    numbers = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))
    assert (MODEL_DIR / "README.md").read_text("utf-8") == card.page(numbers)
    shipped = (MODEL_DIR.parent / "NOTICE.md").read_text("utf-8")
    assert shipped == pictures.notice({s.name for s in SOURCES} - {"streamline-ultimate-color"})


def test_the_card_s_numbers_are_those_of_the_shipped_files() -> None:
    numbers = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))["domains"]["a"]
    shipped = measure.Shipped(MODEL_DIR.parent)
    names = [numbers[kind]["template"] for kind in ("anchor", "best", "worst")]
    test = shipped.part("a", "test")
    found = hits(test, shipped.texts(names))
    assert [round(float(a), 4) for a in found.mean(1)] == [numbers[k]["accuracy"] for k in ("anchor", "best", "worst")]
    assert round(standard_error(found[0], test.labels.tolist()), 4) == numbers["anchor"]["se"]
    assert shipped.fits(names[0]) and not shipped.fits("very " * 50 + "<CLASS>")


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> tuple[Path, Path]:
    """The work and the out folder of the stages after the first, with two seeds of two steps each."""
    folder = tmp_path_factory.mktemp("remade")
    work, out = folder / "work", folder / "out"
    work.mkdir()
    (out / "pictures" / "a" / "old").mkdir(parents=True)
    save(work / "raster.npy", *drawn)
    run = command.Run(work, out, (0, 1), 2)
    for stage in ("pictures", "train", "card"):
        command.STAGES[stage](run)
    return work, out


def test_pictures_are_counted_files_of_every_domain(remade: tuple[Path, Path], drawn: Drawn) -> None:
    _, out = remade
    table = json.loads((out / "split.json").read_text("utf-8"))
    assert table["schema"] == 1 and table["classes"] == ["cat", "dog"]
    rows = [row for part in ("train", "val", "test") for row in table[part]]
    assert sorted(row[0] for row in rows) == sorted(f"{c}/{n:02d}.webp" for c in ("cat", "dog") for n in range(1, 11))
    assert all(row[0].startswith(row[2]) and table["classes"][row[1]] == row[2] for row in rows)
    for domain in DOMAINS:
        assert {
            p.relative_to(out / "pictures" / domain).as_posix() for p in (out / "pictures" / domain).rglob("*.webp")
        } == {row[0] for row in rows}
    assert not (out / "pictures" / "a" / "old").exists()
    path, _, _, base = rows[0]
    drawings = [(p.name, rgba) for p, rgba in zip(*drawn, strict=True) if p.base == base]
    stored = np.asarray(Image.open(out / "pictures" / "d" / path))
    assert any(np.array_equal(image, stored) for image in draw(drawings, "d"))


def test_training_leaves_a_log_and_weights_and_moves_them(remade: tuple[Path, Path], drawn: Drawn) -> None:
    work, _ = remade
    (row,) = [json.loads(line) for line in (work / "seeds" / "seed-0.jsonl").read_text("utf-8").splitlines()]
    assert (row["seed"], row["step"], row["steps"]) == (0, 2, 2) and row["loss"] > 0
    assert choose.probes(row) == [f"{domain}_{kind}" for domain in DOMAINS for kind in ("anchor", "named")]
    torch.manual_seed(0)
    fresh = build(make_tokenizer(drawn[0])).state_dict()
    trained = torch.load(work / "seeds" / "seed-0.pt", weights_only=True)
    assert fresh.keys() == trained.keys()
    assert not torch.equal(fresh["text.token_embedding.weight"], trained["text.token_embedding.weight"])
    other = torch.load(work / "seeds" / "seed-1.pt", weights_only=True)
    assert not torch.equal(other["text.token_embedding.weight"], trained["text.token_embedding.weight"])


def test_the_best_seed_ships_and_the_card_says_so(remade: tuple[Path, Path], drawn: Drawn) -> None:
    _, out = remade
    numbers = json.loads((out / "model" / "card.json").read_text("utf-8"))
    scores = {row["seed"]: choose.score(row) for row in numbers["seeds"]}
    assert set(scores) == {0, 1} and scores[numbers["chosen_seed"]] == max(scores.values())
    assert numbers["pictures"] == {"train": 8, "val": 4, "test": 8} and numbers["clip_concepts"] == 4
    page = (out / "model" / "README.md").read_text("utf-8")
    assert f"| {numbers['chosen_seed']} (shipped) | 2 of 2 |" in page and card.RENDERED_BY in page
    assert load_clip(f"local-dir:{out / 'model'}", "cpu").encode_texts(["a cat"]).shape == (1, 128)


def test_score_is_the_mean_of_the_probes_and_nothing_else() -> None:
    row: dict[str, Any] = {"seed": 9, "loss": 5.0, "a_anchor": 0.25, "a_named": 0.75, "seconds": 3}
    assert choose.score(row) == 0.5


def test_choosing_before_training_says_what_to_do(tmp_path: Path, drawn: Drawn) -> None:
    with pytest.raises(FileNotFoundError, match="run --stage train first"):
        choose.choose(tmp_path, (0,), *drawn, split(drawn[0]), tmp_path)


def test_training_again_gives_the_same_log(tmp_path: Path, remade: tuple[Path, Path], drawn: Drawn) -> None:
    train(*drawn, split(drawn[0]), 0, 2, tmp_path)
    first, again = (
        json.loads((folder / "seed-0.jsonl").read_text("utf-8")) for folder in (remade[0] / "seeds", tmp_path)
    )
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
