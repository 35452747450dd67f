"""A stand-in for MLflow, which is no dependency of the tests: what `mlflow.dspy.autolog` does to DSPy's optimizers.

It follows the source of MLflow 3.17 (`mlflow/dspy/autolog.py`): autolog patches `compile` of those optimizers that are
subclasses of `Teleprompter` when it is called, opens a run for a compile if none is open, and logs plain arguments. It
keeps what is logged. It cannot show that the real package takes what we log.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from dspy.teleprompt import Teleprompter


class MlflowStandIn:
    """The modules `mlflow`, `mlflow.dspy` and `mlflow.utils.autologging_utils`, and what was logged in the last run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs, self.open = 0, False
        self.params: dict[str, Any] = {}
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.spans: list[Any] = []
        self._monkeypatch, self._switches = monkeypatch, dict[str, Any]()
        self._patched = set[type]()
        mlflow, flavour, utils, switches = (
            ModuleType(f"mlflow{name}") for name in ("", ".dspy", ".utils", ".utils.autologging_utils")
        )
        vars(mlflow).update(
            dspy=flavour,
            utils=utils,
            active_run=lambda: self.open or None,
            start_run=self.start_run,
            start_span=self.start_span,
            log_params=self.log_params,
            log_metrics=lambda metrics, step=0: self.metrics.append((step, metrics)),
        )
        vars(flavour).update(autolog=self.autolog)
        vars(utils).update(autologging_utils=switches)
        vars(switches).update(
            autologging_is_disabled=lambda name: self._switches.get("disable", True),
            get_autologging_config=lambda name, key: self._switches.get(key),
        )
        for module in (mlflow, flavour, utils, switches):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.delitem(sys.modules, "ipo_prompts.programs.in_mlflow", raising=False)

    def autolog(
        self, log_traces: bool = True, log_compiles: bool = False, disable: bool = False, **others: bool
    ) -> None:
        """Patch the optimizers that there are."""
        self._switches = {"log_traces": log_traces, "log_compiles": log_compiles, "disable": disable, **others}
        for optimizer in set(Teleprompter.__subclasses__()) - self._patched:
            self._patched.add(optimizer)
            self._monkeypatch.setattr(optimizer, "compile", self._logging(optimizer.compile))

    def _logging(self, original: Any) -> Any:
        def compile_logged(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._switches["log_compiles"] or self.open:
                return original(optimizer, *args, **kwargs)
            with self.start_run():
                return original(optimizer, *args, **kwargs)

        return compile_logged

    @contextmanager
    def start_run(self) -> Iterator[None]:
        """Begin a run with nothing in it."""
        self.runs, self.open, self.params, self.metrics = self.runs + 1, True, {}, []
        yield
        self.open = False

    @contextmanager
    def start_span(self, name: str) -> Iterator[Any]:
        """Keep the name of a span."""
        self.spans.append(name)
        span = ModuleType("span")
        vars(span).update(set_inputs=lambda inputs: self.spans.append(inputs))
        yield span

    def log_params(self, params: dict[str, Any]) -> None:
        """Keep parameters; as in MLflow, one that has a value keeps it."""
        if changed := [name for name in params if self.params.get(name, params[name]) != params[name]]:
            raise ValueError(f"Changing param values is not allowed: {changed}")
        self.params |= params
