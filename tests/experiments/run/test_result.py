from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ipo.experiments.run.result import comparison, usage_record, write_json, write_text
from ipo.metrics.errors import InputError
from ipo.metrics.reward import Score
from ipo.programs.lm.ledger import Usage


def score(hits: list[int], template: str = "a <CLASS>", loss: float = 0.1234567891) -> Score:
    right = np.array(hits, dtype=bool)
    return Score(template, float(right.mean()), loss, right, np.full(len(hits), loss), right.astype(np.int64))


def test_a_comparison_holds_both_and_the_difference() -> None:
    found = comparison(score([1, 0, 0, 1, 0, 0]), score([1, 1, 0, 1, 1, 0], "the <CLASS>"), None)
    assert (found["initial"]["accuracy"], found["optimised"]["accuracy"]) == (0.333333, 0.666667)
    assert found["initial"]["n"] == 6
    assert found["initial"]["loss"] == 0.123457
    assert found["difference"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    low, high = found["difference"]["ci95"]
    assert low <= found["difference"]["mean"] <= high
    assert 0 <= found["difference"]["p"] <= 1
    json.dumps(found, allow_nan=False)


def test_a_template_does_not_differ_from_itself() -> None:
    difference = comparison(score([1, 0, 1]), score([1, 0, 1]), None)["difference"]
    assert (difference["mean"], difference["ci95"], difference["p"]) == (0, [0, 0], 1)


@pytest.mark.parametrize("hits", [[1], [0], [1, 1, 1], [0, 0, 0]])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("other", ["a <CLASS>", "the <CLASS>"])
def test_the_edges_are_still_json_without_nan(hits: list[int], grouped: bool, other: str) -> None:
    groups = ["only"] * len(hits) if grouped else None
    found = comparison(score(hits), score(hits, other), groups)
    json.dumps(found, allow_nan=False)
    assert found["difference"]["mean"] == 0


def test_usage_is_worded_for_the_result() -> None:
    assert usage_record(None) is None
    usage = Usage("openai/x")
    usage.add(tokens_in=10, tokens_out=5, usd=0.00012345678, seconds=1, cached=False)
    usage.add(tokens_in=0, tokens_out=0, usd=0, seconds=0, cached=True)
    assert usage_record(usage) == {
        "name": "openai/x",
        "calls": 2,
        "cached": 1,
        "tokens_in": 10,
        "tokens_out": 5,
        "usd": 0.000123,
    }
    usage.add(tokens_in=1, tokens_out=1, usd=None, seconds=1, cached=False)
    assert (usage_record(usage) or {})["usd"] is None


def test_a_file_is_written_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"template": "a ☃ <CLASS>"})
    write_json(tmp_path / "result.json", {"template": "ein schönes <CLASS>"})
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    assert "schönes" in (tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["template"] == "ein schönes <CLASS>"


def test_a_failed_write_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "result.json", "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"cannot write .*result\.json: No space left on device; make room"):
        write_text(tmp_path / "result.json", "new")
    assert (tmp_path / "result.json").read_text() == "old"


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; make room or choose another --out"):
        write_text(tmp_path / "gone" / "x", "text")
