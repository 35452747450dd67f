"""The vocabulary: phrases that say how images can look."""

from __future__ import annotations

from pathlib import Path

import inflect
import pytest
import yaml

from ipo_prompts.metrics.template import SLOT, problem
from ipo_prompts.programs import phrases
from ipo_prompts.programs.domain import everyday
from ipo_prompts.programs.phrases import Vocabulary, Wording


def test_every_phrase_makes_a_valid_template_that_can_be_taken_apart() -> None:
    templates = [phrase.template for phrase in Vocabulary.load().phrases]
    assert None not in map(Wording.of, templates)
    assert [t for t in templates if problem(t) or t.count(SLOT) != 1 or "PHRASE" in t] == []


def test_the_vocabulary_is_broad_and_has_no_phrase_twice() -> None:
    texts = [phrase.text for phrase in Vocabulary.load().phrases]
    assert len(texts) == len(set(texts)) == 304
    assert len({phrase.group for phrase in Vocabulary.load().phrases}) >= 12


@pytest.mark.parametrize(
    ("text", "start"), [("etching", "an etching"), ("x-ray image", "an x-ray"), ("photo", "a photo")]
)
def test_the_article_fits_the_phrase(text: str, start: str) -> None:
    template = next(phrase.template for phrase in Vocabulary.load().phrases if phrase.text == text)
    assert template.startswith(start)


def test_the_articles_of_the_shipped_words_are_those_of_inflect() -> None:
    articles = yaml.safe_load((Path(phrases.__file__).parent / "articles.yaml").read_text("utf-8"))
    shipped = {word: one for one, words in articles.items() for word in words}
    texts = [*(phrase.text for phrase in Vocabulary.load().phrases), *everyday(), "photo", "image", "view"]
    assert {text.split()[0].rstrip(",") for text in texts} <= set(shipped)
    assert shipped.pop("") == "a", "before a class"
    engine = inflect.engine()
    assert {word: engine.a(word).split()[0] for word in shipped} == shipped


def test_phrases_that_name_a_class_are_not_usable() -> None:
    vocabulary = Vocabulary.load()
    left = vocabulary.usable(["cat", "drawing", "sunset"])
    names = {phrase.text for phrase in vocabulary.phrases} - {phrase.text for phrase in left}
    assert {"line drawing", "at sunset"} <= names
    assert all("drawing" in text or "sunset" in text for text in names)
    assert vocabulary.usable([]) == vocabulary.phrases
