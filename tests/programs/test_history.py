import random

from ipo.programs.history import PromptHistory, ScoredTemplate


def entry(template: str, accuracy: float, loss: float = 1.0, step: int = 0) -> ScoredTemplate:
    return ScoredTemplate(template, accuracy, loss, 100, step, "test")


def filled(**options: object) -> PromptHistory:
    history = PromptHistory(entry("a photo of a <CLASS>.", 0.30, step=-1), **options)  # type: ignore[arg-type]
    for i, accuracy in enumerate([0.5, 0.1, 0.4, 0.2]):
        history.add(entry(f"template {i} <CLASS>", accuracy))
    return history


def accuracies(view: list[ScoredTemplate]) -> list[float]:
    return [e.accuracy for e in view]


def test_view_is_worst_first_best_last() -> None:
    assert accuracies(filled().view(10)) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_view_holds_the_best_k() -> None:
    assert accuracies(filled().view(3)) == [0.3, 0.4, 0.5]


def test_view_always_holds_the_initial_template_in_its_place() -> None:
    assert accuracies(filled().view(2)) == [0.3, 0.5]


def test_unpinned_view_lets_the_initial_template_fall_out() -> None:
    assert accuracies(filled(pin_initial=False).view(2)) == [0.4, 0.5]


def test_floor_hides_but_keeps() -> None:
    history = filled(pin_initial=False, floor=0.2)
    assert accuracies(history.view(10)) == [0.2, 0.3, 0.4, 0.5]
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


def test_line_shows_percent_and_loss() -> None:
    assert entry("a <CLASS>", 0.12345, 2.71828).line() == "accuracy 12.35 %, loss 2.7183: a <CLASS>"


def test_shuffled_scores_change_hands_and_nothing_else_does() -> None:
    history = filled()
    mixed = history.shuffled(random.Random(1))
    assert [e.template for e in mixed] == [e.template for e in history]
    assert sorted(e.accuracy for e in mixed) == sorted(e.accuracy for e in history)
    assert [e.accuracy for e in mixed] != [e.accuracy for e in history]
    assert mixed.view(10) == history.shuffled(random.Random(1)).view(10)
    assert mixed.initial.template == history.initial.template and mixed.initial in mixed.view(2)
