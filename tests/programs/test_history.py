"""The history: what is best, what is shown, and which texts are one template."""

from typing import Any

import pytest

from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.history import History
from support.scored import history, scored


def filled() -> History:
    return history({BASELINE: 0.3, "one <CLASS>": 0.5, "two <CLASS>": 0.1, "three <CLASS>": 0.4, "four <CLASS>": 0.2})


@pytest.mark.parametrize(
    ("k", "shown", "values"),
    [
        (10, {}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (3, {}, [0.3, 0.4, 0.5]),
        (2, {}, [0.3, 0.5]),  # the initial template has its place
        (2, {"pin_initial": False}, [0.4, 0.5]),
        (10, {"pin_initial": False, "floor": 0.2}, [0.2, 0.3, 0.4, 0.5]),
        (10, {"floor": 0.35}, [0.3, 0.4, 0.5]),
        (0, {}, []),
    ],
)
def test_the_best_are_shown_best_last(k: int, shown: dict[str, Any], values: list[float]) -> None:
    assert [one.value for one in filled().view(k, **shown)] == values


def test_of_equal_values_the_lower_loss_is_best_and_then_the_first() -> None:
    found = filled()
    found.add(scored("same <CLASS>", 0.5, 0.8))
    assert found.best.template == "one <CLASS>"
    found.add(scored("lower loss <CLASS>", 0.5, 0.5))
    assert [one.template for one in found.ranked()[:3]] == ["lower loss <CLASS>", "one <CLASS>", "same <CLASS>"]


def test_spellings_are_one_template() -> None:
    found = filled()
    found.add(scored("A  photo of a <class>", 0.9, 0.4))
    assert "a PHOTO of a <CLASS>" in found and len(found) == 5 and found.best.value == 0.5


def test_a_proposed_template_is_recorded_without_its_units() -> None:
    assert scored("a <CLASS>", 0.25, 2.5, step=3).record() == {
        **{"template": "a <CLASS>", "value": 0.25, "loss": 2.5, "n": 100, "step": 3},
        "source": "language model",
    }
