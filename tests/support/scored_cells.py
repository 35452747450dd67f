"""Synthetic cells of a benchmark, and look-ups in the table that is made of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.cell import MethodResult
from ipo_prompts.experiments.compare.methods import METHODS, Facts
from ipo_prompts.experiments.compare.scores import OWN_SIDE, ColumnScore, Placed
from ipo_prompts.experiments.compare.table import Table
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.result import Budget, RewardNames, Tested
from ipo_prompts.metrics.verdict import Verdict
from ipo_prompts.programs.state import ClipUsed

CLASSES, PER_CLASS = 12, 10
SKILLS = {"baseline": 0.0, "hand-written": 0.1, "ensemble-80": 0.2, "phrases": 0.2, "ipo-default": 1.5}


def _noise(*key: Any, size: int) -> Any:
    return np.random.default_rng([zlib.crc32(repr(key).encode())]).normal(size=size)


def _side(data: str, side: str, method: str, seed: int, skill: float) -> Tested:
    """Images have a difficulty of their own and of their class, which all methods and seeds share."""
    n = CLASSES * PER_CLASS
    hardness = _noise(data, side, size=CLASSES).repeat(PER_CLASS) + _noise(data, side, "image", size=n)
    hits = (hardness + 0.5 * _noise(data, side, method, seed, size=n) < skill).astype(int)
    return Tested(
        classes=CLASSES,
        split="own",
        images=f"{data}-{side}",
        labels=tuple(i // PER_CLASS for i in range(n)),
        draws=None,
        hits={"answer": "".join(map(str, hits))},
    )


def make_cell(
    data: str,
    method: str,
    seed: int,
    skill: float,
    sides: Sequence[str] = ("base", "new"),
    protocol: str = "base-to-new",
) -> Placed:
    """Make a cell with its record; the higher the skill, the more images are right."""
    if method in METHODS:
        facts = METHODS.find(method).facts(RunConfig())
    else:
        facts = Facts(label=f"“{method}”", is_opponent=False)
    searched, own = facts.depends_on_seed, OWN_SIDE.get(protocol)
    result = MethodResult(
        cell="any",
        facts=facts,
        reward=RewardNames(),
        clip=ClipUsed(name="embedded", fingerprint="any", precision="fp32"),
        seed=seed,
        templates=(f"{method} {seed} of a <CLASS>.",),
        tests={
            "test" if side == own else side: _side(data, side, method, seed if searched else 0, skill) for side in sides
        },
        shown={"train": 0.9} if searched else {},
        budget=Budget(proposals=40, calls=8, tokens_in=900, tokens_out=90, usd=0.01 if searched else 0.0),
    )
    return Placed(protocol, data, method, seed, facts, result)


def altered(cell: Placed, **about: Any) -> Placed:
    """Return the cell with other fields in its record."""
    return replace(cell, result=cell.done.model_copy(update=about))


def retest(cell: Placed, name: str, **about: Any) -> None:
    """Change fields of a cell's test set."""
    cell.done.tests[name] = cell.done.tests[name].model_copy(update=about)


def make_cells(
    data: Sequence[str] = ("embedded:a", "embedded:b"),
    skills: Mapping[str, float] = SKILLS,
    seeds: int = 3,
    **kind: Any,
) -> list[Placed]:
    """Make a cell of each data set, method and seed."""
    return [
        make_cell(name, method, seed, skill, **kind)
        for name in data
        for method, skill in skills.items()
        for seed in range(seeds)
    ]


def score_of(table: Table, scope: str, method: str, column: str) -> ColumnScore | None:
    """Return what stands in a row and column."""
    line = table.line(scope, method, column)
    return line and ColumnScore(*(getattr(line, name) for name in ColumnScore._fields))


def gain_of(table: Table, scope: str, method: str, other: str, column: str) -> Verdict:
    """Return the comparison of two methods in a column."""
    verdict: Verdict = table.line(scope, method, column, over=other).verdict
    return verdict


def columns_of(text: str, words: str) -> list[str]:
    """Return what stands in the columns of the first row of a Markdown table that has the words, from 1."""
    line = next(line for line in text.splitlines() if words in line)
    return [cell.strip() for cell in line.split("|")]
