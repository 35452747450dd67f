"""Words for what is none of the classes."""

from __future__ import annotations

from ipo_prompts.experiments.data.wordnet import STRANGERS, own_words, strangers
from ipo_prompts.metrics.nouns import common
from ipo_prompts.metrics.template import named


def test_the_words_of_the_classes_are_no_strangers() -> None:
    left = own_words(["car", named(["sofa", "couch"]), "grapes"], hypernyms=False) & set(common(STRANGERS))
    assert {"car", "automobile", "auto", "sofa", "couch", "grape"} <= left
    assert not left & {"vehicle", "bed", "chair", "dog"}


def test_what_classes_are_a_kind_of_is_no_stranger() -> None:
    beagles = set(strangers(["beagle", "Siamese_cat"]))
    assert {"dog", "cat", "animal"}.isdisjoint(beagles) and {"horse", "car", "leaf"} <= beagles
    assert "dog" not in own_words(["beagle"], hypernyms=False)
    assert own_words(["frobnicator"]) == {"frobnicator"}
    assert {"wolf", "knife"} <= own_words(["wolves", "knives"], hypernyms=False)


def test_what_is_told_to_be_strange_comes_first_and_once() -> None:
    found = strangers(["cat"], ["hole in the road", "dog"])
    assert found[:2] == ("hole in the road", "dog") and found.count("dog") == 1
