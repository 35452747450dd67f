"""Reading a run directory: what is wrong with it is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.report.page import read_run
from ipo_prompts.metrics.errors import InputError
from support.report_files import change_json
from support.runs import lines_of


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run directory: it has no journal\.jsonl"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "analysis.json"])
def test_a_run_that_is_not_done_is_to_be_resumed(run_folder: Path, name: str) -> None:
    (run_folder / name).unlink()
    with pytest.raises(InputError, match=rf"no {name}; resume it with `ipo optimize --resume {run_folder} lm="):
        read_run(run_folder)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("result.json", '{"schema": 4,', "result.json is not JSON .*; `ipo optimize --resume .*` writes it again"),
        ("result.json", "[]", "not have the form that this version reads"),
        ("result.json", '{"schema": 4}', r"not have the form .*\(template: field required\)"),
        ("result.json", '{"schema": 4, "rows": 3}', "not have the form"),
        ("result.json", '{"schema": [1]}', "was written by another version of ipo"),
        ("result.json", '{"schema": 2}', "result.json was written by another version of ipo; start a new run"),
        ("journal.jsonl", '{"type": "scores"\n', "damaged in line 1"),
        ("journal.jsonl", lines_of({"type": "given", "seconds": 1}), "was never begun"),
        ("analysis.json", "{", "analysis.json is not JSON .*; remove it, then `ipo optimize --resume .*` makes it"),
        ("analysis.json", '{"schema": 3}', r"\(search: field required\); remove it"),
        ("analysis.json", '{"schema": 3, "words": {"changes": 3}}', "not have the form .*; remove it"),
        ("analysis.json", '{"schema": 2}', "was written by another version of ipo; remove it"),
        ("result.json", "\udcff", "result.json is not JSON in UTF-8"),
    ],
)
def test_a_broken_file_is_named(run_folder: Path, name: str, content: str, expected: str) -> None:
    (run_folder / name).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=expected):
        read_run(run_folder)


def test_a_run_without_test_scores(run_folder: Path) -> None:
    def drop(result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "rows": [row for row in result["rows"] if row["part"] != "test"]}

    change_json(run_folder / "result.json", drop)
    with pytest.raises(InputError, match="no rows of the test images"):
        read_run(run_folder)


@pytest.mark.parametrize("thumbnail", ["https://example.org/x.jpg", "data:image/svg+xml;base64,PHN2Zz4=", "x"])
def test_a_thumbnail_is_an_image_and_nothing_else(analysed: Path, thumbnail: str) -> None:
    found = json.loads((analysed / "analysis.json").read_text())
    found["flips"]["gained"][0]["thumbnail"] = thumbnail
    (analysed / "analysis.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"flips\.gained\.0\.thumbnail"):
        read_run(analysed)
