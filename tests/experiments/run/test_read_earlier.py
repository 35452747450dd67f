"""What the record of an earlier run is read as, without a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipo_prompts.experiments.run import searching
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.searching import EarlierRun, identity_of, read_earlier, recorded, started
from ipo_prompts.metrics.template import BASELINE
from support.runs import lines_of

OPENED = {"this": "a", "known": ["a"], "elsewhere": 0, "pictures": ["0"]}
BEFORE = {"templates": {"a red <CLASS>.": 0.5}, "steps": 4, "identity": {}, "searched": ["one"], "opened": [OPENED]}


def scores(kind: str, step: int, **values: float) -> dict[str, Any]:
    rows = [{"template": f"a {name} <CLASS>.", "accuracy": value} for name, value in values.items()]
    return {"type": "scores", "kind": kind, "step": step, "scores": rows, "rejected": []}


def written(folder: Path, *events: dict[str, Any], config: RunConfig | None = None) -> Path:
    folder.mkdir()
    settings = (config or RunConfig()).model_dump(mode="json")
    start = {"type": "start", "pictures": "p", "clip": "c", "config": settings}
    (folder / "journal.jsonl").write_text(lines_of(*({**event, "seconds": 1.0} for event in (start, *events))))
    return folder


def test_a_run_hands_on_what_it_took_over(tmp_path: Path) -> None:
    own = scores("search", -1, photo=0.4), scores("search", 0, big=0.6), scores("search", 1, old=0.7)
    chosen = scores("selection", 1, chosen=0.9)
    inherited = {"type": "earlier", "run": "there", **BEFORE}
    opened = {"type": "opened", **OPENED, "this": "b"}
    folder = written(tmp_path / "run", inherited, scores("earlier", -1, red=0.5), *own, chosen, opened)
    found = read_earlier(folder)
    assert found.templates == {
        f"a {one} <CLASS>.": v for one, v in (("red", 0.5), ("photo", 0.4), ("big", 0.6), ("old", 0.7))
    }
    assert found.steps == 4 + 2, "the initial template is no step"
    assert found.searched == ("one",)
    assert [one.this for one in found.opened] == ["a", "b"]


def test_of_very_many_templates_the_best_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST", 2)
    found = read_earlier(written(tmp_path / "run", scores("search", 0, good=0.8, poor=0.1, best=0.9)))
    assert found.templates == {"a good <CLASS>.": 0.8, "a best <CLASS>.": 0.9}


@pytest.mark.parametrize("change", [{"reward": {"name": "retrieval"}}, {"offsets": "centring"}])
def test_scores_of_another_reward_or_with_offsets_are_others(change: dict[str, Any]) -> None:
    assert identity_of(RunConfig(), "p", "c") != identity_of(RunConfig(**change), "p", "c")


def test_a_replay_has_the_start_of_the_replayed_run_and_not_one_further_back(tmp_path: Path) -> None:
    written(tmp_path / "replayed", {"type": "earlier", "run": "/there/first", **BEFORE})
    config = RunConfig(lm=f"replay/{tmp_path / 'replayed'}", start_from="first")
    found = recorded(config, ())
    assert found is not None and found.run == "/there/first"
    assert recorded(config.model_copy(update={"start_from": "second"}), ()) is None


def test_what_it_searched_on_is_known_by_its_record_and_by_that_of_the_runs_before(tmp_path: Path) -> None:
    drawn = {"type": "drawn", "search": ["two", "one"], "selection": ["three"], "sealed": ["four"]}
    inherited = {"type": "earlier", "run": "there", **BEFORE}
    assert read_earlier(written(tmp_path / "run", drawn, inherited, scores("search", 0, a=0.5))).searched == (
        "one",
        "two",
    )


def test_templates_that_were_not_taken_over_are_counted_without_the_initial_one() -> None:
    before = EarlierRun.model_validate(
        {
            **BEFORE,
            "run": "there",
            "searched": ["one"],
            "templates": {BASELINE: 0.4, "a red <CLASS>.": 0.5, "a <CLASS>": 0.1},
        }
    )
    history = [SimpleNamespace(source=source) for source in ("initial", "earlier run", "language model")]
    searched: Any = SimpleNamespace(result=SimpleNamespace(history=history), same_pictures=True)
    prepared: Any = SimpleNamespace(config=RunConfig(), contents=lambda part: ["one", "two"])
    told = started(before, prepared, searched)
    assert (told.templates, told.refused, told.chose) == (1, 1, 1)
