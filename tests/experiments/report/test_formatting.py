"""How numbers and foreign text look."""

from __future__ import annotations

import math

import pytest
from markupsafe import Markup

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


def test_markup_of_our_own_is_left_alone() -> None:
    assert page.visible(Markup("<b>\u200b</b>")) == Markup("<b>\u200b</b>")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (page.in_points(0.1397), "+13.97"),
        (page.in_points(-0.05), "−5.00"),
        (page.in_points(-0.00001), "0.00"),
        (page.percent(0.53309), "53.3\N{NO-BREAK SPACE}%"),
        (page.percent(math.nan), "unknown\N{NO-BREAK SPACE}%"),
        (page.interval((-0.01, math.inf)), "[−1.00,\N{NO-BREAK SPACE}unknown]"),
        (page.interval(None), "not bounded"),
        (page.nats(-1.23456, sign=True), "−1.235"),
        (page.p_value(0.00001), "< 0.0001"),
        (page.p_value(0.5), "= 0.5000"),
        (page.duration(59.4), "59 s"),
        (page.duration(323), "5 min 23 s"),
        (page.duration(7260), "2 h 1 min"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


def test_what_belongs_together_stays_on_one_line() -> None:
    said = "A gain: +4.26 points [-1.97, +9.56], p < 0.01, of 48.4 % in 3 runs, p = 0.3."
    shown = page.unbroken(said)
    assert shown.replace("\N{NO-BREAK SPACE}", "_") == (
        "A gain: +4.26_points [-1.97,_+9.56], p_<_0.01, of 48.4_% in 3 runs, p_=_0.3."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Bread", "Bread"),
        ("Hamburger", '<span class="word">Hamb<wbr>urger</span>'),
        ("ice cream", "ice cream"),
        ("Pizza/IMG_0028.JPG", 'Pizza/<wbr><span class="word">IMG_00<wbr>28.JPG</span>'),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("\u202e", "[U+202E]"),
    ],
)
def test_a_name_is_broken_into_even_pieces(name: str, shown: str) -> None:
    assert page.in_pieces(name) == Markup(shown)


def test_a_command_is_broken_only_at_spaces() -> None:
    typed = '<span class="word">ipo</span> <span class="word">--out</span>  <span class="word">&lt;b&gt;</span>'
    assert page.typed("ipo --out  <b>") == Markup(typed)
