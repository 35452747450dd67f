"""Strategies, rewards and methods of installed packages, found by the names of their entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import PROTOCOLS
from ipo_prompts.experiments.run.config import settings
from ipo_prompts.experiments.run.reading import config_of
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import installed, packages_of
from ipo_prompts.programs.strategies import STRATEGIES
from support.runs import events, lines_of

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"

MODULE = """
from pydantic import BaseModel

from ipo_prompts.experiments.compare.methods.base import Method
from ipo_prompts.metrics.classification import ClipReward

class Half(ClipReward):
    measure = "half"

class Mine(Method):
    label = "mine"

    def fit(self, lesson):
        pass

class Ask:
    class Settings(BaseModel):
        size: int = 3

    def __init__(self, size):
        self.size = size

    def ask(self, known, desk):
        pass

ready = Mine()
number = 3
"""
ENTRIES = """
[ipo_prompts.strategies]
ask = ipo_toy:Ask
history = ipo_toy:Ask
no-ask = ipo_toy:Half
broken = ipo_broken:Ask
gone = ipo_toy:Gone
[ipo_prompts.rewards]
half = ipo_toy:Half
[ipo_prompts.methods]
mine = ipo_toy:Mine
ready = ipo_toy:ready
number = ipo_toy:number
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package and, in the current folder, lay out files of the same names."""
    about = tmp_path / "site" / "ipo_toy-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ipo-toy\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    (about.parent / "ipo_toy.py").write_text(MODULE)
    (about.parent / "ipo_broken.py").write_text("1 / 0")
    (tmp_path / "ipo_toy.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(about.parent)
    installed.cache_clear()
    yield
    installed.cache_clear()
    sys.modules.pop("ipo_toy", None)


def test_each_is_found_by_its_name_and_is_what_a_class_of_ones_own_is() -> None:
    assert STRATEGIES.complete("ask") == {"name": "ask", "size": 3}
    assert STRATEGIES.build({"name": "ask", "size": 4}, None).size == 4
    assert REWARDS.find("half").measure == "half"
    assert METHODS.find("mine").label == METHODS.find("ready").label == "mine"
    assert "strategy.size" in [one.name for one in settings(["ask", "classification"])]


def test_a_name_that_ships_is_not_replaced_and_iteration_gives_what_ships() -> None:
    assert STRATEGIES.find("history").__module__ == "ipo_prompts.programs.strategies.history"
    assert "ask" not in STRATEGIES and "mine" not in METHODS


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aks", r"there is no strategy 'aks' \(did you mean ask.\); there are: compose, .*, list, ask, no-ask, .*"),
        (
            "broken",
            r"strategy=broken of the package ipo-toy cannot .*ipo_broken.py, line 1: ZeroDivisionError",
        ),
        ("gone", r"strategy=gone of the package ipo-toy cannot be used: AttributeError: .*'Gone'\."),
        ("no-ask", r"strategy=no-ask has no ask; see ipo docs strategies\."),
    ],
)
def test_one_that_cannot_be_used_is_refused_in_one_sentence(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        STRATEGIES.find(name)


def test_methods_and_protocols() -> None:
    with pytest.raises(InputError, match="method=number of the package ipo-toy cannot be used: "):
        METHODS.find("number")
    with pytest.raises(InputError, match="there is no protocol 'ask'"):
        PROTOCOLS.find("ask")


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (
            "ipo-climb",
            r"there is no strategy 'climb'.*; the run used the package ipo-climb: .* install ipo-climb`\.$",
        ),
        ("--index-url http://evil.example", r"there is no strategy 'climb'.* of your own\.$"),
    ],
)
def test_a_run_names_the_package_of_its_strategy(package: str, said: str, tmp_path: Path) -> None:
    assert packages_of({"strategy": {"name": "ask"}, "reward": {"name": "fit"}, "data": "x"}) == {"strategy": "ipo-toy"}
    told = [
        one | {"config": one["config"] | {"strategy": {"name": "climb"}}, "packages": {"strategy": package}}
        for one in events(RECORDED)
        if one["type"] == "start"
    ]
    (tmp_path / "journal.jsonl").write_text(lines_of(*told))
    with pytest.raises(InputError, match=said):
        config_of(tmp_path)
