"""The page on strategies runs as written, and its table is the registry's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.programs.search import SearchResult
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Known, may_know

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_the_strategy_of_the_page_searches(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, control = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(own.splitlines()) <= 40
    names: dict[str, Any] = {}
    exec(compile(own, str(PAGE), "exec"), names)
    found = names["found"]
    assert isinstance(found, SearchResult)
    assert (found.scored_only, found.proposed, found.ended) == (20, 10, "all 2 steps were done")
    assert found.choice.template in capsys.readouterr().out
    assert max(len(step.best.template.split()) for step in found.steps) >= 6  # words were added
    exec(compile(control, str(PAGE), "exec"), names)
    known = Known("pictures", found.history, labels=np.zeros(3, dtype=np.int64))
    assert may_know(names["control"], known).labels is None


def test_the_table_names_every_strategy_with_its_settings() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert list(rows)[: len(list(STRATEGIES))] == list(STRATEGIES)
    for name in STRATEGIES:
        settings = list(STRATEGIES.find(name).Settings.model_fields)
        told = re.findall(r"`(\w+)`", rows[name])
        assert told == settings or told == ["history"]
