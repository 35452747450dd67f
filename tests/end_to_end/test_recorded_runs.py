"""Recorded runs (`tests/recorded/`): they replay to the same result, resume, and open everywhere.

`python -m tools.recorded` makes them again after a change of what is written. Their replies stay as they were recorded.

Among them: the paper's history with a small local model, without history; an API model with a
multimodal describer, one from base classes to new ones, one that holds nothing back; and one that a budget had stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.run.result import load_result
from support.runs import KEY, events, ipo, program, result, resuming

RECORDED = Path(__file__).parents[1] / "recorded"
NAMES = sorted(folder.name for folder in RECORDED.iterdir())


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images are encoded once for all of them; nobody's own features or replies are met."""
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


def searched(folder: Path) -> dict[Any, dict[str, Any]]:
    """Return what a journal says of the search and the test, once where a session said it again.

    Without the clock.
    """
    found = events(folder, "descriptions", "scores", "test", "new")
    facts = [{key: value for key, value in event.items() if key != "seconds"} for event in found]
    return {(fact["type"], fact.get("kind"), fact.get("step")): fact for fact in facts}


@pytest.mark.parametrize("name", NAMES)
def test_it_replays_to_the_same_templates_and_scores(
    name: str, light: None, capfd: pytest.CaptureFixture[str], out: Path
) -> None:
    recorded = RECORDED / name
    words = [str(recorded / "config.yaml"), "--lm", f"replay/{recorded}", "--out", str(out)]
    if load_result(recorded).lm.describer:
        words += ["--describer", f"replay/{recorded}"]
    assert ipo(capfd, "optimize", *words).code == 0
    assert result(out) == near(result(recorded))
    assert searched(out) == near(searched(recorded))
    new, old = program(out), program(recorded)
    assert {**new, "metadata": None} == near({**old, "metadata": None})  # the versions of Python and of libraries


@pytest.fixture(params=["api-code", "api-paper-base-to-new"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recorded run that may be changed."""
    return Path(shutil.copytree(RECORDED / request.param, tmp_path / "run"))


def test_a_killed_one_resumes_without_asking_anything_again(
    folder: Path, light: None, capfd: pytest.CaptureFixture[str]
) -> None:
    then = load_result(folder)
    for file in ("result.json", "program.json", "analysis.json"):
        (folder / file).unlink()
    journal, asked = folder / "journal.jsonl", (folder / "replies.jsonl").read_bytes()
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: len(lines) // 2]))
    assert ipo(capfd, *resuming(folder)).code == 0  # its server is long gone
    assert (folder / "replies.jsonl").read_bytes() == asked
    assert load_result(folder).template == then.template
    assert (folder / "report.html").stat().st_size > 30_000


def test_it_opens_in_report_predict_and_export(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert ipo(capfd, "report", str(folder)).code == 0
    page = (folder / "report.html").read_text()
    assert load_result(folder).template.replace("<", "&lt;").replace(">", "&gt;") in page
    image = next((IMAGES_DIR / "a" / "cat").iterdir())
    predicted = ipo(capfd, "predict", str(folder), str(image), "--format", "jsonl")
    assert predicted.code == 0 and json.loads(predicted.out)["label"] in program(folder)["class_names"]
    assert ipo(capfd, "export", str(folder), "--to", "program.json", "--out", str(tmp_path / "t.json")).code == 0
