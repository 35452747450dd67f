"""Terminal, page, JSON and table say the same of the same hits, whatever they are."""

from __future__ import annotations

import html
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.compare.tables.markdown import to_markdown
from ipo_prompts.experiments.compare.tables.table import build_table
from ipo_prompts.experiments.compare.tables.words import verdicts
from ipo_prompts.experiments.one_call import summary
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import in_points, interval, p_value, run_page
from ipo_prompts.experiments.run.comparison import compare, verdict
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from support.scored_cells import gain_of, make_cell, to_json

BEGINNING = {"gain": "A gain on", "loss": "A loss on", "not shown": "No evidence of a gain on"}
RECORDED = Path(__file__).parents[2] / "recorded" / "local-history"


def _random_hits(seed: int) -> tuple[list[int], list[int], list[int]]:
    """Labels and the hits of two templates: few or many classes and pictures, any gain or loss."""
    draw = random.Random(seed)
    classes, size = draw.choice([(2, 200), (2, 3), (5, 8), (12, 10), (68, 4), (30, 1)])
    worse, better = draw.choice([(0.0, 0.0), (0.05, 0.0), (0.1, 0.1), (0.05, 0.3), (0.3, 0.05), (0.02, 0.04)])
    before = [int(draw.random() < 0.6) for _ in range(classes * size)]
    after = [int(draw.random() >= worse) if hit else int(draw.random() < better) for hit in before]
    return [i // size for i in range(classes * size)], before, after


def _cell(method: str, hits: list[int], labels: list[int]) -> dict[str, Any]:
    cell = make_cell("a", method, 0, 0.0, sides=("test",), protocol="few-shot")
    n, text = len(hits), "".join(map(str, hits))
    cell["scores"]["test"] |= {"hits": text, "labels": labels, "n": n, "value": round(sum(hits) / n, 6)}
    return cell


@pytest.mark.parametrize("seed", range(50))
def test_terminal_page_json_and_table_say_the_same(seed: int) -> None:
    labels, before, after = _random_hits(seed)
    n = len(labels)
    first, second = (
        Score(name, sum(hits) / n, 1.0, np.array(hits, dtype=bool), np.ones(n))
        for name, hits in (("a <CLASS>", before), ("the <CLASS>", after))
    )
    test = compare({"test": (first, second, Sampling.of(n, labels))}, ["test"])["test"]
    said, found = verdict(test, "pictures", 1), test.difference
    run = read_run(RECORDED)
    result = run.result.model_copy(
        update={
            "template": "the <CLASS>",
            "initial_template": "a <CLASS>",
            "scores": {**run.result.scores, "test": test},
            "verdict": said,
        }
    )

    assert said.startswith(BEGINNING[found.outcome]) and found.numbers in said
    short = verdict(test, "pictures", 1, limit=False)
    assert said.startswith(short[:-1]) and f"  {short}\n" in summary(result, Path("run"))
    page = html.unescape(run_page(replace(run, result=result)).replace("\N{NO-BREAK SPACE}", " "))
    first = page[page.index("<h1") : page.index("</h1>")]
    on_page = said.replace(f": {found.numbers}", "")  # which stand below, on the card
    headline, _, limit = on_page.partition("; ")
    assert (f">{headline}" in first) == (found.outcome != "gain"), "a template that is not shown to gain is no headline"
    assert limit[1:] in page
    assert (f'<p class="verdict">{on_page}</p>' in page) == (found.outcome == "gain")
    card = page[page.index("<dt>Gain on the sealed test</dt>") :].partition("</div>")[0]
    shown = re.sub("</?[a-z][^>]*>", "", card)
    if found.outcome != "same templates":
        ends = interval(found.ci95).replace("\N{NO-BREAK SPACE}", " ")
        assert f"{in_points(found.mean)} points\n{ends}, n = {n}," in shown
        assert found.p_corrected is not None and f"p {p_value(found.p_corrected)}" in shown
    assert ('class="main shown"' in page) == (found.outcome == "gain")
    read_back = RunResult.model_validate_json(result.model_dump_json(by_alias=True))
    assert (read_back.verdict, read_back.scores["test"].difference) == (said, found)

    table = build_table([_cell("baseline", before, labels), _cell("ipo-default", after, labels)])
    gain = gain_of(table, "a", "ipo-default", "baseline", "test").verdict
    assert gain.model_copy(update={"family": found.family}) == found
    assert found.numbers in verdicts(table)[0]
    row = next(line for line in to_markdown(table).splitlines() if re.match(r"\| a +\| ipo-default +\| [+-]", line))
    assert ("*" in row) == (found.outcome in ("gain", "loss"))
    assert f'"outcome": "{found.outcome}"' in to_json(table)
