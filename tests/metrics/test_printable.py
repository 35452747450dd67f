from __future__ import annotations

import sys
import unicodedata

import pytest
import regex

from ipo_prompts.metrics.errors import invisible, printable


def test_what_unicode_calls_ignorable_is_invisible() -> None:
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    every = [chr(number) for number in range(sys.maxunicode + 1)]
    assert all(invisible(one) for one in every if ignorable.match(one))
    # Beyond it only what has no form, and what is drawn empty.
    others = {one for one in every if invisible(one) and not ignorable.match(one)}
    shown = {one for one in others if unicodedata.category(one)[0] != "C"}
    assert shown - set("\u2800\U0001d159\u2028\u2029\U00013441\U00013442") == set()


@pytest.mark.parametrize("text", ["a photo of a cat", "café", "写真", "صورة", "תמונה", "चित्र", "❤ 🐈", "한국어"])
def test_what_people_read_is_visible(text: str) -> None:
    assert invisible(text) is None


def test_printable_escapes_what_moves_a_cursor() -> None:
    assert printable("a\x1b[2J\u202eb c") == "a\\x1b[2J\\u202eb c"
