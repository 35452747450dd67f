"""The examples in docstrings run as they are written. One marked `+SKIP` is only to be read."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from support.openai_server import OpenAIServer

ROOT = Path(__file__).parents[2]
PACKAGES = ("signatures", "programs", "metrics", "experiments")
_RUNS = re.compile(r"^ *>>> (?!.*# doctest: \+SKIP)", re.MULTILINE)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.REPORT_ONLY_FIRST_FAILURE


def with_examples() -> list[str]:
    """Name the modules that hold examples to run, found without importing any."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = [file for file in files if _RUNS.search(file.read_text(encoding="utf-8"))]
    names = [".".join(("ipo_prompts", *file.relative_to(ROOT).with_suffix("").parts)) for file in found]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("name", with_examples())
def test_the_examples_run(name: str, desk: Path, server: OpenAIServer, small_weights: None) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert outcome.attempted > 0
    assert outcome.failed == 0
