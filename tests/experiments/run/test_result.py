from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.run.comparison import compare, verdict
from ipo_prompts.experiments.run.files import write_json
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.experiments.run.scores import Comparison, RewardNames
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from support.report_files import change_json

RECORDED = Path(__file__).parents[2] / "recorded" / "api-paper-base-to-new"


def score(hits: list[int] | list[float], template: str = "a <CLASS>") -> Score:
    values = np.array(hits, dtype=bool if isinstance(hits[0], int) else float)
    loss = 0.1234567891
    return Score(template, float(values.mean()), loss, values, np.full(len(hits), loss))


def comparison(initial: Score, optimised: Score, sampling: Sampling | None = None) -> Comparison:
    return compare({"test": (initial, optimised, sampling or Sampling(initial.n))}, ["test"])["test"]


def test_a_comparison_holds_both_and_the_difference() -> None:
    found = comparison(score([1, 0, 0, 1, 0, 0]), score([1, 1, 0, 1, 1, 0], "the <CLASS>"))
    assert (found.initial.value, found.optimised.value) == (0.333333, 0.666667)
    assert (found.initial.n, found.initial.loss) == (6, 0.123457)
    assert found.difference.mean == pytest.approx(1 / 3, abs=1e-6)
    assert found.difference.ci95[0] <= found.difference.mean <= found.difference.ci95[1]
    assert (found.difference.outcome, found.difference.covers) == ("not shown", "these classes")  # two for the better
    assert found.like_these is None


def test_classes_like_these_stand_beside_these_classes() -> None:
    """All is gained in one class and lost in none: shown for these two classes, not for such like these."""
    before, after = score([0] * 40), score([1] * 20 + [0] * 20, "the <CLASS>")
    found = comparison(before, after, Sampling.of(40, [i // 20 for i in range(40)]))
    assert (found.difference.outcome, found.difference.covers) == ("gain", "these classes")
    assert found.like_these is not None
    assert (found.like_these.outcome, found.like_these.covers) == ("not shown", "classes like these")


def test_classes_may_count_the_same_whatever_their_sizes() -> None:
    """Of 60 pictures of one class 50 are gained, and of four classes of twelve half is lost."""
    before, after = [0] * 60 + [1] * 48, [1] * 50 + [0] * 10 + [0, 1] * 24
    sampling = Sampling.of(108, ["a"] * 60 + [name for name in "bcde" for _ in range(12)])
    pair = score(before), score(after, "the <CLASS>"), sampling
    plain, balanced = (compare({"test": pair}, ["test"], balanced=alike)["test"] for alike in (False, True))
    assert plain.difference.outcome == "gain" and plain.difference.mean == pytest.approx(26 / 108, abs=1e-6)
    assert balanced.difference.mean == pytest.approx((5 / 6 - 4 / 2) / 5, abs=1e-6)
    assert balanced.difference.outcome == "loss" and balanced.like_these is None
    assert "over classes that count the same" in balanced.difference.numbers
    assert balanced.optimised == plain.optimised


def test_sealed_parts_are_corrected_together_and_others_are_no_test() -> None:
    pair = score([0] * 40), score([1] * 9 + [0] * 31, "the <CLASS>"), Sampling(40)
    found = compare(dict.fromkeys(("search", "test", "new", "other recall@5"), pair), ["test", "new", "other recall@5"])
    assert [found[name].difference.comparisons for name in found] == [1, 3, 3, 3]
    search, test = found["search"].difference, found["test"].difference
    assert (search.outcome, search.p, search.mean) == ("no test", None, test.mean)
    assert test.p is not None and test.p_corrected == pytest.approx(3 * test.p, abs=2e-6)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    result = load_result(RECORDED).model_copy(
        update={
            "reward": RewardNames(name="retrieval", measure="recall@1", unit="queries"),
            "other_measures": {"recall@5": load_result(RECORDED).scores["test"]},
            "lm": load_result(RECORDED).lm.model_copy(update={"optimizer": None}),
            "scored_only": 7,
        }
    )
    write_json(tmp_path / "result.json", result)
    assert load_result(tmp_path) == load_result(tmp_path / "result.json") == result


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda it: {**it, "surprise": 1}, r"surprise: extra inputs are not permitted"),
        (lambda it: {**it, "scores": {**it["scores"], "odd": it["scores"]["test"]}}, r"scores\.odd"),
        (lambda it: {**it, "seed": "x"}, "seed: "),
        (lambda it: {key: it[key] for key in it if key != "clip"}, "clip: field required"),
        (lambda it: {**it, "reward": {"measure": "$x$ <b>"}}, r"reward\.measure: string should match pattern"),
    ],
)
def test_a_foreign_result_is_one_sentence(tmp_path: Path, change: Any, wrong: str) -> None:
    (tmp_path / "result.json").write_text((RECORDED / "result.json").read_text())
    change_json(tmp_path / "result.json", change)
    with pytest.raises(InputError, match=rf"result\.json does not have the form .*\({wrong}.*restore it, or"):
        load_result(tmp_path)


BEFORE = [0] * 60 + [1] * 40


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            [1] * 30 + [0] * 30 + [1] * 40,
            "A gain on queries that the search never saw: +30.00 points [+20.44, +39.56], p < 0.0001.",
        ),
        (
            [0] * 90 + [1] * 10,
            "A loss on queries that the search never saw: -30.00 points [-39.56, -20.44], p < 0.0001. "
            "Keep the initial template.",
        ),
        (
            [1] * 2 + [0] * 58 + [1] * 40,
            "No evidence of a gain on queries that the search never saw: +2.00 points [-1.96, +5.96], p = 0.32; "
            "a true difference of 9.7 points would be shown four times in five, "
            "and this one is shown to be within ±5.3.",
        ),
    ],
)
def test_the_verdict_follows_the_sealed_test(after: list[int], words: str) -> None:
    found = comparison(score(BEFORE), score(after, "another <CLASS>"))
    assert verdict(found, "queries", 1) == words


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([0] * 60 + [1] * 38 + [0] * 2, "neither a gain nor a loss is shown, -2.00 points ["),
        ([1] * 30 + [0] * 30 + [1] * 40, "a gain, +30.00 points ["),
    ],
)
def test_the_verdict_speaks_of_base_and_of_new_classes(after: list[int], words: str) -> None:
    base = comparison(score(BEFORE), score([1] * 30 + [0] * 30 + [1] * 40, "another <CLASS>"))
    said = verdict(base, "pictures", 1, new=comparison(score(BEFORE), score(after, "another <CLASS>")))
    assert said.startswith("A gain on base-class pictures that the search never saw: +30.00 points [")
    assert f". On 100 pictures of new classes: {words}" in said


def test_a_template_that_stays_is_said_to_stay() -> None:
    found = comparison(score(BEFORE), score(BEFORE))
    assert verdict(found, "pictures", 3) == "Nothing convincing was found: the initial template stays."
    untried = verdict(found, "pictures", 1, untried="the time limit of 0.1 minutes is reached")
    assert untried == "No template was tried (the time limit of 0.1 minutes is reached): the initial template stays."


def test_later_openings_correct_both_scopes_of_every_sealed_part() -> None:
    """By hand: a fifth opening has 0.15 / 20 of the 5 %, so that p of each of two parts counts 2 · 20 / 0.15 times."""
    before, after = score([0] * 400), score([1] * 15 + [0] * 385, "the <CLASS>")
    pair = before, after, Sampling.of(400, [i % 20 for i in range(400)])
    found = compare(dict.fromkeys(("search", "test", "new"), pair), ["test", "new"], opening=5)
    for verdict_ in (found["test"].difference, found["new"].like_these):
        assert verdict_ is not None and verdict_.p is not None and verdict_.opening == 5
        assert verdict_.p_corrected == pytest.approx(verdict_.p * 2 * 20 / 0.15, abs=2e-4)
    assert found["search"].difference.opening is None


def test_under_classes_that_sealed_pictures_may_have_chosen_there_is_a_difference_and_no_p() -> None:
    before, after = score([0] * 400), score([1] * 300 + [0] * 100, "the <CLASS>")
    pair = before, after, Sampling.of(400, [i % 20 for i in range(400)])
    parts = dict.fromkeys(("test", "new"), pair)
    found, tested = (compare(parts, ["test", "new"], opening=2, tests=tests) for tests in (False, True))
    for name in ("test", "new"):
        for mine, other in zip(*((one[name].difference, one[name].like_these) for one in (found, tested)), strict=True):
            assert mine and other and other.outcome == "gain"
            assert (mine.outcome, mine.p, mine.p_corrected) == ("no test", None, None)
            assert (mine.mean, mine.ci95) == (other.mean, other.ci95)
            assert "that is not tested: +75.00 points" in mine.against("the baseline template")
    said = verdict(found["test"], "queries", 2, new=found["new"])
    assert said.startswith("No test: these sealed queries were opened before with other classes or class names")
    assert "of this run: +75.00 points [" in said and "Only new queries can test it." in said
    assert "no test either, +75.00" in said and "not the first" not in said and "p =" not in said
