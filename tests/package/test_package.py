"""`ipo_prompts` itself: what it offers, that importing it is light, that it is installed with what lies below it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ipo_prompts as ipo

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "dspy", "litellm", "datasets", "open_clip", "PIL.Image", "scipy", "numpy", "pydantic")


def python(*words: str, cwd: Path | None = None, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python; modules below `first` come before what is installed."""
    command = [sys.executable, *words]
    if first:
        command[1:2] = ["-c", f"import sys; sys.path.insert(0, {str(first)!r}); {words[1]}"]
        command = command[:3]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=cwd)


def test_every_public_name_is_there() -> None:
    assert {name: getattr(ipo, name).__name__ for name in ipo.__all__} == {name: name for name in ipo.__all__}
    assert {*dir(ipo)} == {*ipo.__all__, "IPOClassifier"}
    with pytest.raises(AttributeError, match="module 'ipo_prompts' has no attribute 'optimise'"):
        ipo.optimise  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import json, sys, ipo_prompts as i; i.InputError; print(json.dumps([*{*sys.argv[1:]} & {*sys.modules}]))"
    assert json.loads(python("-c", script, *HEAVY).stdout) == []


def test_it_is_the_command_line_too() -> None:
    assert "Usage: ipo [OPTIONS] COMMAND" in python("-m", "ipo_prompts", "--help").stdout


def test_it_is_installed_with_what_lies_below_it(tmp_path: Path) -> None:
    built = tmp_path / "lib"
    words = ("-q", "egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(built))
    python("-c", "import setuptools; setuptools.setup()", *words, cwd=ROOT)
    assert {path.name for path in (built / "ipo_prompts").iterdir()} == {
        *("__init__.py", "__main__.py", "py.typed"),
        *("signatures", "programs", "metrics", "experiments", "docs"),
    }
    for shipped in ("report/notebook.html.j2", "report/colours.css"):
        assert (built / "ipo_prompts/experiments" / shipped).is_file()
    script = (
        "import ipo_prompts as i, ipo_prompts.metrics.errors as e; "
        "print(i.__file__, e.__file__, i.InputError is e.InputError)"
    )
    found = python("-c", script, cwd=tmp_path, first=built).stdout.split()
    assert found == [str(built / "ipo_prompts/__init__.py"), str(built / "ipo_prompts/metrics/errors.py"), "True"]
