"""What a new method, strategy, reward or data source needs to be in a table: its file and its line, and no more."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.data.sources import SOURCES, Source
from ipo_prompts.experiments.tasks import REWARDS, Classification
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.registry import Registry
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import Ended, copy_pictures, ipo

PAGE = Path(__file__).parents[3] / "CONTRIBUTING.md"


class Repeating:
    """A strategy without a language model that has a setting of its own."""

    class Settings(BaseModel, extra="forbid", frozen=True):
        word: str = "plain"

    def __init__(self, word: str) -> None:
        self.word = word

    def ask(self, bench: Bench) -> str:
        bench.propose([f"a {self.word} of a <CLASS>."])
        return "it knows one template"


class Misses(Classification):
    """A reward: what it counts is called otherwise, and is the share of the pictures that are named wrongly."""

    measure = "miss rate"
    unit = "specimens"

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> ClipReward:
        class Reversed(ClipReward):
            def judge_embeddings(self, classes: Any, units: Any) -> Any:
                return super().judge_embeddings([-rows for rows in classes], units)

        return Reversed(clip, class_names, store, also_fit)


class Losing(Misses):
    """The same measure by an own `score`, which only says what single templates get."""

    unit = "pictures"

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> ClipReward:
        class Missed(ClipReward):
            def score(self, templates: Sequence[str], pictures: Any) -> list[Any]:
                return [replace(s, hits=~s.hits, value=1 - s.value) for s in super().score(templates, pictures)]

        return Missed(clip, class_names, store, also_fit)


@pytest.fixture()
def table(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, float]]:
    """Run a grid; return the value of each row. Its language model has no key: nothing here may need one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    pictures = copy_pictures(tmp_path / "pictures")

    def run(methods: list[Any], measure: str = "accuracy", data: str = "folder", **settings: Any) -> dict[str, float]:
        shared = {"lm": "openai/gpt-4o-mini", "describer": "none", "shots": 1, "selection_shots": 1, "steps": 2}
        grid = {"title": "t", "protocol": "few-shot", "data": [f"{data}:{pictures}"], "methods": methods, "seeds": 1}
        Path("toy.yaml").write_text(yaml.safe_dump({**grid, "settings": {**shared, **settings}}))
        assert ipo(capfd, "benchmark", "toy.yaml", "--dry-run").code == 0
        ended = ipo(capfd, "benchmark", "toy.yaml", "--json")
        assert ended.code == 0, ended.err
        content = json.loads(ended.out)
        assert content["measure"] == measure
        lines = [line for line in content["lines"] if not line["over"] and line["column"] == "test"]
        return {line["method"]: line["value"] for line in lines if "value" in line}

    return run


@pytest.fixture()
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry, str, type], None]:
    """Give a registry a line, and a class the file that it names."""

    def add(registry: Registry, package: str, found: type) -> None:
        module = ModuleType("toy")
        module.__dict__["Toy"] = found
        monkeypatch.setitem(sys.modules, f"{package}.toy", module)
        monkeypatch.setitem(registry.homes, "toy", "toy:Toy")

    return add


def test_the_method_and_the_source_of_the_page_are_a_file_and_a_line_each(
    table: Callable[..., dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    method, source = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert max(len(block.splitlines()) for block in (method, source)) <= 40
    made, read = ModuleType("adjective"), dict[str, Any]()
    exec(method, made.__dict__)
    exec(source, read)
    monkeypatch.setitem(sys.modules, "ipo_prompts.experiments.compare.adjective", made)
    assert '`"one-adjective": "adjective:ONE_ADJECTIVE"`' in text
    assert '`"flat": Source(gather_flat, "flat:PATH")`' in text
    monkeypatch.setitem(METHODS.homes, "one-adjective", "adjective:ONE_ADJECTIVE")
    monkeypatch.setitem(SOURCES, "flat", Source(read["gather_flat"], "flat:PATH"))
    for file in Path("pictures").glob("*/*"):
        file.rename(file.parent.parent / f"{file.parent.name}__{file.name}")
    for folder in [one for one in Path("pictures").iterdir() if one.is_dir()]:
        folder.rmdir()
    values = table(["baseline", "one-adjective"], data="flat")
    assert values.keys() == {"baseline", "one-adjective"}
    (cell,) = Path("runs").rglob("one-adjective/*/cell.json")
    assert json.loads(cell.read_text())["budget"]["scored_only"] == 4


def test_an_own_score_decides_in_every_row_and_what_it_does_not_score_is_absent(
    table: Callable[..., dict[str, float]], register: Callable[..., None]
) -> None:
    register(REWARDS, "ipo_prompts.experiments", Losing)
    rows = ["baseline", "ensemble-80", "best-of-80", "class-mean", "phrases"]
    plain = table(rows)
    Path("runs").rename("before")
    misses = table(rows, "miss rate", reward="toy")
    assert misses["baseline"] == pytest.approx(100 - plain["baseline"], abs=1e-3)
    assert misses["phrases"] > misses["baseline"], "the search looks at what it is scored with"
    assert set(plain) - set(misses) == {"ensemble-80", "class-mean"}, "one template is not all that these are"
    (text,) = Path("runs").rglob("table.md")
    assert "this reward scores single templates only" in text.read_text()


@pytest.fixture()
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """On how many pictures probabilities were fitted, each time."""
    told: list[int] = []
    monkeypatch.setattr(TemplateClassifier, "calibrate", lambda self, pictures, hits: told.append(len(pictures)))
    return told


@pytest.fixture()
def optimise(
    tmp_path: Path,
    cache: Path,
    register: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Ended]:
    """Run `ipo optimize` with a reward of one's own."""
    monkeypatch.chdir(tmp_path)
    pictures = copy_pictures(tmp_path / "pictures")

    def run(task: type, *words: str) -> Ended:
        register(REWARDS, "ipo_prompts.experiments", task)
        shared = [f"--data=folder:{pictures}", "--lm=none", "reward=toy", "shots=2", "selection_shots=1", "steps=2"]
        return ipo(capfd, "optimize", *shared, "--out=run", *words)

    return run


def test_a_run_may_have_a_score_of_its_own(optimise: Callable[..., Ended], calibrated: list[int]) -> None:
    ended = optimise(Losing)
    assert ended.code == 0, ended.err
    found = json.loads(Path("run/result.json").read_text())
    first = found["rows"][0]
    assert first["part"] == "search" and first["after"]["value"] >= first["before"]["value"]
    assert calibrated == [18], "its units are the pictures, on which probabilities can be fitted"
