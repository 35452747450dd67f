"""When rows agree, which precision counts, and what the answer says."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from benchmarks.lab.printed import TemplateRow, TemplateTable, answer, beside_print

PLAIN = "a photo of a <CLASS>."
CAPITAL = "A photo of a <CLASS>."


def row(base: float, new: float, template: str = PLAIN, **more: Any) -> TemplateRow:
    return TemplateRow(template=template, base=base, new=new, H=2 * base * new / (base + new), **more)


def compared(*rows: TemplateRow, sizes: tuple[int, int] = (1000, 1000), data: str = "d", **hits: Any) -> pd.DataFrame:
    """Rows beside hits by precision, each the pair of every row."""
    table = TemplateTable(data=data, source="s", checked=True, rows=rows)
    found = [
        beside_print(table, "official", sizes, name, {one.template: pair for one in rows})
        for name, pair in hits.items()
    ]
    return pd.concat(found, ignore_index=True)


@pytest.mark.parametrize(
    ("sizes", "hits", "agrees"),
    [
        ((1000, 1000), (500, 500), True),
        ((1000, 1000), (501, 499), True),  # 0.1 points
        ((1000, 1000), (502, 500), False),  # 0.2 points
        ((1000, 1000), (500, 498), False),
        ((10_000, 10_000), (5015, 4985), True),  # 0.15 points, fifteen images
        ((10_000, 10_000), (5016, 5000), False),
        ((100, 100), (51, 49), True),  # one image is a point
        ((100, 100), (52, 50), False),
        ((100, 10_000), (51, 5016), False),  # each half has its own tolerance
    ],
)
def test_one_image_or_015_points_are_agreement(sizes: tuple[int, int], hits: tuple[int, int], agrees: bool) -> None:
    found = compared(row(50.0, 50.0), sizes=sizes, fp32=hits)
    assert found.agrees.tolist() == [agrees]
    assert answer(found, [])[1] is agrees


def test_print_is_rounded() -> None:
    for printed, agrees in ((50.155, True), (50.156, False)):
        found = compared(row(printed, 50), sizes=(100_000, 100_000), fp32=(50_000, 50_000))
        assert found.agrees.tolist() == [agrees]


def test_the_difference_that_matters_is_named() -> None:
    """A point is one image of a hundred; half a point is fifty of ten thousand."""
    found = compared(row(50, 50), sizes=(100, 10_000), fp32=(51, 5050))
    assert found[["off", "half"]].values.tolist() == [[0.5, "new"]]


def test_the_precision_with_more_agreement_counts_for_all_data_sets() -> None:
    first = compared(row(50, 50), data="x", fp32=(500, 500), fp16=(400, 500))
    others = [compared(row(50, 50), data=name, fp32=(400, 500), fp16=(500, 500)) for name in "yz"]
    told, agree = answer(pd.concat([first, *others], ignore_index=True), [])
    assert not agree and told == (
        f"2 of 3 deciding rows agree in fp16, 1 in fp32. x: 0 of 1 agree, off by up to -10.00 points (base, `{PLAIN}`)."
    )
    assert answer(first, []) == (
        "1 of 1 deciding rows agree in fp32, 0 in fp16: data, split, CLIP and precision are right.",
        True,
    )


def test_rows_that_do_not_decide_change_no_answer() -> None:
    found = compared(row(50, 50), row(10, 10, "the <CLASS>.", decides=False), fp32=(500, 500))
    assert found.agrees.tolist() == [True, False]
    told, agree = answer(found, [])
    assert agree and "1 of 1 deciding rows agree" in told
    none = compared(row(10, 10, decides=False), fp32=(500, 500))
    assert answer(none, ["dtd"])[0] == (
        "None of these rows can decide whether data, split and CLIP are right. Not measured: dtd."
    )


def test_a_row_that_cannot_be_measured_does_not_agree() -> None:
    found = compared(row(50, 50), fp32="it is too long")
    assert found.remark.tolist() == ["Not measured: it is too long"]
    told, agree = answer(found, [])
    assert not agree and "d: 0 of 1 agree, the others cannot be measured" in told


def test_contradictions_stand_beside_their_rows() -> None:
    found = compared(
        row(50, 50, follows={"H": 49.0}),
        row(50.1, 50),
        row(50.2, 50, CAPITAL),
        row(50, 50, "the <CLASS>."),
        fp32=(500, 500),
    )
    first, _, third, other = found.remark
    assert first == (
        "The printed H (50.00) does not follow from its neighbours, which give 49.00. "
        f"Also printed as “{PLAIN}” with 50.10 / 50.00. Also printed as “{CAPITAL}” with 50.20 / 50.00."
    )
    assert third.count(f"Also printed as “{PLAIN}” with ") == 2
    assert other == ""
