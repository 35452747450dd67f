"""Verdicts: what a table says in words, and of what it stays silent."""

from dataclasses import replace

from ipo_prompts.experiments.compare.printing import to_markdown
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.text_methods import IPO_DEFAULT
from ipo_prompts.experiments.compare.words import notes, verdicts
from ipo_prompts.experiments.run.config import RunConfig
from support.scored_cells import SKILLS, altered, gain_of, make_cells


def test_a_clear_winner_is_detected_and_a_control_that_is_as_good_is_named():
    table = build_table(make_cells(("a1", "a2", "a3", "a4")))
    assert gain_of(table, "a1", "ipo-default", "baseline", "H").outcome == "gain"
    assert verdicts(table)[0].startswith("average of 4 data sets, H: IPO shows a gain over the baseline template of +")
    assert verdicts(table)[-1].endswith(
        "IPO beats its control, compositions of the vocabulary's phrases: the language model's words help."
    )
    lost = build_table(make_cells(skills={**SKILLS, "phrases": 1.5}))
    assert (
        "IPO is not shown to beat its control, compositions of the vocabulary's phrases: no evidence that the language "
        "model's words help." in to_markdown(lost)
    )


def _twice():
    """The cells of one method, and the same as cells of another."""
    cells = make_cells(skills={"baseline": 0.5})
    return [*cells, *(replace(cell, row="ipo-default", facts=IPO_DEFAULT.facts(RunConfig())) for cell in cells)]


def test_identical_methods_show_no_evidence():
    cells = _twice()
    table = build_table([*cells[:6], *(altered(cell, templates=("another <CLASS>",)) for cell in cells[6:])])
    for scope in ("embedded:a", "average"):
        gain = gain_of(table, scope, "ipo-default", "baseline", "H")
        assert (gain.mean, gain.p, gain.p_corrected, gain.outcome) == (0.0, 1.0, 1.0, "not shown")
        assert gain.ci95[0] < 0 < gain.ci95[1]
    assert "IPO shows no evidence of a gain over the baseline template" in verdicts(table)[0]


def test_the_same_templates_are_no_comparison():
    table = build_table(_twice())
    assert "IPO ended with the same templates as the baseline template, so no gain over it" in verdicts(table)[0]
    assert "+0.00 same templates" in to_markdown(table)


def test_the_same_templates_under_other_class_names_are_compared():
    cells = make_cells(skills={"baseline": 0.5, "ipo-default": 1.5})
    table = build_table([altered(cell, templates=("a photo of a <CLASS>.",)) for cell in cells])
    assert "IPO shows a gain over the baseline template" in verdicts(table)[0]


def test_an_ablation_without_ipo_compares_each_row_with_the_reference():
    cells = make_cells(("embedded:a",), skills={"n = 10": 0.6, "n = 5": 0.5, "n = 0": 0.0})
    table = build_table(cells, reference="n = 0")
    assert table.methods == ["n = 10", "n = 5", "n = 0"]
    assert [sentence.split("H: ")[1].split(" shows")[0] for sentence in verdicts(table)] == ["“n = 10”", "“n = 5”"]


def test_it_is_said_that_the_seed_moved_nothing():
    cells = make_cells(("embedded:a",), {"baseline": 0.0, "n = 5": 0.5}, seeds=2)
    cells[1::2] = [replace(cell, seed=1) for cell in cells[::2]]
    assert any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))
    cells[-1] = altered(cells[-1], templates=("another <CLASS>",))
    assert not any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))
