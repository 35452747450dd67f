from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipo_prompts.experiments.report.words import MOST_TEMPLATES, NEUTRAL, PLACEBOS, Change, changes, tidied
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import SLOT

UNCLEAN = re.compile(r"  |^\s|\s$| [,;!?]|^[,;:.!?]|[,;:]\s*(?:[,;:!?]|\.(?!\w))|[,;:]$|\(\)|\[\]|\( | \)")


def one(_: str) -> int:
    return 1


def removed(template: str) -> dict[str, str]:
    return {change.text: change.templates[0] for change in changes(template, one) if change.kind == "remove"}


def moved(template: str) -> list[str]:
    return [change.templates[0] for change in changes(template, one) if change.kind == "move"]


def placebos(template: str) -> list[Change]:
    return [change for change in changes(template, one) if change.kind == "placebo"]


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


def test_the_slot_moves_with_its_article() -> None:
    assert moved("an x-ray of a <CLASS>, in dim light.") == [
        "a <CLASS> an x-ray of, in dim light.",
        "an x-ray of, in dim light a <CLASS>.",
    ]
    assert moved("negative <CLASS>") == ["<CLASS> negative", "negative <CLASS>"]
    assert moved("a <CLASS>, a negative.") == ["a <CLASS>, a negative.", "a negative a <CLASS>."]
    assert moved("dark: <CLASS>!") == ["<CLASS> dark!", "dark: <CLASS>!"]
    assert moved("<CLASS>?") == ["<CLASS>?", "<CLASS>?"]
    assert moved("a <CLASS> and a <CLASS>") == []


def test_a_placebo_keeps_the_punctuation_and_the_number_of_tokens(clip: Clip) -> None:
    template = "a schönes photo, any x-ray of a <CLASS>; <CLASS>-like."
    found = [change for change in changes(template, lambda w: clip.count(w) - clip.count("")) if change.kind != "move"]
    neutral = [change for change in found if change.kind == "placebo"]
    assert [change.text for change in neutral] == ["a", "schönes", "photo", "any", "x-ray", "of", "a"]
    for change in neutral:
        assert len(set(change.templates)) == PLACEBOS
        for changed, detail in zip(change.templates, change.details, strict=True):
            assert changed == template[: change.span[0]] + detail + template[change.span[1] :]
            assert clip.count(changed) == clip.count(template)
            assert detail != change.text


def test_neutral_words_are_one_token_each(clip: Clip) -> None:
    assert {clip.count(word) - clip.count("") for word in NEUTRAL} == {1}


def test_the_bare_slot_leaves_nothing_to_change() -> None:
    assert removed("<CLASS>") == {"<CLASS>": ""}
    assert moved("<CLASS>") == ["<CLASS>", "<CLASS>"]
    assert placebos("<CLASS>") == []


@pytest.mark.parametrize(("words", "wordings"), [(12, 3), (45, 2), (60, 1), (80, 0), (145, 0)])
def test_long_templates_get_fewer_placebos_and_no_more_templates(words: int, wordings: int) -> None:
    found = changes(" ".join(["a"] * words) + " <CLASS>", one)
    assert sum(len(change.templates) for change in found) <= MOST_TEMPLATES
    assert {len(change.templates) for change in found if change.kind == "placebo"} == ({wordings} - {0})
    assert sum(change.kind == "remove" for change in found) == words + 1
    assert sum(change.kind == "move" for change in found) == 2


def test_no_template_is_too_long_for_the_limit() -> None:
    found = changes("a, " * 97 + "<CLASS>", one)  # a word and nothing else a part: the most changes 300 characters hold
    assert sum(len(change.templates) for change in found) <= MOST_TEMPLATES


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
    for change in changes(template, one):
        assert template[slice(*change.span)] == change.text != ""
        assert len(change.templates) == len(change.details) > 0
        for changed in change.templates if change.kind != "placebo" else ():
            assert not UNCLEAN.search(changed)
            assert tidied(changed) == changed
            assert not Counter(re.findall(r"\w", changed)) - Counter(re.findall(r"\w", template))  # nothing is invented
        if change.kind == "move":
            assert change.templates[0].count(SLOT) == 1
