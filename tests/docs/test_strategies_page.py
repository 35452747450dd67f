"""The page on strategies runs as written, and the table is the registry's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.programs.search import SearchResult
from ipo_prompts.programs.strategies import STRATEGIES
from support.pages import DOCS, blocks
from support.runs import ipo

PAGE = DOCS / "how-to/strategies.md"


def test_the_strategy_of_the_page_searches(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dry, own, command, use = (block.text for block in blocks(PAGE))
    assert "import" not in own and len(own.strip().splitlines()) <= 10
    Path("add_words.py").write_text(own, encoding="utf-8")
    for line in [*dry.splitlines(), *command.splitlines()]:
        assert ipo(capfd, *line.split()[1:]).code == 0
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(own + use, str(PAGE), "exec"), names)
    found = names["found"]
    assert isinstance(found, SearchResult)
    assert (found.scored_only, found.proposed, found.ended) == (16, 10, "all 2 steps were done")
    assert found.choice.template in capfd.readouterr().out
    assert max(len(step.best.template.split()) for step in found.steps) >= 6  # words were added


def test_the_table_names_every_strategy_with_its_settings() -> None:
    rows = dict(re.findall(r"^\|`([\w-]+)`\|[^|]+\|([^|]+)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert list(rows)[: len(list(STRATEGIES))] == list(STRATEGIES)
    for name in STRATEGIES:
        settings = list(STRATEGIES.find(name).Settings.model_fields)
        told = re.findall(r"`(\w+)`", rows[name])
        assert told == settings or told == ["history"]
