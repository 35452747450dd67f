"""`search.svg`: whatever template was chosen, it is well-formed, it says it, and it is the same for the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ipo_prompts.experiments.report.gather import Candidate, SearchRecord, StepRecord, read_run
from ipo_prompts.experiments.report.page import search_picture

INITIAL = Candidate(template="a photo of a <CLASS>.", accuracy=0.25, loss=1.5)


def search(*templates: str) -> SearchRecord:
    """Make a search with one template a step; an empty one stands for a step without any."""
    found, best = SearchRecord(INITIAL, 40, templates[0] if templates else INITIAL.template), INITIAL
    for number, template in enumerate(templates, start=1):
        entry = Candidate(template=template, accuracy=0.2 + 0.1 * number, loss=1.0)
        best = entry if template else best
        found.steps.append(StepRecord(number, [entry] if template else [], [], best))
    return found


@pytest.mark.parametrize(
    "template",
    [
        "a sketch of a <CLASS>.",
        "<script>alert(1)</script> <CLASS>",
        "<CLASS> " + "x" * 292,
        "ein schönes – “<CLASS>” _^&%#~",
        "一张 <CLASS> 的照片 ☃ 🐈",
        "مرحبا <CLASS>",
        "%s {0} {} <CLASS> \x1b[2J ]]> --",
    ],
)
def test_the_chosen_template_stands_above_it_as_it_is_written(template: str, recorded: Path) -> None:
    run = read_run(recorded)
    drawn = search_picture(replace(run, result=run.result.model_copy(update={"template": template})))
    title = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}text")[0].text
    assert title == "chosen: " + (template if len(template) <= 90 else template[:89] + "…").replace("\x1b", "[U+001B]")
    assert "<script" not in drawn
