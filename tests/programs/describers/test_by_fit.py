"""The describer `fit` on the CLIP that ships with us: looks without labels."""

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.nouns import common
from ipo_prompts.programs.describers.interrogator import MAX_CLASSES, NOTHING, THINGS, FitInterrogator


def _said(name: str, **words) -> str:
    drawn = draw(load_data(f"embedded:{name}", seed=0), shots=2, selection_shots=0, seed=0)
    names = drawn.class_names
    return FitInterrogator(load_clip("embedded"))(
        pictures=[item.picture for item in drawn.search], class_names=names, **words
    ).descriptions[0]


def test_it_says_how_pictures_look_and_nothing_of_clean_ones():
    assert "with inverted colors" in _said("upside-down+negative")
    assert _said("b") == NOTHING


def test_labels_change_nothing():
    assert _said("d") == _said("d", labels=[0] * 136)


def test_the_common_things_are_those_of_wordnet() -> None:
    assert common(MAX_CLASSES) == THINGS
