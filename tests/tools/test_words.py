"""What captions can say: vocabulary, captions, templates and the compact tokenizer."""

from __future__ import annotations

import json
import random
from functools import cache

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.experiments.embedded.shifts import BACKGROUNDS, TRANSFORMATIONS
from tools.embedded.captions import UNKNOWN, article, compose
from tools.embedded.templates import BASELINE, templates
from tools.embedded.tokens import CONTEXT, STOCK_SIZE, CompactTokenizer
from tools.embedded.vocabulary import BACKGROUND_TAILS, STYLES, WORDS, phrases


@cache
def tokenizer() -> CompactTokenizer:
    return CompactTokenizer(["zebra", "animals", *BACKGROUNDS])


def captions(
    transformations: frozenset[str], style: str = "icon", background: str = "white", count: int = 400, seed: int = 0
) -> list[str]:
    rng = random.Random(seed)
    return [compose(rng, "zebra", transformations, style, background, "animals") for _ in range(count)]


def test_every_transformation_and_style_has_words_of_each_place() -> None:
    assert set(WORDS) == set(TRANSFORMATIONS) and set(STYLES) == {"emoji", "icon", "glyph"}
    for words in (*WORDS.values(), *STYLES.values()):
        assert all(len(place) >= 3 for place in (words.adjectives, words.nouns, words.tails))
    assert all(phrase == phrase.lower().strip() for phrase in phrases())
    assert all(tail.count("{}") == 1 for tail in BACKGROUND_TAILS)


def test_captions_are_drawn_by_seed_and_name_the_image_once_each() -> None:
    said = captions(frozenset({"blur"}))
    assert said == captions(frozenset({"blur"})) != captions(frozenset({"blur"}), seed=1)
    assert all(text.count("zebra") == 1 and text == text.lower() for text in said)
    assert len(set(said)) > 300


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_nearly_every_caption_names_the_transformation(transformation: str) -> None:
    words = WORDS[transformation]
    known = [*words.adjectives, *words.nouns, *words.tails]
    named = [any(word in text for word in known) for text in captions(frozenset({transformation}))]
    # Not all: a noun may be replaced by an unknown word, and silence must stay possible.
    assert 0.85 < sum(named) / len(named) < 1


def test_the_paper_is_named_as_it_is_seen() -> None:
    def colours(transformations: frozenset[str], background: str) -> set[str]:
        said = [text for text in captions(transformations, background=background, count=900) if "background" in text]
        return {colour for text in said for colour in BACKGROUNDS if f" {colour} background" in text}

    assert colours(frozenset(), "red") == {"red"}
    assert colours(frozenset({"negative"}), "white") == {"black"}
    assert colours(frozenset({"sepia"}), "red") == set()


def test_article() -> None:
    assert (article("owl"), article("cat")) == ("an owl", "a cat")


def test_templates_are_those_of_the_card() -> None:
    found = templates()
    assert found[:2] == ("<CLASS>", BASELINE) and len(set(found)) == len(found) == 122
    assert all(template.count("<CLASS>") == 1 for template in found)
    assert json.loads((MODEL_DIR / "card.json").read_text("utf-8"))["templates"] == list(found)


def test_captions_survive_the_compact_vocabulary() -> None:
    stock = SimpleTokenizer(context_length=CONTEXT)
    texts = [text for text in captions(frozenset({"noise", "faded"})) if UNKNOWN not in text]
    for text, row in zip(texts, tokenizer()(texts).tolist(), strict=True):
        ids = [tokenizer().stock_ids[i - 1] for i in row if i]
        assert ids == [STOCK_SIZE - 2, *stock.encode(text), STOCK_SIZE - 1] and tokenizer().knows(text)


def test_unknown_words_share_row_zero_and_the_end_is_the_highest() -> None:
    rows = tokenizer()([f"a {UNKNOWN} zebra", "a qwertyuiop zebra", "a zebra"])
    assert rows[0, 2] == 0 and (rows[1] == 0).any() and not tokenizer().knows("a qwertyuiop zebra")
    assert (rows.max(1).values == tokenizer().size - 1).all()


def test_long_texts_end_at_the_context_and_short_ones_are_not_padded_to_it() -> None:
    rows = tokenizer()(["zebra " * 100])
    assert rows.shape == (1, CONTEXT) and rows[0, -1] == tokenizer().size - 1
    assert tokenizer()(["a zebra"]).shape == (1, 4)


def test_the_table_is_spread_over_the_stock_vocabulary() -> None:
    table = torch.arange(tokenizer().size, dtype=torch.float32)[:, None]
    full = tokenizer().spread(table)
    assert full.shape == (STOCK_SIZE, 1)
    assert full[tokenizer().stock_ids, 0].tolist() == list(range(1, tokenizer().size))
    assert (full == 0).sum() == STOCK_SIZE - len(tokenizer().stock_ids)
