"""The vocabularies of phrases: that of how pictures look, and that of the most frequent words."""

from __future__ import annotations

import random
import re
from dataclasses import astuple

import pytest

from ipo_prompts.experiments.embedded.shifts import TRANSFORMATIONS
from ipo_prompts.metrics.template import SLOT, problem
from ipo_prompts.programs.templates.phrases import Vocabulary, VocabularyName, Wording
from tools.embedded.captions import compose
from tools.embedded.vocabulary import WORDS
from tools.general_vocabulary import is_fit


@pytest.mark.parametrize("vocabulary", ["shipped", "general"])
def test_every_phrase_makes_a_valid_template_that_can_be_taken_apart(vocabulary: VocabularyName) -> None:
    templates = [phrase.template for phrase in Vocabulary.load(vocabulary).phrases]
    assert None not in map(Wording.of, templates)
    assert [t for t in templates if problem(t) or t.count(SLOT) != 1 or "PHRASE" in t] == []


@pytest.mark.parametrize("vocabulary", ["shipped", "general"])
def test_a_vocabulary_is_broad_and_has_no_phrase_twice(vocabulary: VocabularyName) -> None:
    texts = [phrase.text for phrase in Vocabulary.load(vocabulary).phrases]
    assert len(texts) == len(set(texts)) == len(Vocabulary.load("shipped").phrases) == 304
    assert len({phrase.group for phrase in Vocabulary.load(vocabulary).phrases}) >= 12


def test_no_word_of_the_general_vocabulary_stands_in_a_caption_for_a_transformation() -> None:
    words = {word for phrase in Vocabulary.load("general").phrases for word in re.findall("[a-z]+", phrase.text)}
    captions = " ".join(
        compose(random.Random(seed), "", frozenset({transformation}), "icon", "white", "", said=1)
        for transformation in TRANSFORMATIONS
        for seed in range(400)
    )
    said = {one for words in WORDS.values() for place in astuple(words) for phrase in place for one in phrase.split()}
    heard = {*re.findall("[a-z]+", captions)} & {*re.findall("[a-z]+", " ".join(said))}
    assert len(heard) > 200, "what captions say of transformations"
    assert not words & heard
    assert not [word for word in words if not is_fit(word)]
    assert all(map(is_fit, ("sudden", "colour"))) and not any(map(is_fit, ("darker", "blacks", "greyish", "photos")))


def test_without_phrases_the_bare_template_is_still_that_of_the_vocabulary() -> None:
    assert Vocabulary.load("none") == Vocabulary((), Vocabulary.load().bare)


@pytest.mark.parametrize(
    ("text", "start"), [("etching", "an etching"), ("x-ray image", "an x-ray"), ("photo", "a photo")]
)
def test_the_article_fits_the_phrase(text: str, start: str) -> None:
    template = next(phrase.template for phrase in Vocabulary.load().phrases if phrase.text == text)
    assert template.startswith(start)


def test_phrases_that_name_a_class_are_not_usable() -> None:
    vocabulary = Vocabulary.load()
    left = vocabulary.usable(["cat", "drawing", "sunset"])
    names = {phrase.text for phrase in vocabulary.phrases} - {phrase.text for phrase in left}
    assert {"line drawing", "at sunset"} <= names
    assert all("drawing" in text or "sunset" in text for text in names)
    assert vocabulary.usable([]) == vocabulary.phrases
