"""What `python -m tools.size` counts, on small checkouts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.size import circles, read, report
from tools.walk import walk

ROOT = Path(__file__).parents[2]


def write(folder: Path, files: dict[str, str]) -> list[str]:
    """Write files and the `setup.py` that names their package; return their names."""
    files = {"setup.py": 'package_dir = {"our": "package"}\n', **files}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(files)


def test_docstrings_comments_and_blank_lines_are_no_code(tmp_path: Path) -> None:
    source = '''"""A file,
told in two lines."""

import os  # a comment beside code

# a comment alone
LIMIT = 3
"""What a constant means."""
TEXT = """one

three"""


class Thing: """On the line of its class."""


def _hidden() -> int:
    """Return."""

    async def inner() -> None:
        """Nothing."""
        return None

    return os.getpid(
    )
'''
    (tmp_path / "a.py").write_text(source)
    file = read(tmp_path / "a.py")
    assert (file.lines, file.code, file.statements) == (len(source.splitlines()), 11, 8)
    assert file.defines == ("Thing",) and file.imports == {"os"}


def test_rooms_are_added_up_and_tests_stand_apart(tmp_path: Path) -> None:
    files = {"rooms/a/deep/one.py": "x = 1\n", "rooms/top.py": "x = 1\ny = 2\n\n", "tests/test_a.py": "def f(): ...\n"}
    names = write(tmp_path, {**files, "rooms/a/page.j2": "<p>\n\n</p>\n", "rooms/read.md": "No source.\n"})
    assert [row for row in report(tmp_path, [*names, "rooms/gone.py"]) if row.startswith("| ")][2:7] == [
        "| `rooms/` | 1 | 2 | 2 | 0 | `rooms/top.py` 3 | 3 |",
        "| `rooms/a` | 1 | 1 | 1 | 2 | `rooms/a/deep/one.py` 1 | 1 |",
        "| **all of `rooms`** | 2 | 3 | 3 | 2 | `rooms/top.py` 3 | 2 |",
        "| **all** | 2 | 3 | 3 | 2 | `rooms/top.py` 3 | 2 |",
        "| `tests`, apart | 1 | 2 | 1 | 0 | `tests/test_a.py` 1 | 1 |",
    ]


def test_core_leaves_lab_and_examples_are_counted_side_by_side(tmp_path: Path) -> None:
    files = {
        "programs/search.py": "x = 1\n",
        "programs/naming.py": "x = 1\ny = 2\n",
        "experiments/compare/deep/grid.py": "x = 1\n",
        "experiments/compare/deep/grids.yaml": "a: 1\n",
        "benchmarks/speed.py": "x = 1\ny = 2\nz = 3\n",
        "benchmarks/tests/test_speed.py": "x = 1\n",
        "examples/own.py": "x = 1\n",
        "examples/tests/test_own.py": "x = 1\n",
        "tests/test_a.py": "x = 1\n",
    }
    said = "\n".join(report(tmp_path, write(tmp_path, files)))
    assert said.split("\n\n")[1].splitlines()[2:] == [
        "| core | 1 | 1 |",
        "| leaves | 2 | 3 |",
        "| lab | 1 | 3 |",
        "| examples | 1 | 1 |",
        "| product, lab and examples | 5 | 8 |",
    ]


def test_names_circles_and_single_importers_are_told(tmp_path: Path) -> None:
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from our.high.b import Row\n"
    files = {
        "package/__init__.py": "from our.low import deep\n",
        "low/deep/__init__.py": "",
        "low/deep/a.py": f"{for_types}class Row: ...\ndef _late(): ...\n",
        "high/b.py": "def _late():\n    import our.low.deep.a\nclass Row:\n    def late(self): ...\n",
        "high/c.py": "from our.high import b\nfrom our.low.deep.a import Row\nimport other.high.c\n",
        "tests/test_c.py": "from our.high import c\nclass Row: ...\n",
    }
    said = "\n".join(report(tmp_path, write(tmp_path, files)))
    assert "**Names that several files define: 1.** `Row` (high/b.py, low/deep/a.py)\n" in said
    assert "**Circles of imports among files: 1.** high/b.py, low/deep/a.py\n" in said
    assert "**Circles of imports among rooms: 1.** high/, low/deep\n" in said
    assert said.endswith("one other imports: 1.** low/deep/__init__.py (by package/__init__.py)")


def test_a_circle_is_what_can_be_reached_both_ways() -> None:
    edges = {"a": "b", "b": "c", "c": "a", "d": "ae", "e": "d", "f": "f"}
    assert circles(edges) == [["a", "b", "c"], ["d", "e"]]


def test_the_way_of_a_call_is_followed_through_files_not_loops_or_imports(tmp_path: Path) -> None:
    files = {
        "experiments/cli/app.py": "from our.experiments.pipeline import run_job\ndef main(words): run_job()\n",
        "experiments/pipeline.py": """
from our.low.a import first, second
def run_job():
    for _ in range(3):
        first()
    from our.low.c import ready
    sorted([1], key=second)
    from our.programs.search import search
    search()
    first()
first()
""",
        "low/a.py": """
from our.low import b
def first():
    b.one()
    here()
def here(): ...
def second(x): return x
""",
        "low/b.py": "def one(): ...\n",
        "low/c.py": "from our.low.b import one\nready = one()\n",
        "programs/search.py": "def search(): ...\n",
    }
    packages = ("package", "experiments", "experiments/cli", "experiments/run", "low", "programs")
    write(tmp_path, files | {f"{name}/__init__.py": "" for name in packages})
    # pipeline, a, b, back in a, back in pipeline, a by another call, and back in pipeline
    assert walk(tmp_path).strip().split("\n\n") == [
        f"**{which}: 7 stays in 3 files, 4 returns.** From a call: 3; by another call: 1. "
        "Most often: experiments/pipeline.py 3, low/a.py 3, low/b.py 1"
        for which in ("The first 110 stays of a job", "Until it searches")
    ]


def test_a_revision_is_measured_without_a_checkout(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, check=True, text=True).stdout

    def size(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tools.size", str(tmp_path), *words], cwd=ROOT, capture_output=True, text=True
        )

    write(tmp_path, {"rooms/a.py": "x = 1\n"})
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "One file")
    write(tmp_path, {"rooms/b.py": "x = 1\n"})
    assert "| `rooms/` | 2 |" in size().stdout
    assert "| `rooms/` | 1 |" in size("--at", "HEAD").stdout
    assert git("status", "--short") == "?? rooms/b.py\n"
    wrong = size("--at", "nothing")
    assert wrong.returncode and wrong.stderr == "fatal: not a valid object name: nothing\n"
