"""How numbers and foreign text look."""

from __future__ import annotations

import pytest

from ipo_prompts.experiments.report import page


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain <b>", "plain <b>"),
        ("\u202eright to left\u202c", "[U+202E]right to left[U+202C]"),
        ("zero\u200bwidth\ufeff", "zero[U+200B]width[U+FEFF]"),
        ("\x00\x1b[31m\r", "[U+0000][U+001B][31m[U+000D]"),
        ("\u2028\u2029", "[U+2028][U+2029]"),
        ("\ud83d", "[U+D83D]"),
        ("line\n\ttab", "line\n\ttab"),
        ("שלום, café, 写真, 🙂", "שלום, café, 写真, 🙂"),
        (7, 7),
    ],
)
def test_what_would_act_is_shown_by_number(given: object, shown: object) -> None:
    assert page.visible(given) == shown
