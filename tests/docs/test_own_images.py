"""`docs/tutorial/own-images.md`, followed by a reader whose machine goes down during the search."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer
from support.pages import DOCS, follow
from support.runs import KEY, answered
from support.warm import command

KILLED = 137


def test_the_page_can_be_followed(
    desk: Path, server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with command(tmp_path) as warm:
        path = (str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"])
        monkeypatch.setenv("PATH", os.pathsep.join(path))

        def power_cut(asked: Asked) -> None:
            if asked.number == 3:
                warm.kill()

        server.on_request = power_cut
        page, outcomes = follow(DOCS / "tutorial/own-images.md", codes=(0, KILLED))
    _, check, quick, labels, exported, search, resumed = outcomes
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 0, 0, KILLED, 0]
    assert " can be used" in check.out
    assert "next: ipo optimize folder:pets --clip embedded --lm none" in check.out
    for row in re.findall(r"^\|`([a-z ]+)`\|", (DOCS / "tutorial/first-run.md").read_text("utf-8"), re.M):
        assert f"\n  {row}" in quick.out
    result = json.loads((desk / "runs" / "pets" / "result.json").read_text())
    assert result["template"] in quick.out and result["rows"][-1]["n"] == 30
    assert (desk / "runs" / "pets" / "report.html").stat().st_size > 1000
    rows = list(csv.DictReader(labels.out.splitlines()))
    assert [(row["image"], row["label"]) for row in rows] == [
        ("holiday/unknown.webp", page["program"](image="holiday/unknown.webp").label)
    ]
    assert page["program"].template == result["template"]
    assert any((desk / "pets-open-clip").iterdir()) and "wrote pets-open-clip" in exported.out
    assert "with at most" in search.out and "$0.0" in search.out and "nothing was asked yet" in search.out
    # The machine went down while the fourth question was under way: only that one was asked again.
    run = desk / "runs" / "pets-lm"
    result = json.loads((run / "result.json").read_text())
    assert result["lm"]["optimizer"]["calls"] == len(answered(run)) == len(server.asked) - 1
    assert 0 < result["lm"]["optimizer"]["usd"] < 0.5
    assert result["template"] in search.out + resumed.out
    assert KEY not in "\n".join(outcome.out + outcome.err for outcome in outcomes)
