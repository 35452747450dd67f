"""Laying out what words do."""

from __future__ import annotations

from typing import Any

import pytest

from ipo_prompts.experiments.report.analysis import WordChange
from ipo_prompts.experiments.report.page import layers

TEMPLATE = "a dim photo of a <CLASS>."


def removal(start: int, end: int, accuracy: float = -0.01, **more: Any) -> WordChange:
    fields = {"span": (start, end), "text": TEMPLATE[start:end], "template": TEMPLATE}
    return WordChange.model_validate(fields | {"change": accuracy, "significant": False} | more)


def test_words_come_first_and_phrases_below() -> None:
    lines = layers(TEMPLATE, [removal(0, 11), removal(2, 5), removal(6, 11), removal(0, 1)], 10_000)
    assert [[piece.text for piece in line if piece.change] for line in lines] == [
        ["a", "dim", "photo"],
        ["a dim photo"],
    ]


def test_every_line_spells_the_template() -> None:
    spans = [(0, 11), (2, 5), (4, 20), (6, 11), (0, len(TEMPLATE))]
    lines = layers(TEMPLATE, [removal(*span) for span in spans], 10_000)
    assert all("".join(piece.text for piece in line) == TEMPLATE for line in lines)
    assert sum(piece.change is not None for line in lines for piece in line) == len(spans)


@pytest.mark.parametrize(
    ("accuracy", "significant", "tone"),
    [
        (-0.06, True, "help-3 clear"),
        (-0.03, False, "help-2"),
        (-0.001, False, "help-1"),
        (0.0, False, "same-1"),
        (0.02, False, "harm-2"),
        (0.5, True, "harm-3 clear"),
    ],
)
def test_a_word_helps_where_accuracy_falls_without_it(accuracy: float, significant: bool, tone: str) -> None:
    ((piece, *_),) = layers(TEMPLATE, [removal(0, 1, accuracy, significant=significant)], 10_000)
    assert piece.tone == tone
