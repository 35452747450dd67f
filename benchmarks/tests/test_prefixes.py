"""What a search would have ended with after fewer looks, read off one that was longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab.prefixes import InOrder, Prefixes, after
from benchmarks.lab.random_pairs import RandomPairs
from ipo_prompts.experiments.compare import cell as cells_of
from ipo_prompts.experiments.compare.cell import Cell, run_cell
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.methods.base import Absent, Lesson, Templates
from ipo_prompts.experiments.compare.tables.table import build_table
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import scale_of
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.record.journal import read

SEARCH = {"lm": "none", "describer": "none", "steps": 3, "candidates_per_step": 3}
EVENTS = [
    {"type": "scores", "kind": "search", "step": -1, "scores": [{"template": BASELINE}]},
    {
        "type": "scored_only",
        "step": 0,
        "around": "",
        "rows": [["a dark <CLASS>.", 0.5, 1.0], ["a red <CLASS>.", 0.75, 1.0]],
    },
    {
        "type": "scored_only",
        "step": 0,
        "around": "",
        "rows": [["a Red <CLASS>", 0.75, 1.0], ["an old <CLASS>.", 0.6, 1.0]],
    },
    {"type": "scores", "kind": "search", "step": 0, "scores": [{"template": "a dark <CLASS>."}]},
    {"type": "scored_only", "step": 1, "around": "", "rows": [["a big <CLASS>.", 0.9, 1.0]]},
    {"type": "scores", "kind": "selection", "step": 2, "scores": [{"template": "a lie of a <CLASS>."}]},
]


def test_a_look_is_a_template_scored_for_the_first_time(clip: Any) -> None:
    looks = InOrder.of_journal(EVENTS, BASELINE)
    assert looks.templates == ["a dark <CLASS>.", "a red <CLASS>.", "an old <CLASS>.", "a big <CLASS>."]
    assert looks.candidates(1, 2, 0.0) == ["a dark <CLASS>."]
    assert looks.candidates(2, 1, 0.0) == ["a red <CLASS>."], "dark was proposed after the third look only"
    assert looks.candidates(3, 2, 0.0) == ["a dark <CLASS>.", "a red <CLASS>."]
    assert looks.candidates(9, 3, 0.0) == ["a dark <CLASS>.", "a big <CLASS>.", "a red <CLASS>."]
    described = InOrder.of_journal(EVENTS, BASELINE, before=300)
    assert described.candidates(301, 2, 0.0) == ["a dark <CLASS>."]
    search: Any = "a search"  # it is not asked what it left behind
    found: Any = Prefixes(None, None, described, 2)  # type: ignore[arg-type]
    with pytest.raises(Absent, match="before its first template it had scored 300 others"):
        after(Templates(clip, ((BASELINE, 1.0),), search=search), 299, {id(search): found})


def test_a_template_counts_from_its_first_proposal_however_often_it_comes_again() -> None:
    again = {"type": "scores", "kind": "search", "step": 3, "scores": [{"template": "a dark <CLASS>."}]}
    first = {"type": "proposed", "row": ["a tiny <CLASS>.", 0.5, 1.0]}
    scored = {"type": "scores", "kind": "search", "step": 4, "scores": [{"template": "a tiny <CLASS>."}]}
    last = {"type": "scored_only", "step": 4, "around": "", "rows": [["a huge <CLASS>.", 0.1, 1.0]]}
    looks = InOrder.of_journal([*EVENTS, again, first, last, scored], BASELINE)
    assert looks.proposed == {"a dark <CLASS>.": 3, "a tiny <CLASS>.": 5}
    assert looks.candidates(3, 1, 0.0) == ["a dark <CLASS>."]
    assert looks.candidates(5, 2, 0.0) == ["a dark <CLASS>.", "a tiny <CLASS>."]


def test_after_fewer_looks_the_default_is_the_search_that_has_no_more(
    lesson: Callable[..., Lesson], tmp_path: Path
) -> None:
    whole = METHODS.find("phrases").fit(replace(lesson(**SEARCH), folder=tmp_path / "whole"))
    assert after(whole, 5_000).templates == whole.templates
    kept = InOrder.of_journal(read(tmp_path / "whole" / "run"), BASELINE)
    for limit in (40, 350, 450):
        given = replace(lesson(**SEARCH, scored_templates=limit), folder=tmp_path / str(limit))
        shorter = METHODS.find("phrases").fit(given)
        own = InOrder.of_journal(read(given.folder / "run"), BASELINE)
        count = len(own.templates)
        assert own.templates == kept.templates[:count] and limit - 2 <= count <= limit, (
            "the baseline template may be among them"
        )
        assert {*own.proposed} == {*kept.candidates(count, 9, scale_of(given.prepared.reward).word)}
        assert after(whole, count).templates == shorter.templates, count


def test_after_fewer_looks_a_pool_is_its_beginning(lesson: Callable[..., Lesson]) -> None:
    whole, shorter = (RandomPairs().fit(lesson(steps=steps)) for steps in (12, 3))
    assert after(whole, 15).templates == shorter.templates != whole.templates
    baseline = METHODS.find("baseline").fit(lesson())
    assert after(baseline, 15) is baseline


def cell(method: str, targets: tuple[str, ...] = ("60", "300", "5"), **settings: object) -> Cell:
    few = {"shots": 1, "selection_shots": 1, **SEARCH, "steps": 1, "strategy.scored_templates": 20, **settings}
    return Cell(
        "benchmarks.lab.prefixes:AfterTemplates", "embedded:small+faded", method, 0, targets, tuple(few.items())
    )


def test_a_cell_is_tested_after_each_number_of_looks(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cells_of, "load_clip", lambda *_: clip)
    cells_of._clip.cache_clear()
    contents = [run_cell(cell(method), tmp_path / method) for method in ("baseline", "vocabulary")]
    assert list(contents[0]["scores"]) == ["300 templates", "60 templates", "5 templates"]
    assert len({score["hits"] for score in contents[0]["scores"].values()}) == 1
    table = build_table(contents)
    assert (table.columns, table.headline) == (("5 templates", "60 templates", "300 templates"), "300 templates")


@pytest.mark.parametrize(
    ("method", "targets", "settings", "said"),
    [
        ("baseline", (), {}, "name the numbers as targets: 60,300"),
        ("baseline", ("few",), {}, "name the numbers as targets: 60,300"),
    ],
)
def test_what_cannot_be_read_after_fewer_looks_is_one_sentence(
    method: str, targets: tuple[str, ...], settings: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        run_cell(cell(method, targets, **settings), tmp_path / "cell")
