"""Templates taken apart and put together again."""

from __future__ import annotations

import pytest

from ipo_prompts.programs.templates.phrases import Part, Vocabulary, Wording, unknown_words


def test_every_phrase_of_the_vocabulary_comes_apart_and_together_again() -> None:
    for phrase in Vocabulary.load().phrases:
        wording = Wording.of(phrase.template)
        assert wording is not None and str(wording) == phrase.template
        assert len(wording.parts) == (phrase.text not in ("photo", "photograph", "snapshot")), phrase


@pytest.mark.parametrize(
    ("template", "again"),
    [
        ("a photo of a <CLASS>.", "a photo of a <CLASS>."),
        ("A dark, blurry photo of the <CLASS> upside down", "a dark, blurry photo of a <CLASS>, upside down."),
        ("a line drawing of a pale <CLASS>, in fog, at night.", "a pale line drawing of a <CLASS>, in fog, at night."),
        ("a small and partly hidden <CLASS>.", "a small and partly hidden <CLASS>."),
        ("an old <CLASS>.", "an old <CLASS>."),
        ("<CLASS>", "a <CLASS>."),
        ("an x-ray image of a <CLASS>", "an x-ray image of a <CLASS>."),
        ("a unique photo of one <CLASS>", "a unique photo of a <CLASS>."),
    ],
)
def test_parts_in_their_usual_places_make_one_form(template: str, again: str) -> None:
    wording = Wording.of(template)
    assert wording is not None and str(wording.usual) == again
    assert str(Wording.of(again)) == again


@pytest.mark.parametrize(
    "template",
    [
        "a <CLASS> that has no look.",
        "high resolution: <CLASS>",
        "a scene with a <CLASS>.",
        "a small daguerreotype on a faraway <CLASS>.",
        "a photo of a <CLASS> and a <CLASS>.",
        "a photo of a <CLASS>, which is dark.",
        'a photo of a <CLASS>, "dark"',
        "a close-up embroidery of a <CLASS>, pictures.",
        "a pixelated side of a <CLASS>.",
        "a warm large pile of a <CLASS>.",
        "a drawing on the wall of a <CLASS>.",
        "no slot",
    ],
)
def test_another_form_is_left_alone(template: str) -> None:
    assert Wording.of(template) is None


def test_parts_are_added_and_taken_out() -> None:
    one = Wording.of("a dark photo of a <CLASS>, in fog.")
    assert one is not None
    assert one.parts == (Part("quality", "dark"), Part("detail", "in fog"))
    assert str(one.plus(Part("kind", "line drawing"))) == "a dark line drawing of a <CLASS>, in fog."
    assert str(one.plus(Part("quality", "old"))) == "a dark, old photo of a <CLASS>, in fog."
    assert [str(other) for other in one.less()] == ["a photo of a <CLASS>, in fog.", "a dark photo of a <CLASS>."]


def test_a_kind_that_says_something_is_taken_out_too() -> None:
    drawing = Wording("line drawing", ("dark",))
    assert [str(other) for other in drawing.less()] == ["a dark photo of a <CLASS>.", "a line drawing of a <CLASS>."]


@pytest.mark.parametrize(
    ("template", "readable"),
    [
        ("a dark photo of a <CLASS>, in fog.", True),
        ("a dark photo of a <CLASS>, in the dark.", False),
        ("a dark, old, torn photo of a <CLASS>, in fog.", True),
        ("a dark, old, torn photo of a <CLASS>, in fog, at night.", False),
        ("a photo of a <CLASS>, one two three four five six seven eight nine ten eleven twelve thirteen.", True),
        ("a photo of a <CLASS>, one two three four five six seven eight nine ten eleven twelve x y z.", True),
        ("a photo of a <CLASS>, one two three four five six seven eight nine ten eleven twelve x y z w.", False),
    ],
)
def test_readable_is_short_and_says_nothing_twice(template: str, readable: bool) -> None:
    wording = Wording.of(template)
    assert wording is not None and wording.is_readable is readable


def test_joined_and_broken_words_are_not_english() -> None:
    assert unknown_words("a view onitsceiling, inadim-light, of igrains") == ["onitsceiling", "inadim", "igrains"]
    assert unknown_words("a blurry, dark-brown daguerreotype upside down, in fog") == []
    assert unknown_words("ein Foto, 写真, größer") == ["ein", "foto"]
    assert unknown_words("a photo of a Borzoi_dog", ["borzoi dog"]) == []
