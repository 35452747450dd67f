"""What a run that a limit stopped is resumed with."""

from __future__ import annotations

from typing import Any

import pytest

from ipo_prompts.experiments.pipeline import larger_limit
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.clock import BudgetReached, Clock
from ipo_prompts.programs.lm.ledger import Ledger, Question


@pytest.mark.parametrize(
    ("limit", "larger"),
    [
        ({"budget_usd": 0.25}, ("budget_usd", 1.0)),
        ({"budget_usd": 0.75}, ("budget_usd", 1.5)),
        ({"budget_tokens": 100}, ("budget_tokens", 501)),
        ({"budget_tokens": 500}, ("budget_tokens", 1000)),
        ({"max_minutes": 0.2}, ("max_minutes", 0.4)),
    ],
)
def test_it_is_twice_what_is_used_up_and_enough_to_go_on(limit: dict[str, Any], larger: tuple[str, float]) -> None:
    config = RunConfig(**limit)
    seconds = None if config.max_minutes is None else 60 * config.max_minutes
    clock = Clock(seconds, before=60.0)
    ledger = Ledger(limit_usd=config.budget_usd, limit_tokens=config.budget_tokens, clock=clock)
    with pytest.raises(BudgetReached) as reached:
        ledger.take(Question(key="k", role="optimizer", model="m", tokens_in=501, tokens_out=0, usd=1.0))
    key = reached.value.limit
    assert (key, larger_limit(config, key, reached.value.needed)) == larger
