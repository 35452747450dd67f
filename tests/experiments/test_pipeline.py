"""Copies among the test images; what a run is recognised by; the larger limit with which a run is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.pipeline import larger_limit
from ipo_prompts.experiments.run import final_test
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import Plan, estimate
from ipo_prompts.experiments.run.prepared import Prepared, digest_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.clock import BudgetReached, Clock
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.lm.ledger import Ledger, Question


def test_test_images_that_searched_or_chose_are_counted(clip: Clip, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place in (f"{name}/{i}.png" for name in "abcd" for i in range(4)):
        (tmp_path / "one" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "one" / place)
    store = FeatureStore(clip, tmp_path / "cache")
    drawn = draw(load_data(f"folder:{tmp_path / 'one'}", seed=0), 1, 1, 0)
    planned: Any = SimpleNamespace(drawn=drawn)
    nothing: Any = None
    prepared = Prepared(planned, nothing, store, nothing, nothing, nothing, 0)
    assert final_test.copies_of(prepared) == 0
    planned.drawn = replace(drawn, test=(*drawn.test, *drawn.val, *drawn.train[:1]))
    assert final_test.copies_of(prepared) == len(drawn.val) + 1


def test_the_digest_of_images_changes_with_their_classes_their_labels_and_their_part() -> None:
    def digest(*parts: Any, names: Any = ("cat", "dog"), new: Any = ()) -> str:
        drawn: Any = SimpleNamespace(class_names=names, new_class_names=new)
        return digest_of(drawn, *parts)

    def item(image: str, label: int = 0) -> Any:
        return SimpleNamespace(image=LazyImage.from_bytes("given", image.encode()), label=label)

    one, other = item("one"), item("other")
    found = [
        digest([one], [other]),
        digest([one, other], []),
        digest([other], [one]),
        digest([item("one", 1)], [other]),
        digest([one], [other], names=("cat", "fox")),
        digest([one], [other], new=("bus",)),
    ]
    assert len(set(found)) == len(found)
    assert digest([item("one")], [item("other")]) == found[0]


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
    config, drawn = RunConfig(**limit), SimpleNamespace(train=[None] * 9, class_names=("cat", "dog"))
    drawn.val = drawn.test = drawn.new_test = ()
    about: Any = SimpleNamespace(task="pictures of pets", read=frozenset())
    planned = Plan(config, about, cast("Any", drawn), None, None)
    clock = Clock(config.max_minutes, before=60.0)
    ledger = Ledger(limit_usd=config.budget_usd, limit_tokens=config.budget_tokens, clock=clock)
    with pytest.raises(BudgetReached) as reached:
        ledger.take(Question(key="k", role="optimizer", model="m", tokens_in=501, tokens_out=0, usd=1.0))
    key = reached.value.limit
    assert (key, larger_limit(planned, reached.value)) == larger
    # With a language model, it is enough to end, too: the forecast of the dry run.
    asked = replace(planned, optimizer=Backend("model", None, lambda tokens_in, out: 1e-3 * (tokens_in + out)))
    whole = estimate(asked)
    enough = {"budget_usd": whole["usd"], "budget_tokens": whole["tokens"], "max_minutes": larger[1]}[key]
    assert larger[1] <= enough == pytest.approx(larger_limit(asked, reached.value), abs=1e-4)
