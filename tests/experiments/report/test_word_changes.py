from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipo_prompts.experiments.report.explain import MOST_TEMPLATES, removals, tidied
from ipo_prompts.metrics.template import SLOT

UNCLEAN = re.compile(r"  |^\s|\s$| [,;!?]|^[,;:.!?]|[,;:]\s*(?:[,;:!?]|\.(?!\w))|[,;:]$|\(\)|\[\]|\( | \)")


def removed(template: str) -> dict[str, str]:
    return {template[slice(*span)]: changed for span, changed in removals(template)}


def test_words_and_phrases_are_found_by_their_rules() -> None:
    assert removed("an x-ray of a <CLASS> with neon colors, in dim light.") == {
        "an": "x-ray of a <CLASS> with neon colors, in dim light.",
        "x-ray": "an of a <CLASS> with neon colors, in dim light.",
        "of": "an x-ray a <CLASS> with neon colors, in dim light.",
        "a": "an x-ray of <CLASS> with neon colors, in dim light.",
        "<CLASS>": "an x-ray of a with neon colors, in dim light.",
        "with": "an x-ray of a <CLASS> neon colors, in dim light.",
        "neon": "an x-ray of a <CLASS> with colors, in dim light.",
        "colors": "an x-ray of a <CLASS> with neon, in dim light.",
        "in": "an x-ray of a <CLASS> with neon colors, dim light.",
        "dim": "an x-ray of a <CLASS> with neon colors, in light.",
        "light": "an x-ray of a <CLASS> with neon colors, in dim.",
        "an x-ray": "of a <CLASS> with neon colors, in dim light.",
        "an x-ray of a <CLASS> with neon colors": "in dim light.",
        "of a <CLASS>": "an x-ray with neon colors, in dim light.",
        "with neon colors": "an x-ray of a <CLASS>, in dim light.",
        "in dim light": "an x-ray of a <CLASS> with neon colors.",
    }


@pytest.mark.parametrize(
    ("template", "text", "left"),
    [
        ("negative, a <CLASS>.", "negative", "a <CLASS>."),
        ("a photo, dark, of a <CLASS>", "dark", "a photo, of a <CLASS>"),
        ("a <CLASS>, negative.", "negative", "a <CLASS>."),
        ("a <CLASS>, negative", "negative", "a <CLASS>"),
        ('a "negative image" of a <CLASS>', "negative", 'a "image" of a <CLASS>'),
        ('a "negative image" of a <CLASS>', "image", 'a "negative" of a <CLASS>'),
        ('a "negative" of a <CLASS>', "negative", "a of a <CLASS>"),
        ("a <CLASS> (inverted).", "inverted", "a <CLASS>."),
        ("a <CLASS> (dark image)", "dark", "a <CLASS> (image)"),
        ("what a <CLASS>!", "what", "a <CLASS>!"),
        ("ein schönes Foto: <CLASS>", "Foto", "ein schönes: <CLASS>"),
        ("cafe\u0301 <CLASS>", "cafe\u0301", "<CLASS>"),
        ("a 🌙 night, <CLASS>", "🌙", "a night, <CLASS>"),
        ("a .5 mm dark <CLASS>", "dark", "a .5 mm <CLASS>"),
        ("{0} %s <CLASS>", "%s", "{0} <CLASS>"),
    ],
)
def test_punctuation_stays_where_it_makes_sense(template: str, text: str, left: str) -> None:
    assert removed(template)[text] == left


def test_the_bare_slot_leaves_nothing_to_change() -> None:
    assert removed("<CLASS>") == {"<CLASS>": ""}


def test_no_template_is_too_long_for_the_limit() -> None:
    assert len(removals("a, " * 97 + "<CLASS>")) <= MOST_TEMPLATES  # the most changes 300 characters hold


PIECES = st.sampled_from(
    [
        SLOT,
        "a",
        "photo,",
        "x-ray",
        "with",
        "of",
        "(dark",
        "image)",
        '"neon"',
        "—",
        "-",
        "...",
        "née",
        "猫の写真",
        "🌙",
        ":",
    ]
) | st.text(st.characters(blacklist_categories=("C", "Zl", "Zp")), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(PIECES, max_size=12), st.sampled_from(["", ".", "!", ","]))
def test_whatever_the_template_what_is_left_is_clean(before: list[str], after: list[str], end: str) -> None:
    template = " ".join([*before, SLOT, *after]) + end
    for span, changed in removals(template):
        assert template[slice(*span)] != ""
        assert not UNCLEAN.search(changed)
        assert tidied(changed) == changed
        assert not Counter(re.findall(r"\w", changed)) - Counter(re.findall(r"\w", template))  # nothing is invented
