"""Rows that are variants of a method, compared by their settings."""

from __future__ import annotations

from ipo_prompts.experiments.compare.documents import HELD_BACK, by_settings
from ipo_prompts.experiments.compare.tables.table import build_table
from ipo_prompts.experiments.compare.tables.words import notes
from support.scored_cells import make_cells


def test_rows_are_in_the_order_of_held_back_pictures_whatever_the_test_says() -> None:
    skills = {"baseline": 0.0, "size=0": 1.5, "size=5": 0.5, "size=10": 0.2}
    held_back = {"size=0": 0.01, "size=5": 0.04, "size=10": 0.02}
    cells = make_cells(("embedded:a",), skills, seeds=2, sides=("test",), protocol="few-shot")
    for cell in cells:
        cell["choice"] = {"gain": held_back.get(cell["cell"]["method"])}
    own = {name: {"size": int(name.partition("=")[2]), "lm": "x"} for name in held_back}
    _, (head, *listed), _, (_, *effects) = by_settings(build_table(cells), own)
    assert head[1] == HELD_BACK
    assert [line[:2] for line in listed] == [["size=5", "+4.00"], ["size=10", "+2.00"], ["size=0", "+1.00"]]
    assert effects == [["size", "0", "1", "+1.00"], ["size", "5", "1", "+4.00"], ["size", "10", "1", "+2.00"]]
    assert not by_settings(build_table(cells), {"size=0": own["size=0"]}), "one row compares nothing"


def test_it_is_said_which_setting_and_which_seed_moved_nothing() -> None:
    own = {f"{d}, {s}": {"describer": d, "strategy.size": s} for d in ("openai/x", "none") for s in (0, 5)}
    skills = {"baseline": 0.0} | {name: 0.5 + of["strategy.size"] for name, of in own.items()}
    cells = make_cells(("embedded:a",), skills, seeds=2, sides=("test",), protocol="few-shot")
    size_alone = {}
    for cell in cells:  # the describer and the seed decide nothing
        cell["choice"] = {"gain": 0.1}
        size = own.get(cell["cell"]["method"], {}).get("strategy.size")
        cell |= size_alone.setdefault(size, {name: cell[name] for name in ("templates", "scores")})
    told = "; rows that differ in nothing else ended with the same templates and values."
    *_, last = by_settings(build_table(cells), own)
    assert last == f"Moved nothing: describer{told}"
    assert any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))

    cells[-1] |= {"templates": [{"template": "another <CLASS>"}]}  # of one row under one seed
    assert isinstance(by_settings(build_table(cells), own)[-1], list)
    assert not any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))
