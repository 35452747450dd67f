import numpy as np

from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate


def entry(template: str, value: float, loss: float = 1.0, step: int = 0) -> ScoredTemplate:
    hits = np.arange(100) < round(100 * value)
    return ScoredTemplate(Score(template, value, loss, hits, np.full(100, loss)), step, "test")


def filled() -> PromptHistory:
    history = PromptHistory(entry("a photo of a <CLASS>.", 0.30, step=-1))
    for i, value in enumerate([0.5, 0.1, 0.4, 0.2]):
        history.add(entry(f"template {i} <CLASS>", value))
    return history


def values(view: list[ScoredTemplate]) -> list[float]:
    return [e.value for e in view]


def test_view_is_worst_first_best_last() -> None:
    assert values(filled().view(10)) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_view_holds_the_best_k() -> None:
    assert values(filled().view(3)) == [0.3, 0.4, 0.5]


def test_view_always_holds_the_initial_template_in_its_place() -> None:
    assert values(filled().view(2)) == [0.3, 0.5]


def test_unpinned_view_lets_the_initial_template_fall_out() -> None:
    assert values(filled().view(2, pin_initial=False)) == [0.4, 0.5]


def test_floor_hides_but_keeps() -> None:
    history = filled()
    assert values(history.view(10, pin_initial=False, floor=0.2)) == [0.2, 0.3, 0.4, 0.5]
    assert values(history.view(10, floor=0.35)) == [0.3, 0.4, 0.5]  # where the search began is shown all the same
    assert len(history) == 5


def test_empty_view() -> None:
    assert filled().view(0) == []


def test_equal_accuracy_is_ordered_by_loss() -> None:
    history = filled()
    history.add(entry("lower loss <CLASS>", 0.5, loss=0.5))
    assert history.best.template == "lower loss <CLASS>"


def test_first_of_equals_is_best() -> None:
    history = filled()
    history.add(entry("same <CLASS>", 0.5))
    assert history.best.template == "template 0 <CLASS>"


def test_spellings_are_one_template() -> None:
    history = filled()
    assert not history.add(entry("A  photo of a <class>", 0.9))
    assert "a PHOTO of a <CLASS>" in history
    assert len(history) == 5


def test_an_entry_is_recorded_without_its_units() -> None:
    record = entry("a <CLASS>", 0.25, 2.5, step=3).record()
    assert record == {"template": "a <CLASS>", "value": 0.25, "loss": 2.5, "n": 100, "step": 3, "source": "test"}
