"""Log a `compile` of `IPO` in MLflow (ipo docs mlflow): its parameters, the numbers of each step, its questions.

`mlflow.dspy.autolog` opens the MLflow run and keeps the program. It logs only plain arguments of `compile`, and `IPO`
takes its settings in its constructor; and it logs scores of `dspy.Evaluate`, which a search does not call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import mlflow
from mlflow.utils import autologging_utils

from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.running import numbers_of
from ipo_prompts.programs.search import Step

LOGS = ("log_traces", "log_traces_from_compile", "log_traces_from_eval", "log_compiles", "log_evals", "silent")
"""The switches of `mlflow.dspy.autolog`."""
progress = logging.getLogger("dspy.teleprompt.ipo")


def find_ipo() -> None:
    """Call `mlflow.dspy.autolog` as it was called: it finds only those optimizers that are imported before the call."""
    if not autologging_utils.autologging_is_disabled("dspy"):
        mlflow.dspy.autolog(**{name: _is_on(name) for name in LOGS})


@contextmanager
def logged(parameters: Mapping[str, Any]) -> Iterator[Callable[[Step, Ledger], None]]:
    """Log a compile that runs within the block, if autolog logs compiles. A failing log is a warning.

    Args:
        parameters: what the compile was asked for, by name. Those without a value are left out.

    Yields:
        The function that logs a step.
    """
    asked = {name: value for name, value in parameters.items() if value is not None}
    logs = _is_on("log_compiles") and mlflow.active_run() is not None

    def surviving(one: Callable[..., object], *values: Any) -> None:
        try:
            if logs:
                one(*values)
        except Exception as error:  # a failing log must not end a search that cost money
            progress.warning("MLflow: %s; the search goes on.", " ".join(str(error).split())[:200])

    def told(step: Step, ledger: Ledger) -> None:
        surviving(mlflow.log_metrics, numbers_of(step, ledger), step.number + 1)

    surviving(mlflow.log_params, asked)
    # What is asked within this span stands below it.
    with mlflow.start_span("IPO.compile") if _is_on("log_traces") else nullcontext() as span:
        if span:
            span.set_inputs(asked)
        yield told


def _is_on(name: str) -> bool:
    disabled = autologging_utils.autologging_is_disabled("dspy")
    return not disabled and bool(autologging_utils.get_autologging_config("dspy", name))
