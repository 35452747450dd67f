"""The lab stands beside the product: it ships in no wheel, and nothing in the product needs it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("ipo_prompts", "signatures", "programs", "metrics", "experiments")


def test_the_product_imports_nothing_of_the_lab() -> None:
    files = [file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    for file in files:
        assert not re.search(r"^\s*(from|import) benchmarks", file.read_text("utf-8"), re.M), file


def test_no_wheel_holds_the_lab() -> None:
    assert not (ROOT / "ipo_prompts" / "benchmarks").exists()
