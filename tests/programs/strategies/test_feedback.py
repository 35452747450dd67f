"""Feedback: what is told of words and of confused classes, and that its control tells neither."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Known, Models, may_know
from ipo_prompts.programs.strategies.history import propose_inputs
from ipo_prompts.programs.strategies.knowing import LONGEST_FINDING, confused, findings, worth_of_parts
from ipo_prompts.programs.strategies.small_model import SmallModelAdapter
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.templates.settings import SearchSettings
from ipo_prompts.signatures.propose import ProposeTemplate

WORTH = {"dark": 0.2, "upside down": 0.1, "in a kitchen": 0.0, "torn": -0.1}
LABELS = np.arange(100) % 4


def entry(template: str, step: int = 0) -> ScoredTemplate:
    value = 0.3 + sum(gain for text, gain in WORTH.items() if text in template)
    hits = np.arange(100) < round(100 * value)
    predictions = np.where(hits, LABELS, (LABELS == 0).astype(int))  # class 0 is taken for 1, all others for 0
    return ScoredTemplate(Score(template, value, 1 - value, hits, 1.0 - hits, predictions), step, "test")


def known(*templates: str, seed: int = 0) -> Known:
    history = PromptHistory(entry("a photo of a <CLASS>.", -1))
    for template in templates:
        history.add(entry(template))
    return Known("pets", history, ("cat", "dog", "bus", "sofa"), ("soft light",), LABELS, 1, seed, 2)


TRIED = [
    "a dark photo of a <CLASS>, upside down.",
    "a dark photo of a <CLASS>, in a kitchen.",
    "a photo of a <CLASS>, upside down, in a kitchen.",
    "a dark, torn photo of a <CLASS>.",
    "a torn photo of a <CLASS>, in a kitchen.",
    "<CLASS> cannot be taken apart: dark",
]


def test_words_are_told_apart_from_their_company() -> None:
    worth = {one.part.text: one for one in worth_of_parts(known(*TRIED).history)}
    assert set(worth) == set(WORTH)
    assert worth["dark"].gain > worth["upside down"].gain > worth["in a kitchen"].gain > worth["torn"].gain
    assert 0.1 < worth["dark"].gain < 0.2 and worth["dark"].templates == 3  # less than the truth: the penalty
    assert worth_of_parts(known().history) == []


def test_a_word_inside_another_one_is_not_that_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORTH, "tired", 0.1)
    found = worth_of_parts(known("a red photo of a <CLASS>.", "a tired photo of a <CLASS>.").history)
    assert [(one.part.text, one.gain) for one in found] == [("tired", pytest.approx(0.05)), ("red", 0.0)]


def test_a_word_tried_once_gets_half_the_credit() -> None:
    (only,) = worth_of_parts(known("a dark photo of a <CLASS>.").history)
    assert only.gain == pytest.approx(0.1)


def test_classes_that_the_best_template_confuses_are_told_most_often_first() -> None:
    now = known(*TRIED)
    worse = known("a torn photo of a <CLASS>.", *TRIED[:1])
    # The best one has 60 hits: ten pictures of each class are wrong.
    told = {("cat", "dog"): 10, ("dog", "cat"): 10, ("bus", "cat"): 10, ("sofa", "cat"): 10}
    assert dict(confused(now)) == dict(confused(worse)) == told
    assert confused(replace(now, labels=None)) == []


def test_what_is_told_is_short_and_in_words() -> None:
    told = findings(known(*TRIED))
    assert [line.split(":")[0] for line in told] == [
        "Words that helped, with the points they added",
        "Words that did not help",
        "What the best template still confuses",
    ]
    assert '"dark" +1' in told[0] and '"torn" -' in told[1] and "cat taken for dog" in told[2]
    many = known(*(f"a {'very ' * 30}odd{i} photo of a <CLASS>." for i in range(9)))
    assert max(map(len, findings(many))) <= LONGEST_FINDING
    only = findings(replace(known(), labels=None))
    assert only == []


def test_only_the_most_helpful_and_the_most_harmful_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, letter in enumerate("abcdefgh", 1):
        monkeypatch.setitem(WORTH, f"good{letter}", place / 50)
        monkeypatch.setitem(WORTH, f"poor{letter}", -place / 50)
    now = known(*(f"a {kind}{letter} photo of a <CLASS>." for letter in "abcdefgh" for kind in ("good", "poor")))
    helpful, harmful, _ = findings(now)
    assert re.findall('"(.*?)"', helpful) == [f"good{letter}" for letter in "hgfedc"]
    assert re.findall('"(.*?)"', harmful) == [f"poor{letter}" for letter in "hgf"]
    assert '"goodh" +8.0' in helpful, "points; half of what it was worth"
    assert '"goodh" +0.08' in findings(replace(now, scale=Scale(low=-1, percent=False)))[0]


def test_only_the_commonest_confusions_are_told() -> None:
    labels = np.repeat(np.arange(6), np.arange(1, 7))
    hits = np.zeros(len(labels), dtype=bool)
    score = Score("a <CLASS>", 0.0, 1.0, hits, np.ones(len(labels)), (labels + 1) % 6)
    now = Known("pets", PromptHistory(ScoredTemplate(score, -1, "initial")), "abcdef", labels=labels)
    assert confused(now) == [(("f", "a"), 6), (("e", "f"), 5), (("d", "e"), 4), (("c", "d"), 3)]


def test_its_control_tells_neither_words_nor_classes() -> None:
    honest = may_know(STRATEGIES.build({"name": "feedback"}, Models()), known(*TRIED))
    control = STRATEGIES.build({"name": "shuffled-feedback"}, Models())
    assert len(control.inner.inner.chosen(honest)) == 4
    best, pairs = set(), set()
    for seed in range(30):
        left = may_know(control, known(*TRIED, seed=seed))
        assert len(left.findings) >= 1
        best.add(left.findings[0].split('"')[1])
        pairs.add(left.findings[-1])
    assert len(best) > 2 and len(pairs) > 10
    assert honest.findings[-1] not in pairs


def test_models_of_both_kinds_read_it() -> None:
    told = ["Words that helped: dark +1.0"]
    assert propose_inputs("pets", (), (), 2, findings=told)["findings"] == "Words that helped: dark +1.0"
    assert "findings" not in propose_inputs("pets", (), (), 2)
    inputs = {"task": "pets", "image_descriptions": [], "scored_templates": [], "findings": told}
    asked = SmallModelAdapter().format(ProposeTemplate, [], inputs)[-1]["content"]
    assert "have taught:\n- Words that helped: dark +1.0\n" in asked
    assert "taught" not in SmallModelAdapter().format(ProposeTemplate, [], inputs | {"findings": []})[-1]["content"]


def test_a_price_covers_the_findings() -> None:
    expected = Expected(SearchSettings(steps=4, candidates_per_step=5), "pets")
    few = STRATEGIES.build({"name": "history", "size": 4}, Models()).forecast(expected)
    told = STRATEGIES.build({"name": "feedback"}, Models()).forecast(expected)
    assert told.calls == few.calls and told.tokens_in >= few.tokens_in + few.calls * 3 * LONGEST_FINDING
    assert STRATEGIES.build({"name": "compose", "feedback": True}, Models()).forecast(expected).tokens_in > 0
