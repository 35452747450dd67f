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

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.data.sources import SOURCES, Source
from ipo_prompts.experiments.tasks import REWARDS, Classification
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import copy_images, ipo

PAGE = Path(__file__).parents[3] / "CONTRIBUTING.md"


class Losing(Classification):
    """A reward with a `score` of its own: the share of the images that are named wrongly."""

    measure = "miss rate"

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> ClipReward:
        class Missed(ClipReward):
            def score(self, templates: Sequence[str], images: Any) -> list[Any]:
                return [replace(s, hits=~s.hits, value=1 - s.value) for s in super().score(templates, images)]

        return Missed(clip, class_names, store, also_fit)


@pytest.fixture()
def table(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, float]]:
    """Run a grid; return the value of each row. Its language model has no key: nothing here may need one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    images = copy_images(tmp_path / "images")

    def run(methods: list[Any], measure: str = "accuracy", data: str = "folder", **settings: Any) -> dict[str, float]:
        shared = {"lm": "openai/gpt-4o-mini", "describer": "none", "shots": 1, "val_shots": 1, "steps": 2}
        grid = {"title": "t", "protocol": "few-shot", "data": [f"{data}:{images}"], "methods": methods, "seeds": 1}
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
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the rewards a line, and `Losing` the file that it names."""
    module = ModuleType("toy")
    module.__dict__["Losing"] = Losing
    monkeypatch.setitem(sys.modules, "ipo_prompts.experiments.toy", module)
    monkeypatch.setitem(REWARDS.homes, "toy", "toy:Losing")


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
    for file in Path("images").glob("*/*"):
        file.rename(file.parent.parent / f"{file.parent.name}__{file.name}")
    for folder in [one for one in Path("images").iterdir() if one.is_dir()]:
        folder.rmdir()
    values = table(["baseline", "one-adjective"], data="flat")
    assert values.keys() == {"baseline", "one-adjective"}
    (cell,) = Path("runs").rglob("one-adjective/*/result.json")
    assert json.loads(cell.read_text())["budget"]["scored_only"] == 4


def test_an_own_score_decides_in_every_row_and_what_it_does_not_score_is_absent(
    table: Callable[..., dict[str, float]], losing: None
) -> None:
    rows = ["baseline", "ensemble-80", "best-of-80", "prototype", "phrases"]
    plain = table(rows)
    Path("runs").rename("before")
    misses = table(rows, "miss rate", reward="toy")
    assert misses["baseline"] == pytest.approx(100 - plain["baseline"], abs=1e-3)
    assert misses["phrases"] > misses["baseline"], "the search looks at what it is scored with"
    assert set(plain) - set(misses) == {"ensemble-80", "prototype"}, "one template is not all that these are"
    (text,) = Path("runs").rglob("table.md")
    assert "this reward scores single templates only" in text.read_text()


def test_a_run_may_have_a_score_of_its_own(
    tmp_path: Path, cache: Path, losing: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calibrated: list[int] = []
    monkeypatch.setattr(TemplateClassifier, "calibrate", lambda self, images, hits: calibrated.append(len(images)))
    monkeypatch.chdir(tmp_path)
    shared = [f"--data=folder:{copy_images(tmp_path / 'images')}", "shots=2", "val_shots=1", "steps=2"]
    ended = ipo(capfd, "optimize", *shared, "--lm=none", "reward=toy", "--out=run")
    assert ended.code == 0, ended.err
    found = json.loads(Path("run/result.json").read_text())
    first = found["rows"][0]
    assert first["part"] == "train" and first["after"]["value"] >= first["before"]["value"]
    assert calibrated == [18], "its units are the images, on which probabilities can be fitted"
