"""The same tokens as open_clip's own tokenizer makes of whole texts."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest

from ipo_prompts.metrics.clip import reading_words_once

ASCII = [chr(code) for code in range(32, 127)]
ODD = [*"éßœ…“”’ﬁ＜\u00a0\u200b\u0301\t\n\r\x1b\x00🙂漢", "&amp;", "&lt", "<start_of_text>", "<end_of_text>", "Ã©"]
TEXTS = [
    "",
    "   ",
    "a photo of a hot dog.",
    "  It's THE dogs' o'clock,  they've 1,234.5 of them!?  ",
    "a photo of a caf\u00e9.",
    "rock &amp; roll &nGt; &",
    "<start_of_text>a cat<end_of_text> <START_OF_TEXT>",
    "x_y-z/w\\v (a) [b] {c} 'd' \"e\"",
]


def test_tokens_of_any_text_are_open_clips() -> None:
    stock, ours = open_clip.SimpleTokenizer(), reading_words_once(open_clip.SimpleTokenizer())
    rng = np.random.default_rng(0)
    random = ["".join(rng.choice([*ASCII, " ", " "], 40)) for _ in range(2000)]
    random += ["".join(rng.choice([*ASCII, *ODD], 40)) for _ in range(2000)]
    for text in TEXTS + random:
        assert ours.encode(text) == stock.encode(text), repr(text)
    assert (ours(TEXTS + random) == stock(TEXTS + random)).all(), "rows, cut where they are too long"


def test_a_word_is_read_once() -> None:
    tokenizer = open_clip.SimpleTokenizer()
    read = []
    whole = tokenizer.encode
    tokenizer.encode = lambda text: read.append(text) or whole(text)
    ours = reading_words_once(tokenizer)
    for name in ("cat", "dog", "cat"):
        ours.encode(f"a photo of a {name}")
    assert read == ["a", "photo", "of", "cat", "dog"]


@pytest.mark.parametrize("clean", ["canonicalize", "whitespace"])
def test_a_tokenizer_that_reads_in_another_way_is_left_alone(clean: str) -> None:
    tokenizer = open_clip.SimpleTokenizer(clean=clean)
    assert reading_words_once(tokenizer) is tokenizer
    assert "encode" not in vars(tokenizer)
