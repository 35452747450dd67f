"""`search.svg`: whatever template was chosen, it is well-formed, it says it, and it is the same for the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ipo_prompts.experiments.report.page import read_run, search_image


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
    drawn = search_image(replace(run, result=run.result.model_copy(update={"template": template})))
    title = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}text")[0].text
    assert title == "chosen: " + (template if len(template) <= 90 else template[:89] + "…").replace("\x1b", "[U+001B]")
    assert "<script" not in drawn
