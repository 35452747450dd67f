from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ipo.experiments.run.files import content_of
from ipo.experiments.run.result import RewardNames, chosen, comparison, load_result, used, verdict, write_result
from ipo.metrics.errors import InputError
from ipo.metrics.reward import Score
from ipo.programs.lm.ledger import Usage
from ipo.programs.selection import Choice
from support.report_files import change_json

RECORDED = Path(__file__).parents[2] / "recorded"
OLD = RECORDED / "api-paper-base-to-new"


def score(hits: list[int] | list[float], template: str = "a <CLASS>", loss: float = 0.1234567891) -> Score:
    values = np.array(hits, dtype=bool if isinstance(hits[0], int) else float)
    return Score(template, float(values.mean()), loss, values, np.full(len(hits), loss))


def test_a_comparison_holds_both_and_the_difference() -> None:
    found = comparison(score([1, 0, 0, 1, 0, 0]), score([1, 1, 0, 1, 1, 0], "the <CLASS>"), None)
    assert (found.initial.value, found.optimised.value) == (0.333333, 0.666667)
    assert (found.initial.n, found.initial.loss) == (6, 0.123457)
    assert found.difference.mean == pytest.approx(1 / 3, abs=1e-6)
    assert found.difference.ci95[0] <= found.difference.mean <= found.difference.ci95[1]
    assert (found.difference.p, found.difference.test) == (0.5, "exact McNemar")  # two pictures, both for the better


def test_units_that_are_numbers_have_t_intervals_and_its_p() -> None:
    before, after = [0.1, 0.4, 0.3, 0.9, 0.5], [0.4, 0.5, 0.3, 1.0, 0.8]
    found = comparison(score(before), score(after, "the <CLASS>"), None)
    expected = stats.ttest_rel(after, before)
    assert found.difference.p == pytest.approx(expected.pvalue, abs=1e-6)
    assert found.difference.ci95 == pytest.approx(tuple(expected.confidence_interval()), abs=1e-6)
    assert found.difference.test == "t"
    one = stats.ttest_1samp(before, 0).confidence_interval()
    assert found.initial.ci95 == pytest.approx((max(0.0, one[0]), one[1]), abs=1e-6)
    assert found.optimised.ci95[1] <= 1


@pytest.mark.parametrize("same", [[1, 0, 1], [0.5, 0.25, 1.0]])
def test_a_template_does_not_differ_from_itself(same: Any) -> None:
    difference = comparison(score(same), score(same), None).difference
    assert (difference.mean, difference.ci95, difference.p) == (0, (0, 0), 1)


@pytest.mark.parametrize("hits", [[1], [0], [1, 1, 1], [0, 0, 0], [0.5], [0.25, 0.5, 0.75]])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("other", ["a <CLASS>", "the <CLASS>"])
def test_the_edges_are_still_json_without_nan(hits: Any, grouped: bool, other: str) -> None:
    groups = ["only"] * len(hits) if grouped else None
    found = comparison(score(hits), score(hits, other), groups)
    json.dumps(content_of(found), allow_nan=False)
    assert found.difference.mean == 0
    assert 0 <= found.initial.ci95[0] <= found.initial.value <= found.initial.ci95[1] <= 1


def test_usage_is_worded_for_the_result() -> None:
    assert used(None) is None
    usage = Usage("openai/x")
    usage.add(tokens_in=10, tokens_out=5, usd=0.00012345678, seconds=1, cached=False)
    usage.add(tokens_in=0, tokens_out=0, usd=0, seconds=0, cached=True)
    found = used(usage)
    assert found is not None
    assert found.model_dump() == {
        "name": "openai/x",
        "calls": 2,
        "cached": 1,
        "tokens_in": 10,
        "tokens_out": 5,
        "usd": 0.000123,
    }
    usage.add(tokens_in=1, tokens_out=1, usd=None, seconds=1, cached=False)
    unknown = used(usage)
    assert unknown is not None and unknown.usd is None


@pytest.mark.parametrize(("error", "kept"), [(0.0123456789, 0.012346), (float("inf"), None)])
def test_an_error_that_is_not_known_is_none(error: float, kept: float | None) -> None:
    found = chosen(Choice("a <CLASS>", False, 0.1, error, "held-back pictures"))
    assert (found.how, found.kept_initial, found.gain, found.standard_error) == (
        "held-back pictures",
        False,
        0.1,
        kept,
    )


@pytest.mark.parametrize("name", ["api-paper-base-to-new", "local-shuffled"])
def test_schema_1_is_read_with_every_number(name: str) -> None:
    old = json.loads((RECORDED / name / "result.json").read_text())
    new = content_of(load_result(RECORDED / name))
    assert (old.pop("schema"), new.pop("schema")) == (1, 2)
    for part, scores in old.pop("scores").items():
        found = new["scores"].pop(part)
        assert found["difference"] == scores["difference"]
        for side in ("initial", "optimised"):
            assert found[side].pop("value") == scores[side].pop("accuracy")
            assert found[side] == scores[side]
    assert new.pop("scores") == {}
    assert {key: new.pop(key) for key in old} == old
    assert new == {
        "reward": {"name": "classification", "measure": "accuracy", "unit": "pictures"},
        "strategy": {"name": "history", "settings": {}},
        "other_measures": {},
        "ended": "",
        "proposed": old["templates_scored"] - 1,
        "looked_at": 0,
    }


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    result = load_result(OLD).model_copy(
        update={
            "reward": RewardNames(name="retrieval", measure="recall@1", unit="queries"),
            "other_measures": {"recall@5": load_result(OLD).scores["test"]},
            "lm": load_result(OLD).lm.model_copy(update={"optimizer": None}),
            "looked_at": 7,
        }
    )
    write_result(tmp_path, result)
    assert load_result(tmp_path) == load_result(tmp_path / "result.json") == result


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda old: {**old, "surprise": 1}, r"surprise: extra inputs are not permitted"),
        (lambda old: {**old, "scores": {**old["scores"], "odd": old["scores"]["test"]}}, r"scores\.odd"),
        (lambda old: {**old, "seed": "x"}, "seed: "),
        (lambda old: {**old, "reward": {"measure": "$x$ <b>"}}, r"reward\.measure: string should match pattern"),
    ],
)
def test_a_foreign_result_is_one_sentence(tmp_path: Path, change: Any, wrong: str) -> None:
    (tmp_path / "result.json").write_text((OLD / "result.json").read_text())
    change_json(tmp_path / "result.json", change)
    with pytest.raises(InputError, match=rf"result\.json is not of the form .*\({wrong}.*restore it, or start a new"):
        load_result(tmp_path)


@pytest.mark.parametrize(
    ("ends", "p", "words"),
    [
        ((0.01, 0.2), 0.00001, "A gain on pictures that the search never saw (p < 0.0001)."),
        (
            (-0.2, -0.01),
            0.0123,
            "A loss on pictures that the search never saw (p = 0.0123): keep the initial template.",
        ),
        ((0.0, 0.2), 0.06, "No evidence of a gain on pictures that the search never saw (p = 0.0600)."),
    ],
)
def test_the_verdict_follows_the_sealed_test(ends: tuple[float, float], p: float, words: str) -> None:
    result = load_result(OLD)
    test = result.scores["test"]
    gain = test.difference.model_copy(update={"ci95": ends, "p": p})
    result = result.model_copy(
        update={
            "template": "another <CLASS>",
            "scores": {**result.scores, "test": test.model_copy(update={"difference": gain})},
        }
    )
    assert verdict(result) == words
    assert "on queries that" in verdict(result.model_copy(update={"reward": RewardNames(unit="queries")}))
    kept = result.model_copy(update={"template": result.initial_template})
    assert verdict(kept) == "Nothing convincing was found: the initial template stays."
