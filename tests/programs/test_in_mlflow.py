"""A compile in MLflow, by a stand-in for the package; and pictures, as MLflow writes them."""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import asdict, is_dataclass
from typing import Any

import pandas as pd
import pytest

from ipo_prompts.experiments.data import Draw, draw, load_data
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.programs import optimizer as home
from ipo_prompts.programs.classifier import TemplateClassifier
from support.mlflow_stand_in import MlflowStandIn

TRIED = ["a photo of the <CLASS>.", "a drawing of a <CLASS>."]


@pytest.fixture()
def mlflow(monkeypatch: pytest.MonkeyPatch) -> MlflowStandIn:
    return MlflowStandIn(monkeypatch)


@pytest.fixture(scope="module")
def data() -> Draw:
    return draw(load_data("embedded", seed=0), shots=1, selection_shots=1, seed=0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip("embedded")


def compile_in(module: Any, clip: Clip, data: Draw, **settings: Any) -> Any:
    student = TemplateClassifier(clip, data.class_names)
    sets = {"trainset": data.examples("search"), "valset": data.examples("selection")}
    return module.IPO(strategy=TRIED, describer=None, steps=1, **settings).compile(student, **sets)


def test_parameters_steps_and_a_trace_are_logged(mlflow: MlflowStandIn, clip: Clip, data: Draw) -> None:
    mlflow.autolog(log_compiles=True)
    program = compile_in(home, clip, data, seed=3)
    assert mlflow.runs == 1
    names = ("seed", "steps", "classes", "trainset", "valset", "reward")
    assert [mlflow.params[name] for name in names] == [3, 1, 68, 68, 68, "ClipReward"]
    assert not {*map(str, mlflow.params.values())} & {*data.class_names}
    steps = program.search.steps
    assert [(step, row["best/accuracy"]) for step, row in mlflow.metrics] == [
        (step.number + 1, step.best.value) for step in steps
    ]
    assert len(steps) == 2 and mlflow.spans == ["IPO.compile", mlflow.params]


def test_ipo_is_found_where_it_is_imported_after_autolog(mlflow: MlflowStandIn, clip: Clip, data: Draw) -> None:
    mlflow.autolog(log_compiles=True)
    spec = importlib.util.spec_from_file_location("imported_later", home.__file__)
    assert spec and spec.loader
    later = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(later)
    compile_in(later, clip, data)
    assert mlflow.runs == 1 and [step for step, _ in mlflow.metrics] == [0, 1]


@pytest.mark.parametrize("switches", [{}, {"log_compiles": True, "disable": True}, None])
def test_nothing_is_logged_that_autolog_was_not_told_to_log(
    mlflow: MlflowStandIn, clip: Clip, data: Draw, switches: dict[str, bool] | None
) -> None:
    if switches is not None:
        mlflow.autolog(**switches)
    with mlflow.start_run():  # the user's own run
        compile_in(home, clip, data)
    assert (mlflow.params, mlflow.metrics) == ({}, [])
    assert mlflow.spans[:1] == (["IPO.compile"] if switches == {} else [])


def test_a_log_that_fails_does_not_end_the_search(
    mlflow: MlflowStandIn, clip: Clip, data: Draw, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.autolog(log_compiles=True)
    monkeypatch.setattr(logging.getLogger("dspy"), "propagate", True)
    caplog.set_level(logging.WARNING, "dspy")  # the command line, which other tests call, silences DSPy's own messages
    with mlflow.start_run():
        compile_in(home, clip, data, seed=1)
        compile_in(home, clip, data, seed=2)
    assert "Changing param values is not allowed" in caplog.text
    assert len(mlflow.metrics) == 4


def test_pictures_are_written_without_their_paths(data: Draw) -> None:
    picture = data.search[0].picture
    assert not is_dataclass(picture)  # MLflow's traces take the fields of a dataclass, of others the repr
    assert repr(picture) == "<picture>" and asdict(data.search[0])["picture"] == picture
    (row,) = json.loads(pd.DataFrame({"image": [picture]}).to_json(orient="values"))  # as its tables
    assert set(row[0]) == {"known"}
