"""Templates taken apart and put together again."""

from __future__ import annotations

import random

import pytest

from ipo_prompts.experiments.data.published import REGISTRY
from ipo_prompts.metrics.template import imagenet_templates, key
from ipo_prompts.programs.phrases import Vocabulary, Wording, WordingPart, unknown_words


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
        "a close-up embroidery of a <CLASS>, images.",
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
    assert one.parts == (WordingPart("quality", "dark"), WordingPart("detail", "in fog"))
    assert str(one.plus(WordingPart("kind", "line drawing"))) == "a dark line drawing of a <CLASS>, in fog."
    assert str(one.plus(WordingPart("quality", "old"))) == "a dark, old photo of a <CLASS>, in fog."
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


@pytest.mark.parametrize("template", sorted({entry.hand_written for entry in REGISTRY.values()}))
def test_each_published_template_is_read_as_it_is_written(template: str) -> None:
    assert str(Wording.of(template)) == template


def test_a_published_template_is_read_as_it_is_written_or_not_taken_apart() -> None:
    read = {template: Wording.of(template) for template in imagenet_templates()}
    whole = [template for template, wording in read.items() if wording is None]
    assert len(whole) == 6 and all(template.startswith(("itap", "art", "graffiti")) for template in whole)
    assert not [template for template, wording in read.items() if wording and key(str(wording)) != key(template)]


DOMAIN = (
    WordingPart("detail", "a type of flower"),
    WordingPart("quality", "satellite"),
    WordingPart("noun", "texture"),
    WordingPart("doing", "a person doing"),
)


def test_what_is_put_together_at_random_is_read_as_it_is_written() -> None:
    phrases = Vocabulary.load().phrases
    parts = [*(part for one in phrases for part in Wording.of(one.template).parts), *DOMAIN * 50]  # type: ignore[union-attr]
    chance, starts = random.Random(0), [entry.hand_written for entry in REGISTRY.values()] + list(imagenet_templates())
    for _ in range(100):
        wording = Wording.of(chance.choice(starts)) or Wording("photo")
        for part in chance.sample(parts, 3):
            wording = wording.plus(part)
            for one in (wording, wording.usual, *wording.less()):
                again = Wording.of(str(one))
                assert str(again) == str(one)
                assert str(wording.usual.usual) == str(wording.usual)


@pytest.mark.parametrize(
    ("part", "template"),
    [
        (DOMAIN[0], "a photo of a <CLASS>, a type of flower."),
        (DOMAIN[1], "a satellite photo of a <CLASS>."),
        (DOMAIN[2], "a photo of a <CLASS> texture."),
        (DOMAIN[3], "a photo of a person doing <CLASS>."),
    ],
)
def test_a_part_that_is_added_is_a_part_and_is_taken_away_again(part: WordingPart, template: str) -> None:
    wording = Wording("photo").plus(part)
    assert str(wording) == template and wording.parts == (part,) and wording.is_readable
    assert Wording.of(template) == wording
    assert [str(one) for one in wording.less()] == ["a photo of a <CLASS>."]


def test_parts_beside_the_class_stay_there_and_their_article_suits_them() -> None:
    wording = Wording.of("the <CLASS> in a video game.")
    assert wording is not None and wording.parts == (WordingPart("detail", "in a video game"),)
    assert str(wording.plus(DOMAIN[2])) == "the <CLASS> texture, in a video game."
    near = Wording.of("a photo of an old, torn <CLASS>.")
    assert near is not None
    assert [str(one) for one in near.less()] == ["a photo of a torn <CLASS>.", "a photo of an old <CLASS>."]
    assert str(near.usual) == "an old, torn photo of a <CLASS>."


@pytest.mark.parametrize("words", ["a European photo", "an MRI scan", "a one-line drawing", "an SUV photo"])
def test_the_article_that_somebody_wrote_stays(words: str) -> None:
    wording = Wording.of(f"{words} of a <CLASS>, in fog.")
    assert wording is not None
    assert str(wording.usual) == f"{words} of a <CLASS>, in fog." and f"{words} of a <CLASS>." in map(
        str, wording.less()
    )


def test_the_article_suits_a_word_that_is_not_shipped() -> None:
    assert str(Wording("photo").plus(WordingPart("kind", "unicorn sketch"))) == "a unicorn sketch of a <CLASS>."


def test_a_doing_and_a_noun_do_not_stand_together_nor_two_kinds_of_thing() -> None:
    detail, _, noun, doing = DOMAIN
    assert not Wording("photo").plus(noun).plus(doing).is_readable
    assert str(Wording("photo").plus(noun).plus(WordingPart("noun", "dish"))) == "a photo of a <CLASS> dish."
    assert not Wording("photo").plus(detail).plus(WordingPart("detail", "a type of plant")).is_readable
