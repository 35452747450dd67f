"""Tables of synthetic cells: what they say, what they refuse, and that their bytes depend on the cells alone."""

import copy
import csv
import io
import json
import random
import zlib

import numpy as np
import pytest

from ipo.experiments.compare.published import published_rows
from ipo.experiments.compare.tables import build_table
from ipo.experiments.compare.tables.cells import align, read_grid
from ipo.metrics.errors import InputError
from ipo.metrics.statistics import accuracy_interval, harmonic_mean, paired_difference

CLASSES, PER_CLASS = 12, 10
SKILLS = {"anchor": 0.0, "hand-written": 0.1, "ensemble-80": 0.2, "shuffled": 0.2, "ipo-default": 1.5}


def _noise(*key, size):
    return np.random.default_rng([zlib.crc32(repr(key).encode())]).normal(size=size)


def _side(data, side, method, seed, skill):
    """Pictures have a difficulty of their own and of their class, which all methods and seeds share."""
    n = CLASSES * PER_CLASS
    hardness = _noise(data, side, size=CLASSES).repeat(PER_CLASS) + _noise(data, side, "picture", size=n)
    hits = (hardness + 0.5 * _noise(data, side, method, seed, size=n) < skill).astype(int)
    return {
        "accuracy": round(float(hits.mean()), 6),
        "loss": 1.0,
        "n": n,
        "classes": CLASSES,
        "hits": "".join(map(str, hits)),
        "groups": [i // PER_CLASS for i in range(n)],
        "split": "own",
    }


def _cell(data, method, seed, skill, sides=("base", "new"), protocol="base-to-new"):
    searched = method not in ("anchor", "hand-written", "ensemble-80")
    return {
        "schema": 1,
        "cell": {"protocol": protocol, "data": data, "method": method, "seed": seed, "targets": [], "settings": {}},
        "absent": None,
        "templates": [{"template": f"{method} {seed} of a <CLASS>.", "weight": 1.0}],
        "scores": {side: _side(data, side, method, seed if searched else 0, skill) for side in sides},
        "search": {"accuracy": 0.9, "loss": 1.0, "n": 48} if searched else None,
        "selection": None,
        "budget": {"proposals": 40, "calls": 8, "tokens_in": 900, "tokens_out": 90, "usd": 0.01 if searched else 0.0},
        "picture_ids": {side: f"{data}-{side}" for side in sides},
    }


def _cells(data=("embedded:a", "embedded:b"), skills=SKILLS, seeds=3, **kind):
    return [
        _cell(name, method, seed, skill, **kind)
        for name in data
        for method, skill in skills.items()
        for seed in range(seeds)
    ]


def _score(table, scope, method, column):
    return next(row for row in table.rows if (row.scope, row.method) == (scope, method)).scores[column]


def _gain(table, scope, method, other, column):
    key = (scope, method, other, column)
    return next(gain for gain in table.gains if (gain.scope, gain.method, gain.other, gain.column) == key)


def test_the_order_of_the_cells_does_not_matter():
    cells = _cells(("eurosat", "embedded:a"))
    published = published_rows("base-to-new", 1, ["eurosat"])
    table = build_table(cells, published=published)
    first = (table.to_markdown(), table.to_csv(), table.to_json())
    for seed in range(3):
        random.Random(seed).shuffle(cells)
        again = build_table(cells, published=published)
        assert (again.to_markdown(), again.to_csv(), again.to_json()) == first


def test_one_seed_on_one_data_set_is_the_plain_comparison():
    cells = _cells(("embedded:a",), seeds=1, sides=("test",), protocol="few-shot")
    table = build_table(cells)
    scores = {cell["cell"]["method"]: cell["scores"]["test"] for cell in cells}
    ours, anchor = ([one == "1" for one in scores[method]["hits"]] for method in ("ipo-default", "anchor"))
    found = _score(table, "embedded:a", "ipo-default", "test")
    assert (found.low, found.high) == pytest.approx(accuracy_interval(ours, scores["anchor"]["groups"]))
    assert found.value == pytest.approx(scores["ipo-default"]["accuracy"], abs=1e-6)
    gain = _gain(table, "embedded:a", "ipo-default", "anchor", "test").effect
    expected = paired_difference(anchor, ours, scores["anchor"]["groups"])
    assert (gain.mean, gain.low, gain.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert gain.p >= expected.p
    assert any("One seed" in note for note in table.notes)
    assert all("One seed" in sentence for sentence in table.verdicts if "IPO shows" in sentence)


def test_average_row_is_h_of_the_averaged_columns_and_the_mean_of_h_is_beside_it():
    table = build_table(_cells())
    parts = [
        _score(table, data, "ipo-default", column).value
        for data in ("embedded:a", "embedded:b")
        for column in ("base", "new")
    ]
    base, new = (parts[0] + parts[2]) / 2, (parts[1] + parts[3]) / 2
    assert _score(table, "average", "ipo-default", "base").value == pytest.approx(base)
    assert _score(table, "average", "ipo-default", "H").value == pytest.approx(harmonic_mean(base, new))
    mean_of_h = (harmonic_mean(*parts[:2]) + harmonic_mean(*parts[2:])) / 2
    assert _score(table, "average", "ipo-default", "mean of H").value == pytest.approx(mean_of_h)
    assert _score(table, "embedded:a", "ipo-default", "mean of H") is None


def test_h_interval_follows_from_moving_the_hits():
    """The linearised interval of H against redrawing classes a thousand times (a plain bootstrap)."""
    table = build_table(_cells(("embedded:a",), seeds=1))
    found = _score(table, "embedded:a", "ipo-default", "H")
    cell = _cell("embedded:a", "ipo-default", 0, SKILLS["ipo-default"])
    sides = [
        np.array([int(hit) for hit in cell["scores"][side]["hits"]]).reshape(CLASSES, -1).mean(1)
        for side in ("base", "new")
    ]
    rng = np.random.default_rng(1)
    drawn = [harmonic_mean(*(side[rng.integers(0, CLASSES, CLASSES)].mean() for side in sides)) for _ in range(1000)]
    assert (found.high - found.low) / 2 == pytest.approx(2.1 * np.std(drawn), rel=0.15)


def test_a_clear_winner_is_detected_and_a_control_that_is_as_good_is_named():
    table = build_table(_cells(("a1", "a2", "a3", "a4")))
    assert _gain(table, "a1", "ipo-default", "anchor", "H").corrected < 0.05
    assert table.verdicts[0].startswith("average of 4 data sets, H: IPO shows a gain over the anchor of +")
    assert "For data sets like these: a gain, [+" in table.verdicts[0]
    assert table.verdicts[-1].endswith("IPO beats its shuffled-score control: the scores in the history help.")
    two = build_table(_cells())
    assert "IPO shows a gain over the anchor" in two.verdicts[0]
    assert "For data sets like these: no evidence of a gain, [-" in two.verdicts[0]
    assert "on these data sets, not as a claim about data sets like these" in two.verdicts[-1]
    lost = build_table(_cells(skills={**SKILLS, "shuffled": 1.5}))
    assert (
        "IPO does not beat its shuffled-score control: no evidence that the scores in the history help."
        in lost.to_markdown()
    )


def test_a_loser_is_called_worse():
    table = build_table(_cells(("embedded:a",), skills={"anchor": 1.5, "ipo-default": -0.5}))
    assert table.verdicts[0].startswith("embedded:a, H: IPO is worse than the anchor by -")


def test_identical_methods_show_no_evidence():
    cells = _cells(skills={"anchor": 0.5})
    for cell in copy.deepcopy(cells):
        cell["cell"]["method"], cell["templates"] = "ipo-default", [{"template": "another <CLASS>", "weight": 1.0}]
        cells.append(cell)
    table = build_table(cells)
    for scope in ("embedded:a", "average"):
        gain = _gain(table, scope, "ipo-default", "anchor", "H")
        assert (gain.effect.mean, gain.effect.p, gain.corrected) == (0.0, 1.0, 1.0)
        assert gain.effect.low < 0 < gain.effect.high
    assert "IPO shows no evidence of a gain over the anchor" in table.verdicts[0]


def test_the_same_templates_are_no_comparison():
    cells = _cells(skills={"anchor": 0.5})
    for cell in copy.deepcopy(cells):
        cell["cell"]["method"] = "ipo-default"
        cells.append(cell)
    table = build_table(cells)
    assert "IPO ended with the same templates as the anchor, so no gain over it" in table.verdicts[0]
    assert "+0.00 same templates" in table.to_markdown()


def test_names_of_methods_do_not_carry_the_result():
    """Two methods that swap their names swap their rows, and the gain turns its sign."""
    skills = {"anchor": 0.0, "waffle": 0.4, "coop": 1.0}
    cells = _cells(("embedded:a",), skills)
    swapped = copy.deepcopy(cells)
    for cell in swapped:
        cell["cell"]["method"] = {"waffle": "coop", "coop": "waffle"}.get(
            cell["cell"]["method"], cell["cell"]["method"]
        )
    one, other = build_table(cells), build_table(swapped)
    assert _score(one, "embedded:a", "waffle", "H") == _score(other, "embedded:a", "coop", "H")
    forth = _gain(build_table(cells, reference="coop"), "embedded:a", "waffle", "coop", "H").effect
    back = _gain(build_table(swapped, reference="coop"), "embedded:a", "waffle", "coop", "H").effect
    assert (forth.mean, forth.low, forth.high, forth.p) == pytest.approx((-back.mean, -back.high, -back.low, back.p))


def test_p_is_corrected_for_the_comparisons_of_the_method_in_the_row():
    table = build_table(_cells(("embedded:a",)))
    family = [gain for gain in table.gains if (gain.method, gain.column) == ("ipo-default", "H")]
    assert {gain.other for gain in family} == {"anchor", "hand-written", "ensemble-80", "shuffled"}
    assert {gain.comparisons for gain in family} == {4}
    smallest = min(family, key=lambda gain: gain.effect.p)
    assert smallest.corrected == pytest.approx(min(1.0, 4 * smallest.effect.p))
    assert {gain.comparisons for gain in table.gains if gain.method == "shuffled"} == {3}


def test_with_and_without_eurosat():
    table = build_table(_cells(("EuroSAT", "dtd", "embedded:a")))
    without = build_table(_cells(("dtd", "embedded:a")))
    name = "average without EuroSAT"
    assert [scope.name for scope in table.scopes] == ["dtd", "EuroSAT", "embedded:a", "average", name]
    assert _score(table, name, "ipo-default", "H") == _score(without, "average", "ipo-default", "H")
    assert sum(sentence.startswith(name) for sentence in table.verdicts) == len(table.verdicts) / 2
    assert name not in without.to_markdown()
    assert name not in build_table(_cells(("eurosat",))).to_markdown()


def test_absent_cells_are_marked_with_their_reason():
    cells = [
        cell for cell in _cells() if (cell["cell"]["data"], cell["cell"]["method"]) != ("embedded:a", "hand-written")
    ]
    about = {"protocol": "base-to-new", "data": "embedded:a", "method": "hand-written"}
    cells += [{"cell": {**about, "seed": seed}, "absent": "no hand-written template exists"} for seed in range(3)]
    failed = next(cell for cell in cells if cell["cell"]["method"] == "shuffled" and cell["cell"]["seed"] == 2)
    cells[cells.index(failed)] = {"cell": failed["cell"], "absent": "failed: the server | hung up"}
    table = build_table(cells)
    rows = {(row.scope, row.method): row for row in table.rows}
    assert rows["embedded:a", "hand-written"].absent == "no hand-written template exists"
    assert rows["average", "hand-written"].absent == "no hand-written template exists (embedded:a)"
    assert rows["embedded:a", "shuffled"].seeds == 2
    assert _gain(table, "embedded:a", "ipo-default", "shuffled", "H").seeds == 2
    text = table.to_markdown()
    assert "– (1)" in text and "(1) no hand-written template exists\n" in text
    assert "failed: the server \\| hung up" in text
    assert any(
        "hand-written template are not compared; one of them is absent" in sentence for sentence in table.verdicts
    )


def test_a_method_that_no_seed_changes_is_compared_under_every_seed():
    cells = [
        cell for cell in _cells(("embedded:a",)) if cell["cell"]["method"] != "anchor" or cell["cell"]["seed"] == 0
    ]
    alone = _gain(build_table(cells), "embedded:a", "ipo-default", "anchor", "H")
    assert alone == _gain(build_table(_cells(("embedded:a",))), "embedded:a", "ipo-default", "anchor", "H")
    assert alone.seeds == 3


def test_methods_are_paired_by_seed():
    cells = _cells(("embedded:a",))
    cells = [cell for cell in cells if (cell["cell"]["method"], cell["cell"]["seed"]) != ("shuffled", 1)]
    grid = read_grid(cells, [], [])
    ours, theirs = align(grid.runs["embedded:a", "ipo-default"], grid.runs["embedded:a", "shuffled"])
    assert ours.seeds == theirs.seeds == (0, 2)
    assert [cell["cell"]["seed"] for cell in ours.cells] == [0, 2]


def test_another_split_is_marked_in_every_row():
    cells = _cells()
    for cell in cells:
        if cell["cell"]["data"] == "embedded:b":
            for score in cell["scores"].values():
                score["split"] = "different: no split file"
    text = build_table(cells).to_markdown()
    assert "| embedded:b† " in text and "| average† " in text and "| embedded:a " in text
    assert "† embedded:b: different split (no split file); not comparable with published numbers." in text


def test_cross_dataset_has_a_column_per_target_and_their_mean():
    sides = ("source", "dtd", "eurosat", "ucf101")
    cells = _cells(("imagenet",), sides=sides, protocol="cross-dataset")
    table = build_table(cells, published=published_rows("cross-dataset", 16, ["imagenet"]))
    assert table.columns == (*sides, "mean", "mean without EuroSAT")
    values = [_score(table, "imagenet", "ipo-default", side).value for side in sides]
    assert _score(table, "imagenet", "ipo-default", "mean").value == pytest.approx(sum(values[1:]) / 3)
    assert _score(table, "imagenet", "ipo-default", "mean without EuroSAT").value == pytest.approx(
        (values[1] + values[3]) / 2
    )
    assert _gain(table, "imagenet", "ipo-default", "anchor", "mean").these is not None
    assert [scope.name for scope in table.scopes] == ["imagenet"]
    line = next(line for line in table.to_markdown().splitlines() if "*IPO, published*" in line)
    assert [cell.strip() for cell in line.split("|")][3:8] == ["72.15", "47.01", "48.56", "69.23", "67.36"]


def test_published_numbers_stand_beside_ours_with_their_source():
    text = build_table(_cells(("dtd",)), published=published_rows("base-to-new", 1, ["dtd"])).to_markdown()
    line = next(line for line in text.splitlines() if "*IPO, published* (c)" in line)
    assert [cell.strip() for cell in line.split("|")][3:6] == ["55.45", "62.47", "58.75"]
    assert "(b) published: CoCoOp paper, CLIP rows" in text and "not re-checked" in text


def test_an_ablation_without_ipo_compares_each_row_with_the_reference():
    cells = _cells(("embedded:a",), skills={"n = 10": 0.6, "n = 5": 0.5, "n = 0": 0.0})
    table = build_table(cells, reference="n = 0")
    assert [row.method for row in table.rows] == ["n = 0", "n = 5", "n = 10"]
    assert [sentence.partition(" ")[2][3:].split(" shows")[0] for sentence in table.verdicts] == ["“n = 5”", "“n = 10”"]


def test_costs_are_means_per_run():
    cells = _cells(("embedded:a",))
    found = next(one for one in build_table(cells).searches if one.method == "ipo-default")
    assert (found.calls, found.tokens_in, found.usd) == (8, 900, pytest.approx(0.01))
    cells[-1]["budget"]["usd"] = None
    assert next(one for one in build_table(cells).searches if one.method == "ipo-default").usd is None


def test_optimism_is_the_gain_on_search_minus_the_gain_on_test():
    cells = _cells(("embedded:a",))
    for cell in cells:
        cell["search"] = {"accuracy": 0.95 if cell["cell"]["method"] == "ipo-default" else 0.25, "loss": 1.0, "n": 48}
    table = build_table(cells)
    found = {one.method: one for one in table.searches}
    on_test = _gain(table, "embedded:a", "ipo-default", "anchor", "base").effect.mean
    assert found["ipo-default"].optimism == pytest.approx(0.7 - on_test)
    assert found["ipo-default"].test == pytest.approx(_score(table, "embedded:a", "ipo-default", "base").value)
    assert found["anchor"].optimism == pytest.approx(0.0)


def test_csv_is_tidy_and_json_is_versioned():
    table = build_table(_cells(("dtd", "embedded:a")), published=published_rows("base-to-new", 1, ["dtd"]))
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    ours = [row for row in rows if row["origin"] == "ours"]
    keys = [(row["data"], row["method"], row["column"]) for row in ours]
    assert len(set(keys)) == len(keys) == 2 * 5 * 3 + 5 * 4
    found = next(row for row in ours if (row["data"], row["method"], row["column"]) == ("dtd", "ipo-default", "base"))
    score = _score(table, "dtd", "ipo-default", "base")
    assert float(found["value"]) == pytest.approx(100 * score.value, abs=1e-4)
    assert (found["n"], found["seeds"]) == ("120", "3")
    assert {row["method"] for row in rows if row["origin"] == "published"} == {
        "CLIP, anchor",
        "CLIP, hand-written templates",
        "IPO",
    }
    content = json.loads(table.to_json())
    assert content["schema"] == 1 and content["verdicts"] == list(table.verdicts)


def test_a_name_cannot_break_out_of_its_cell():
    cells = _cells(("folder:a|b\n# <b>",))
    text = build_table(cells).to_markdown()
    assert "folder:a\\|b # &lt;b>" in text
    assert (
        "=1+1" in build_table(_cells(("=1+1",))).to_csv()
        and "\nbase-to-new,=1+1" not in build_table(_cells(("=1+1",))).to_csv()
    )


def _damage(change):
    cells = _cells(("embedded:a",))
    change(cells)
    return cells


def _other_pictures(cells):
    cells[-1]["picture_ids"]["new"] = "other"


def _other_groups(cells):
    cells[-1]["scores"]["base"]["groups"][0] = 99


def _short(cells):
    cells[0]["scores"]["base"]["hits"] = "01"


def _wrong_accuracy(cells):
    cells[0]["scores"]["new"]["accuracy"] = 0.123


def _twice(cells):
    cells.append(cells[0])


def _two_protocols(cells):
    cells[0]["cell"]["protocol"] = "few-shot"


def _schema(cells):
    cells[0]["schema"] = 2


def _all_absent(cells):
    cells[:] = [{"cell": cell["cell"], "absent": "failed"} for cell in cells]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _other_pictures,
            r"embedded:a / anchor / seed 0 and embedded:a / ipo-default / seed 2 were tested on different new",
        ),
        (_other_groups, "different base pictures or groups"),
        (_short, "base score of the cell embedded:a / anchor / seed 0 is damaged: its hits are not 120"),
        (_wrong_accuracy, "new score .* its accuracy 0.123 is not that of its hits"),
        (_twice, "embedded:a / anchor / seed 0 is there twice"),
        (_two_protocols, "cannot hold the protocols base-to-new and few-shot"),
        (_schema, "has schema 2; this version reads 1"),
        (_all_absent, "no cell of this table has scores"),
        (list.clear, "there are no cells"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, sentence):
    with pytest.raises(InputError, match=sentence):
        build_table(_damage(change))


def test_an_unknown_reference_is_refused():
    with pytest.raises(InputError, match=r"no cell of the reference 'ancor'; it must be one of anchor, "):
        build_table(_cells(("embedded:a",)), reference="ancor")


def test_hostile_names_stay_text_in_every_form():
    label, reason = "=HYPERLINK(1)|<b>", "![](http://x) \x1b[2Jgone"
    cells = _cells(("embedded:a",), {"anchor": 0.0, label: 1.0}, seeds=1)
    absent = {**_cell("embedded:a", "waffle", 0, 0.0), "absent": reason, "scores": {}, "picture_ids": {}}
    table = build_table([*cells, absent])
    methods = {row["method"] for row in csv.DictReader(io.StringIO(table.to_csv()))}
    assert methods == {"anchor", f"'{label}", "waffle"}
    text = table.to_markdown()
    assert "=HYPERLINK(1)\\|&lt;b>" in text and "](" not in text
    assert "\x1b" not in text and "\\x1b[2Jgone" in text


def test_one_seed_does_not_show_that_scores_help():
    seen = {
        seeds: build_table(_cells(("embedded:a",), seeds=seeds, sides=("test",), protocol="few-shot")).verdicts[-1]
        for seeds in (1, 3)
    }
    assert seen[3].endswith("the scores in the history help.")
    assert seen[1].endswith("with one seed, which may be the luck of either search.")


def test_each_target_with_another_split_is_named():
    cells = _cells(("imagenet",), sides=("source", "eurosat", "dtd"), protocol="cross-dataset")
    for cell in cells:
        cell["scores"]["source"]["split"] = "official"
        cell["scores"]["eurosat"]["split"] = "different: 16200 pictures"
        cell["scores"]["dtd"]["split"] = "different: no val part"
    table = build_table(cells)
    note = "† imagenet: different split (dtd: no val part; eurosat: 16200 pictures); not comparable"
    assert any(line.startswith(note) for line in table.notes)


def test_optimism_is_paired_on_the_search_pictures_of_each_seed():
    """Seeds draw other search pictures: the anchor's run under one seed says nothing of those of another."""
    cells = [cell for cell in _cells(("embedded:a",)) if cell["cell"]["method"] in ("anchor", "ipo-default")]
    for cell in cells:
        cell["search"] = {"accuracy": 0.5, "loss": 1.0, "n": 48}
    whole, partly = build_table(cells), build_table([cell for cell in cells if cell["cell"] != cells[1]["cell"]])
    assert [search.optimism is None for search in whole.searches] == [False, False]
    assert [search.optimism is None for search in partly.searches] == [False, True]
    assert _gain(partly, "embedded:a", "ipo-default", "anchor", "H").seeds == 3


@pytest.mark.parametrize(("clip", "said"), [("embedded", True), ("ViT-B-16/openai", False)])
def test_published_numbers_of_another_clip_are_said_not_to_compare(clip, said):
    cells = _cells(("eurosat",), seeds=1)
    for cell in cells:
        cell["cell"]["settings"] = {"clip": clip}
    table = build_table(cells, published=published_rows("base-to-new", 1, ["eurosat"]))
    assert any("do not compare" in note for note in table.notes) == said


def test_unequal_calls_are_explained():
    cells = _cells(("embedded:a",), seeds=1)
    assert not any("asked for again" in note for note in build_table(cells).notes)
    cells[-1]["budget"] = {**cells[-1]["budget"], "calls": 9}
    assert any("asked for again" in note for note in build_table(cells).notes)
