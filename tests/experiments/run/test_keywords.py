"""What editors and type checkers know of the settings is what the settings are."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

from ipo_prompts.experiments.run.config import CHOSEN, RunConfig
from ipo_prompts.experiments.run.settings import RunKeywords
from ipo_prompts.programs.templates.settings import SearchKeywords, SearchSettings

NAMED = {"data", "start_from"}
"""What `ipo.optimize` names itself."""
CALLS = """
    import ipo_prompts as ipo

    ipo.optimize("folder:pets", shots=3, strategy="history", out="runs/a")
    ipo.optimize(strategy={"name": "history", "size": 3}, reward="mine:Mine", budget_usd=None, class_names={"a": "b"})
    ipo.IPO(steps=3, patience=None, strategy="compose")
    ipo.optimize(shotz=3)  # wrong
    ipo.optimize(shots="x")  # wrong
    ipo.optimize(offsets="median")  # wrong
    ipo.optimize(strategy=3)  # wrong
    ipo.IPO(stepz=3)  # wrong
    ipo.IPO(steps="x")  # wrong
    ipo.IPO(shots=3)  # wrong
"""


@pytest.mark.parametrize(("keywords", "model"), [(SearchKeywords, SearchSettings), (RunKeywords, RunConfig)])
def test_they_are_the_fields(keywords: type[Any], model: type[BaseModel]) -> None:
    given = get_type_hints(keywords)
    fields = {name: field.annotation for name, field in model.model_fields.items() if name not in NAMED}
    chosen = {name: str | annotation for name, annotation in fields.items() if name in CHOSEN}  # a bare name, too
    assert given == {**fields, **chosen}
    assert not keywords.__required_keys__


def test_a_type_checker_tells_wrong_calls_from_right_ones(tmp_path: Path) -> None:
    code = textwrap.dedent(CALLS).lstrip("\n")
    (tmp_path / "calls.py").write_text(code)
    root = Path(__file__).parents[3]
    # What mypy found out about the libraries is kept: it takes ten seconds, and the question itself none.
    kept = root / ".mypy_cache"
    command = [sys.executable, "-m", "mypy", f"--config-file={root / 'pyproject.toml'}", f"--cache-dir={kept}"]
    told = subprocess.run([*command, "calls.py"], cwd=tmp_path, capture_output=True, text=True)
    lines = {int(line.split(":")[1]) for line in told.stdout.splitlines() if ": error: " in line}
    assert lines == {number for number, line in enumerate(code.splitlines(), 1) if line.endswith("# wrong")}, told
