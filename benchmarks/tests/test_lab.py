"""The lab stands beside the product: it ships in no wheel, and nothing in the product needs it."""

from __future__ import annotations

from pathlib import Path

from tools.size import read

ROOT = Path(__file__).parents[2]
PRODUCT = ("package", "signatures", "programs", "metrics", "experiments")


def test_the_product_imports_nothing_of_the_lab() -> None:
    files = [file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    for file in files:
        assert not {name for name in read(file).imports if name.partition(".")[0] == "benchmarks"}, file


def test_no_wheel_holds_the_lab() -> None:
    assert "benchmarks" not in (ROOT / "setup.py").read_text("utf-8")
