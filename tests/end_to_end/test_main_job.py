"""The main command, as a person types it: a real local language model, the real CLIP, real images, one process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.runs import answered


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_weights: None
) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("run") / "run"
    command = [
        sys.executable,
        "-m",
        "ipo_prompts.experiments.cli.app",
        "optimize",
        "--lm",
        "local/small",
        "--steps",
        "2",
    ]
    done = subprocess.run([*command, "--out", str(folder), "candidates_per_step=3"], capture_output=True, text=True)
    return done, folder


def test_it_ends_well_and_says_what_it_found(finished: tuple[Any, Path]) -> None:
    done, folder = finished
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text())
    for needed in (result["template"], "test", "in all", "next: ipo predict"):
        assert needed in done.stdout
    assert "Traceback" not in done.stderr


def test_the_run_directory_is_complete(finished: tuple[Any, Path]) -> None:
    files = {file.name for file in finished[1].iterdir()}
    expected = {"config.yaml", "journal.jsonl", "program.json", "result.json", "search.svg", "environment.json"}
    assert expected <= files
    assert not [name for name in files if name.endswith(".part")]


def test_the_result_has_the_stable_form(finished: tuple[Any, Path]) -> None:
    result = json.loads((finished[1] / "result.json").read_text())
    assert result["schema"] == 4
    assert result["templates_scored"] <= 1 + 2 * 3
    for part in ("train", "val", "test"):
        row = next(row for row in result["rows"] if (row["part"], row["what"]) == (part, "template"))
        for which in ("before", "after"):
            low, high = row[which]["ci95"]
            assert 0 <= low <= row[which]["value"] <= high <= 1
        p = row["difference"]["p"]
        assert 0 <= p <= 1 if part == "test" else p is None
    seconds = result["seconds"]
    assert sum(value for name, value in seconds.items() if name != "total") == pytest.approx(seconds["total"], abs=0.3)
    assert result["lm"]["optimizer"]["usd"] == 0
    assert result["lm"]["describer"] is None


def test_what_the_model_saw_and_said_is_in_the_journal(finished: tuple[Any, Path]) -> None:
    events = [json.loads(line) for line in (finished[1] / "journal.jsonl").read_text().splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert kinds.index("test") > max(i for i, kind in enumerate(kinds) if kind == "scores")
    last = answered(finished[1])[-1].messages[-1][1]
    assert "The pictures look like: " in last
    scored = [s["template"] for e in events if e["type"] == "scores" and e["kind"] == "train" for s in e["scores"]]
    assert len(scored) == len({template.casefold() for template in scored})


def test_the_program_labels_images(finished: tuple[Any, Path]) -> None:
    from ipo_prompts.experiments.embedded import IMAGES_DIR

    image = next((IMAGES_DIR / "a").rglob("*.webp"))
    command = [
        sys.executable,
        "-m",
        "ipo_prompts.experiments.cli.app",
        "predict",
        str(finished[1]),
        str(image),
        "--format",
        "jsonl",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert row["label"] == max(row["scores"], key=row["scores"].get)
