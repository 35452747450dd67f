"""Files of a run directory, written and read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from ipo_prompts.experiments.run.files import Content, read_model, write_json, write_text
from ipo_prompts.metrics.errors import InputError


class Form(Content):
    version: Literal[3] = Field(default=3, alias="schema")
    name: str
    ends: tuple[float, float] = (0.0, 1.0)


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", Form(name="ein schönes ☃", ends=(0.25, 0.5)))
    assert read_model(Form, tmp_path / "x.json") == Form(name="ein schönes ☃", ends=(0.25, 0.5))
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "schema": 3,
        "name": "ein schönes ☃",
        "ends": [0.25, 0.5],
    }


def test_a_file_is_written_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"template": "a ☃ <CLASS>"})
    write_json(tmp_path / "result.json", {"template": "ein schönes <CLASS>"})
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    assert "schönes" in (tmp_path / "result.json").read_text(encoding="utf-8")


def test_a_failed_write_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "result.json", "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"cannot write .*result\.json: No space left on device; make room"):
        write_text(tmp_path / "result.json", "new")
    assert (tmp_path / "result.json").read_text() == "old"
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(InputError, match=r"make room, then `ipo optimize --resume .*`, or choose another --out\.$"):
        write_text(tmp_path / "result.json", "new")
