"""`python -m benchmarks label-free`: hand-made differences, and the command on two small sets with few templates."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.__main__ import app
from benchmarks.lab import label_free
from benchmarks.lab.bed import SHIFTED
from benchmarks.lab.cells import Cells
from benchmarks.lab.label_free import (
    FIT,
    INITIAL,
    LISTS,
    WRONG,
    Asked,
    measure_all,
    others,
    read_asked,
)
from benchmarks.lab.label_free_table import ahead, answer_of_fit
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import names_class


def _sets(fit: list[float], wrong: list[float], names: list[str]) -> dict:
    return {
        name: {"400 pictures": {FIT: np.array([right]), WRONG: np.array([other])}}
        for name, right, other in zip(names, fit, wrong, strict=True)
    }


def test_the_interval_is_the_wider_of_two():
    # Differences .1, .1, .3, .3: independent, s = .11547, half width 3.182 · .11547 / 2 = .1837. By move they are two
    # clusters, whose sums of residuals are ∓.2: error √(2/1 · .08) / 4 = .1, half width 12.706 · .1 = 1.2706.
    names = [
        f"{SHIFTED}swirl+rings@1",
        f"{SHIFTED}held-back/swirl+double",
        f"{SHIFTED}tiles+rings",
        f"{SHIFTED}tiles+double",
    ]
    found = ahead(_sets([0.3, 0.3, 0.5, 0.5], [0.2] * 4, names), FIT, WRONG)
    assert (found.mean, found.low, found.high) == pytest.approx((20, 20 - 127.06, 20 + 127.06), abs=0.01)
    apart = [f"{SHIFTED}swirl", f"{SHIFTED}tiles", f"{SHIFTED}bulge", f"{SHIFTED}slant"]
    found = ahead(_sets([0.3, 0.3, 0.5, 0.5], [0.2] * 4, apart), FIT, WRONG)
    assert (found.low, found.high) == pytest.approx((20 - 18.37, 20 + 18.37), abs=0.01)
    assert found.behind == []


def test_only_an_interval_above_zero_says_that_names_are_used():
    names = [f"{SHIFTED}swirl", f"{SHIFTED}tiles", f"{SHIFTED}bulge"]
    assert "fit uses the names" in answer_of_fit(_sets([0.30, 0.31, 0.32], [0.2, 0.2, 0.2], names))
    said = answer_of_fit(_sets([0.30, 0.20, 0.32], [0.2, 0.2, 0.3], names))
    assert "is not shown" in said and "describer=fit" in said


def test_names_of_other_things_are_other_and_none_is_in_two_lists():
    names = ["cat", "house", "tree", "person"]
    lists = others(names)
    assert [len(one) for one in lists] == [4] * LISTS and len({name for one in lists for name in one}) == 4 * LISTS
    assert not any(names_class(other, name) for one in lists for other in one for name in names)


def test_the_command_measures_resumes_and_says_what_names_are_worth(tmp_path, capsys):
    words = ["label-free", f"data={SHIFTED}held-back/slant+vignette@14", "templates=4", "draws=1"]
    assert main([*words, "--out", str(tmp_path), "--json"], app) == 0
    out, err = capsys.readouterr()
    (bed,) = json.loads(out).values()
    rows = bed["accuracy"]["400 pictures"]
    # The initial template's accuracy is that of ipo docs test-beds.
    assert rows[INITIAL] == 16.7 and len(rows) == 16 and f"{SHIFTED}held-back/slant+vignette@14" in err
    assert set(bed["accuracy"]) >= {"50 pictures", "100 pictures", "lopsided"} and len(bed["accuracy"]) == 7
    assert "is not shown" in bed["verdict"] or "fit uses" in bed["verdict"]
    assert main([*words, "--out", str(tmp_path), "--json"], app) == 0
    again, err = capsys.readouterr()
    assert again == out and err == "", "read, not measured"


def test_only_what_was_measured_with_the_same_request_is_read_back(monkeypatch):
    measured = []
    monkeypatch.setattr(label_free, "load_clip", lambda name: name)

    def measure_set(clip, spec, asked, texts):
        measured.append(spec)
        return {"400 pictures": {INITIAL: ["10", "11"]}}

    monkeypatch.setattr(label_free, "measure_set", measure_set)
    asked, cells = Asked({"bed": ["one"]}), Cells()
    changes = ({}, {"draws": 3}, {"templates": 3}, {"vocabulary": "general"}, {"clip": "local-dir:another"})
    for place, change in enumerate(changes, 1):
        for _ in range(2):
            found = measure_all(replace(asked, **change), cells, lambda spec: None)
        assert found["bed"]["one"]["400 pictures"][INITIAL].tolist() == [1, 0.5]
        assert len(measured) == place


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dta=a", "unknown key 'dta' (did you mean data?); label-free takes data, clip, vocabulary, templates, draws"),
        ("data=a,,b", "a name is missing in the words of label-free"),
        ("vocabulary=none", "vocabulary=none has no phrases to choose from"),
        ("draws=0", "draws=0 is no number of draws; write draws=10"),
        ("data=embedded:zz", "no pictures embedded:zz"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(word, said):
    with pytest.raises(InputError) as refused:
        read_asked([word])
    assert said in str(refused.value)
