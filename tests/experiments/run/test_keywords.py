"""What editors and type checkers know of the settings is what the settings are."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from ipo_prompts.programs import keywords as written
from tools.keywords import keywords

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


def test_the_file_is_not_stale() -> None:
    assert Path(written.__file__).read_text(encoding="utf-8").rstrip() == keywords().rstrip(), (
        "run: python -m tools.keywords > programs/keywords.py"
    )


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
