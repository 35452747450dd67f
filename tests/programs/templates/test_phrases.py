"""The banks of phrases: that of how pictures look, and that of the most frequent words."""

from __future__ import annotations

import random
import re
from dataclasses import astuple

import pytest

from ipo_prompts.experiments.embedded.shifts import OPERATIONS
from ipo_prompts.metrics.template import SLOT, problem
from ipo_prompts.programs.templates.phrases import BankName, PhraseBank, Wording
from tools.embedded.captions import compose
from tools.embedded.vocabulary import WORDS
from tools.general_bank import is_fit


@pytest.mark.parametrize("bank", ["shipped", "general"])
def test_every_phrase_makes_a_valid_template_that_can_be_taken_apart(bank: BankName) -> None:
    templates = [phrase.template for phrase in PhraseBank.load(bank).phrases]
    assert None not in map(Wording.of, templates)
    assert [t for t in templates if problem(t) or t.count(SLOT) != 1 or "PHRASE" in t] == []


@pytest.mark.parametrize("bank", ["shipped", "general"])
def test_a_bank_is_broad_and_has_no_phrase_twice(bank: BankName) -> None:
    texts = [phrase.text for phrase in PhraseBank.load(bank).phrases]
    assert len(texts) == len(set(texts)) == len(PhraseBank.load("shipped").phrases) == 304
    assert len({phrase.group for phrase in PhraseBank.load(bank).phrases}) >= 12


def test_no_word_of_the_general_bank_stands_in_a_caption_for_an_operation() -> None:
    words = {word for phrase in PhraseBank.load("general").phrases for word in re.findall("[a-z]+", phrase.text)}
    captions = " ".join(
        compose(random.Random(seed), "", frozenset({operation}), "icon", "white", "", said=1)
        for operation in OPERATIONS
        for seed in range(400)
    )
    said = {one for words in WORDS.values() for place in astuple(words) for phrase in place for one in phrase.split()}
    heard = {*re.findall("[a-z]+", captions)} & {*re.findall("[a-z]+", " ".join(said))}
    assert len(heard) > 200, "what captions say of operations"
    assert not words & heard
    assert not [word for word in words if not is_fit(word)]
    assert all(map(is_fit, ("sudden", "colour"))) and not any(map(is_fit, ("darker", "blacks", "greyish", "photos")))


def test_without_phrases_the_bare_template_is_still_that_of_the_bank() -> None:
    assert PhraseBank.load("none") == PhraseBank((), PhraseBank.load().bare)


@pytest.mark.parametrize(
    ("text", "start"), [("etching", "an etching"), ("x-ray image", "an x-ray"), ("photo", "a photo")]
)
def test_the_article_fits_the_phrase(text: str, start: str) -> None:
    template = next(phrase.template for phrase in PhraseBank.load().phrases if phrase.text == text)
    assert template.startswith(start)


def test_phrases_that_name_a_class_are_not_usable() -> None:
    bank = PhraseBank.load()
    left = bank.usable(["cat", "drawing", "sunset"])
    names = {phrase.text for phrase in bank.phrases} - {phrase.text for phrase in left}
    assert {"line drawing", "at sunset"} <= names
    assert all("drawing" in text or "sunset" in text for text in names)
    assert bank.usable([]) == bank.phrases
