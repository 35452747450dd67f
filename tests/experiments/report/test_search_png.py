from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from ipo_prompts.experiments.report.drawing import save_search_png
from ipo_prompts.experiments.report.gather import Candidate, SearchRecord, StepRecord, read_run
from ipo_prompts.metrics.errors import InputError

INITIAL = Candidate("a photo of a <CLASS>.", 0.25, 1.5, False, False)


def search(*templates: str, chosen: str = "") -> SearchRecord:
    """Make a search with one template a step; an empty one stands for a step without any."""
    found, best = SearchRecord(INITIAL, 40, chosen or templates[-1]), INITIAL
    for number, template in enumerate(templates, start=1):
        entry = Candidate(template, 0.2 + 0.1 * number, 1.0, True, template == found.chosen)
        best = entry if template else best
        found.steps.append(StepRecord(number, [], best, candidates=[entry] if template else []))
    return found


def drawn(found: SearchRecord, file: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_search_png(found, file)
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
    image = drawn(search("plain <CLASS>", template), tmp_path / "search.png")
    assert image.format == "PNG"
    assert min(image.size) > 300


def test_the_chosen_template_stands_above_it_as_it_is_written(tmp_path: Path) -> None:
    plain, formula = (drawn(search(text), tmp_path / "search.png") for text in ("x <CLASS>", "$x$ <CLASS>"))
    differ = ImageChops.difference(plain.convert("RGB"), formula.convert("RGB")).getbbox()
    assert differ is not None, "the dollar signs are missing"
    assert differ[3] < plain.size[1] / 4, "more than the title differs"


def test_its_title_and_its_legend_say_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    monkeypatch.setattr("ipo_prompts.experiments.report.drawing.drawn", lambda draw, *_, **__: draw(figure) or b"")
    save_search_png(search("a sketch of a <CLASS>."), tmp_path / "search.png")
    assert figure.axes[0].get_title("left") == "chosen: a sketch of a <CLASS>."
    assert "chosen" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_search_without_candidates_is_a_picture_too(tmp_path: Path) -> None:
    assert min(drawn(search(chosen=INITIAL.template), tmp_path / "search.png").size) > 300


def test_steps_without_candidates_are_gaps(tmp_path: Path) -> None:
    assert min(drawn(search("a <CLASS>", "", chosen="a <CLASS>"), tmp_path / "search.png").size) > 300


def test_it_is_the_same_for_the_same_run(recorded: Path) -> None:
    found = read_run(recorded).search
    for name in ("one.png", "two.png"):
        save_search_png(found, recorded / name)
    assert (recorded / "one.png").read_bytes() == (recorded / "two.png").read_bytes()


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*search\.png: No such file or directory; make room"):
        save_search_png(search("a <CLASS>"), tmp_path / "gone" / "search.png")
