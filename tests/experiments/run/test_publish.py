"""How many runs of a folder opened the same sealed pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipo.experiments.run import publish
from ipo.programs.record.journal import Journal


def _beside(folder: Path, name: str, content: str) -> None:
    (folder / name).mkdir()
    (folder / name / "result.json").write_text(content)


def test_openings_are_those_of_runs_beside_this_one_and_stay_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "sealed_digest", lambda prepared: "d1gest")
    prepared: Any = None
    _beside(tmp_path, "same", '{"sealed": {"digest": "d1gest"}}')
    _beside(tmp_path, "other", '{"sealed": {"digest": "another"}}')
    journal = Journal(tmp_path / "this")
    assert publish._sealed(prepared, journal).opened == 2
    journal.close()
    _beside(tmp_path, "later", '{"sealed": {"digest": "d1gest"}}')
    (tmp_path / "this" / "result.json").write_text('{"sealed": {"digest": "d1gest"}}')
    journal = Journal(tmp_path / "this")
    assert publish._sealed(prepared, journal).opened == 2
    journal.close()
