"""What a run tells is one list; terminal, page and notebook each print what belongs there."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from ipo_prompts.experiments.one_call import answer, summary
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import notebook_part, run_page
from ipo_prompts.experiments.run.told import told, told_at

RECORDED = Path(__file__).parents[2] / "recorded"


@pytest.mark.parametrize("name", ["api-paper-base-to-new", "local-shuffled"])
def test_each_sentence_is_printed_where_it_belongs_in_the_order_of_the_list(name: str) -> None:
    run = read_run(RECORDED / name)
    page, notebook = (html.unescape(part).replace("\xa0", " ") for part in (run_page(run), notebook_part(run)))
    lines = list(told(run.result, run.config, run.folder))
    assert all(line.at and (line.text or line.command) for line in lines)
    printed = {"terminal": summary(run.result, run.folder), "quiet": answer(run.result), "notebook": notebook}
    for place, text in printed.items():
        there = [line for line in lines if place in line.at]
        found = [text.index(line.text or " ".join(line.command)) for line in there]
        assert found == sorted(found) and there == told_at(place, run.result, run.config, run.folder)
    for line in lines:
        if set(line.at) & {"warning", "rows", "sure", "compared"}:
            assert line.text in page and " ".join(line.command) in page


def test_a_notebook_gives_the_values_with_their_uncertainty() -> None:
    run = read_run(RECORDED / "local-shuffled")
    (line,) = (line for line in told(run.result, None, run.folder) if line.label == "test")
    assert "(95 % intervals)" in line.text and "n = " in line.text
    assert f"test: <bdi>{html.escape(line.text)}" in notebook_part(run)
