from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image

from ipo.experiments.run.plot import plot_search
from ipo.metrics.statistics import Interval
from ipo.programs.history import ScoredTemplate
from ipo.programs.optimizer import Step
from ipo.programs.proposer import Rejection


def steps(*templates: str) -> list[Step]:
    initial = ScoredTemplate("a photo of a <CLASS>.", 0.25, 1.5, 40, -1, "initial")
    found, best = [Step(-1, (initial,), (), initial, Interval(0.0, 1.0))], initial
    for number, template in enumerate(templates):
        entry = ScoredTemplate(template, 0.2 + 0.1 * number, 1.0, 40, number, "language model")
        best = max(best, entry, key=lambda e: e.rank)
        found.append(
            Step(number, (entry,), (Rejection("no slot", "it has no <CLASS> slot"),), best, Interval(0.0, 1.0))
        )
    return found


def drawn(found: list[Step], chosen: str, file: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_search(found, chosen, file)
    with Image.open(file) as image:
        image.load()
        return image


@pytest.mark.parametrize(
    "template",
    [
        "a sketch of a <CLASS>.",
        "$x^{ <CLASS>",
        r"\$ $\frac{a}{ <CLASS> $ \bad $",
        "costs $5 and $6 <CLASS>",
        "<script>alert(1)</script> <CLASS>",
        "<CLASS> " + "x" * 292,
        "<CLASS> " + "$" * 200,
        "ein schönes – “<CLASS>” _^&%#~",
        "一张 <CLASS> 的照片 ☃ 🐈",
        "مرحبا <CLASS>",
        "%s {0} {} <CLASS>",
    ],
)
def test_any_template_makes_a_picture(template: str, tmp_path: Path) -> None:
    image = drawn(steps("plain <CLASS>", template), template, tmp_path / "search.png")
    assert image.format == "PNG"
    assert min(image.size) > 300


def test_a_search_without_candidates_is_a_picture_too(tmp_path: Path) -> None:
    assert min(drawn(steps(), "a photo of a <CLASS>.", tmp_path / "search.png").size) > 300


def test_steps_without_candidates_are_gaps(tmp_path: Path) -> None:
    found = steps("a <CLASS>")
    found.append(Step(1, (), (), found[-1].best, Interval(0.0, 1.0)))
    assert min(drawn(found, "a <CLASS>", tmp_path / "search.png").size) > 300


def test_the_initial_template_may_be_the_one_selected(tmp_path: Path) -> None:
    assert drawn(steps("a <CLASS>"), "a photo of a <CLASS>.", tmp_path / "search.png").size[0] > 300
