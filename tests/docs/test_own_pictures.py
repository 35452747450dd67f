"""`docs/tutorial/own-pictures.md`, followed by a reader whose machine goes down during the search."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from support.openai_server import Asked, OpenAIServer
from support.pages import DOCS, Outcome, follow
from support.runs import KEY, events
from support.warm import command

PETS = ("cat", "chicken", "dog", "fish", "rabbit", "turtle")
KILLED = 137


def test_the_page_can_be_followed(
    desk: Path, server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PETS:
        shutil.copytree(PICTURES_DIR / "a" / name, desk / "pets" / name)
    with command(tmp_path) as warm:
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

        def power_cut(asked: Asked) -> None:
            if asked.number == 3:
                warm.kill()

        server.on_request = power_cut
        page, outcomes = follow(DOCS / "tutorial/own-pictures.md", codes=(0, KILLED))
    quick, check, forecast, search, resumed, report, labels, exports, tracked = outcomes
    assert "preview-folder-pets.png: 18 train pictures of 6 of 6 classes" in quick.out
    assert (desk / "runs" / "pets-none" / "report.html").is_file()
    assert "all pictures can be used" in check.out
    assert "scored: 18 pictures that a run would search on and 12 that it would choose its winner with" in check.out
    assert "next: ipo optimize folder:pets --clip embedded --lm none" in check.out
    assert "with at most" in forecast.out and "$0.0" in forecast.out and "nothing was asked yet" in forecast.out
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, KILLED, 0, 0, 0, 0, 0]
    # The machine went down while the fourth question was under way: only that one was asked again.
    run = desk / "runs" / "pets"
    result = json.loads((run / "result.json").read_text())
    assert result["lm"]["optimizer"]["calls"] == len(events(run, "lm")) == len(server.asked) - 1
    assert 0 < result["lm"]["optimizer"]["usd"] < 0.5
    assert result["template"] in search.out + resumed.out
    assert json.loads(report.out[report.out.index("{") :]) == result
    assert result["scores"]["test"]["optimised"]["n"] == 30
    assert (run / "report.html").stat().st_size > 1000
    rows = list(csv.DictReader(labels.out.splitlines()))
    assert [(row["picture"], row["label"]) for row in rows] == [
        ("holiday/unknown.webp", page["program"](image="holiday/unknown.webp").label)
    ]
    assert page["program"].template == result["template"]
    assert (desk / "pets-head" / "head.json").is_file() and any((desk / "pets-open-clip").iterdir())
    assert "wrote pets-head" in exports.out
    # The tracked run had all its replies from the first.
    again = json.loads((desk / "runs" / "pets-wandb" / "result.json").read_text())
    assert again["template"] == result["template"]
    assert again["lm"]["optimizer"]["cached"] == result["lm"]["optimizer"]["calls"]
    assert "wandb sync" in tracked.out + tracked.err
    assert KEY not in text(outcomes)


def text(outcomes: list[Outcome]) -> str:
    return "\n".join(outcome.out + outcome.err for outcome in outcomes)
