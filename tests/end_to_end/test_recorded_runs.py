"""Runs in the form of version 0.1 (`tests/recorded/`): they replay to the same scores, resume, and open everywhere.

The replies were recorded by version 0.1. Its own code has searched with them again with the CLIP that ships today, so
that requests and scores are of this CLIP and every file is in the old form. It chose the winner in another way, so that
a replay may choose another of the same templates; where it does not, the whole result is the same.

Among them: the paper's history with a small local model, without history, with shuffled scores; an API model with a
multimodal describer, one from base classes to new ones, one that cross-validates; and one that a budget had stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run.config import load_config
from ipo_prompts.experiments.run.result import load_result
from support.runs import KEY, events, ipo, program, resuming

RECORDED = Path(__file__).parents[1] / "recorded"
NAMES = sorted(folder.name for folder in RECORDED.iterdir())
STRATEGIES = {
    "local-no-history": {"name": "no-history"},
    "local-shuffled": {"name": "shuffled", "size": 12, "pin_initial": True, "floor": 0.0, "one_by_one": False},
    "api-code": {"name": "history", "size": 30, "pin_initial": False, "floor": 0.2, "one_by_one": False},
}


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pictures are encoded once for all of them; nobody's own features or replies are met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OPENAI_API_KEY", KEY)
        yield


def near(value: Any) -> Any:
    """Round numbers to what does not differ between processors."""
    if isinstance(value, float):
        return pytest.approx(value, abs=2e-6)
    if isinstance(value, dict):
        return {name: near(part) for name, part in value.items()}
    return [near(part) for part in value] if isinstance(value, list) else value


def measured(score: Any) -> dict[str, Any]:
    """Return what was measured; intervals are those of the version that reads."""
    return {"value": score.value, "loss": score.loss, "n": score.n}


def searched(folder: Path) -> dict[Any, Any]:
    """Return the scores of a journal without the clock, those on held-back pictures as `selection`."""
    found: dict[Any, Any] = {}
    for event in events(folder, "scores", "descriptions", "test", "new"):
        del event["seconds"]
        event.pop("crc", None)  # older journals have none
        if event.get("kind") == "selection":  # of a run that was stopped, the last
            found["selection"] = event["scores"]
        else:
            found[event["type"], event.get("step")] = event
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_replays_to_the_same_templates_and_scores(
    name: str, light: None, capfd: pytest.CaptureFixture[str], out: Path
) -> None:
    recorded = RECORDED / name
    words = [str(recorded / "config.yaml"), "--lm", f"replay/{recorded}", "--out", str(out)]
    then = load_result(recorded)
    if then.lm.describer:
        words += ["--describer", f"replay/{recorded}"]
    assert ipo(capfd, "optimize", *words).code == 0
    now = load_result(out)
    for part in ("steps", "templates_scored", "data", "seed"):
        assert getattr(now, part) == getattr(then, part)
    assert now.lm.optimizer and then.lm.optimizer and now.lm.optimizer.calls == then.lm.optimizer.calls
    assert now.strategy.name == STRATEGIES.get(name, {"name": "history"})["name"]
    for part, before in then.scores.items():
        assert measured(now.scores[part].initial) == near(measured(before.initial))
    new, old = searched(out), searched(recorded)
    held_back = [{row["template"]: row for row in scores.pop("selection", [])} for scores in (new, old)]
    assert all(held_back[0][template] == near(row) for template, row in held_back[1].items())
    assert len(held_back[0]) in (0, now.templates_scored)
    if load_config(recorded / "config.yaml").search.selection == "search":
        assert now.template == then.template
    if now.template == then.template:
        assert new == near(old)
        for part, before in then.scores.items():
            assert measured(now.scores[part].optimised) == near(measured(before.optimised))
        new_program, old_program = program(out), program(recorded)
        del new_program["metadata"], old_program["metadata"]  # the versions of Python and of libraries
        assert new_program == near(old_program | {"background": "as-is"})  # as pictures were read then


@pytest.fixture(params=["api-code", "api-paper-base-to-new"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recorded run that may be changed."""
    return Path(shutil.copytree(RECORDED / request.param, tmp_path / "run"))


def test_a_finished_one_has_nothing_left_to_resume(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (folder / "result.json").read_bytes()
    ended = ipo(capfd, *resuming(folder))
    assert ended.code == 0 and load_result(folder).template in ended.out
    assert (folder / "result.json").read_bytes() == before


def test_a_killed_one_resumes_without_asking_anything_again(
    folder: Path, light: None, capfd: pytest.CaptureFixture[str]
) -> None:
    then = load_result(folder)
    for file in ("result.json", "program.json", "analysis.json"):
        (folder / file).unlink()
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if '"type": "lm"' in line)
    journal.write_text("".join(lines[: last + 1]))
    asked = len(events(folder, "lm"))
    assert ipo(capfd, *resuming(folder)).code == 0  # its server is long gone
    assert len(events(folder, "lm")) == asked and not events(folder, "lm_error")
    assert load_result(folder).template == then.template
    assert (folder / "report.html").stat().st_size > 50_000


def test_it_opens_in_report_predict_and_export(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert ipo(capfd, "report", str(folder)).code == 0
    page = (folder / "report.html").read_text()
    assert load_result(folder).template.replace("<", "&lt;").replace(">", "&gt;") in page
    picture = next((PICTURES_DIR / "a" / "cat").iterdir())
    predicted = ipo(capfd, "predict", str(folder), str(picture), "--format", "jsonl")
    assert predicted.code == 0 and json.loads(predicted.out)["label"] in program(folder)["class_names"]
    assert ipo(capfd, "export", str(folder), "--to", "txt", "--out", str(tmp_path / "t.txt")).code == 0
    assert (tmp_path / "t.txt").read_text().strip() == load_result(folder).template
