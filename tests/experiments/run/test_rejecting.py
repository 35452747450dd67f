"""The margins that a run leaves with its program, and the words they were taken with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.experiments.run import labelling as module
from ipo_prompts.experiments.run.labelling import calibrate, promise_in_words, rejecting
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.head import Calibrated
from ipo_prompts.metrics.rejection import threshold
from ipo_prompts.metrics.template import fill, too_long
from ipo_prompts.programs.classifier import TemplateClassifier

SHORT, OTHER = "a <CLASS>.", "a sketch of a <CLASS>."
WORDS = ["hole", "wall", "stone"]


@pytest.fixture(autouse=True)
def few_words(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "strangers", lambda names, none: (*none, *WORDS))


def able(clip: Clip, *templates: tuple[str, float]) -> TemplateClassifier:
    """A program with the margins of three pictures."""
    program = TemplateClassifier(clip, ["cat", "bus"], templates)
    pictures = EncodedPictures(clip.encode_texts(["a cat.", "a kitten.", "a bus."]), np.array([0, 0, 1]))
    program.rejection = calibrate(program, pictures, None, ["pit"], FeatureStore(clip), lambda line: None)
    return program


def test_margins_are_those_of_a_background_and_of_weights(clip: Clip) -> None:
    program = able(clip, (SHORT, 3.0), (OTHER, 1.0))
    margins = program.rejection
    rejecting(program, lambda line: None)
    program.background = "as-is"
    with pytest.raises(InputError, match="do not hold for this one"):
        rejecting(program, lambda line: None)
    other = TemplateClassifier(clip, ["cat", "bus"], [(SHORT, 2.0), (OTHER, 1.0)])
    other.rejection = margins
    with pytest.raises(InputError, match="do not hold for this one"):
        rejecting(other, lambda line: None)


def test_strange_words_are_read_with_the_weights_of_the_classes(clip: Clip) -> None:
    head, _ = rejecting(able(clip, (SHORT, 3.0), (OTHER, 1.0)), lambda line: None)
    texts = [clip.encode_texts([fill(template, word) for word in ("pit", *WORDS)]) for template in (SHORT, OTHER)]
    mean = 3 * texts[0] + texts[1]
    assert head.others == pytest.approx(mean / np.linalg.norm(mean, axis=1, keepdims=True), abs=1e-5)


def test_words_that_do_not_fit_into_the_longest_template_are_left_out(clip: Clip) -> None:
    word = "a very long word of many pieces"
    longer = ["a" + " dark" * count + " <CLASS>." for count in range(100)]
    full = next(one for one in longer if too_long(one, [word], clip) and not too_long(one, ["bus"], clip))
    WORDS.append(word)
    try:
        alone, both = (able(clip, *of) for of in ([(SHORT, 1.0)], [(SHORT, 1.0), (full, 1.0)]))
        counts = [len(rejecting(one, lambda line: None)[0].others) for one in (alone, both)]  # type: ignore[arg-type]
    finally:
        WORDS.remove(word)
    assert counts == [5, 4]


def test_a_line_through_pictures_that_made_the_template_says_so() -> None:
    some = dict(zip(("margins", "classes"), (tuple(i / 100 for i in range(60)), (0, 1, 1) + (2,) * 57), strict=True))
    for held_back in (True, False):
        margins = Calibrated(fingerprint="f", none=(), **some, held_back=(held_back,) * 60)
        line = threshold(margins, 0.05)
        promise, classes = promise_in_words(line, margins, 0.05, ["cat", "bus", "sea\x1b", "sun"])
        assert f"has place 3 among 60 {'held-back' if held_back else 'known'} pictures" in promise
        assert "with 95% confidence if the template had been chosen without these pictures" in promise
        assert ("it was chosen with them: more may be" in promise) == held_back
        assert ("fitted to them, as too few were held back: more may be" in promise) == (not held_back)
        assert "the largest shares first: 'cat' 1 of 1, 'bus' 1 of 2." in classes
        assert "nothing is promised for single classes" in classes
    more = Calibrated(fingerprint="f", none=(), margins=some["margins"], classes=tuple(range(60)))
    told = promise_in_words(threshold(more, 0.5), more, 0.5, [f"c{i}" for i in range(60)])[1]
    assert "'c0' 1 of 1, 'c1' 1 of 1, 'c2' 1 of 1, 26 more have one or more." in told


def test_pictures_that_were_held_back_are_known_by_their_place(clip: Clip) -> None:
    program = TemplateClassifier(clip, ["cat", "bus"], [(SHORT, 1.0)])
    searched, held_back = (
        EncodedPictures(clip.encode_texts(texts), np.array(labels))
        for texts, labels in ((["a cat.", "a bus."], [0, 1]), (["a wall.", "a red bus.", "a dog."], [0, 1, 0]))
    )
    found = calibrate(program, searched, held_back, ["pit"], FeatureStore(clip), lambda line: None)
    alone = calibrate(program, held_back, None, ["pit"], FeatureStore(clip), lambda line: None)
    mine = [margin for margin, own in zip(found.margins, found.held_back, strict=True) if own]
    assert mine == list(alone.margins) and len(found.margins) == 5 and alone.held_back == ()
    assert found.classes[found.margins.index(alone.margins[0])] == alone.classes[0]
