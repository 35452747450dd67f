"""Threads of numerical libraries leave the cores to others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ipo_prompts.metrics.device import SPINS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["active", str(SPINS)]),
        ({"GOMP_SPINCOUNT": "7"}, ["active", "7"]),
        ({"OMP_WAIT_POLICY": "passive"}, ["passive", "None"]),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is Linux's")
def test_openmp_is_told_before_anything_loads_it(given: dict[str, str], expected: list[str]) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    script = f"import sys, ipo_prompts, os; print(*map(os.environ.get, {names}), 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.split() == [*expected, "False"]


SCRIPT = """
import numpy, torch
from threadpoolctl import threadpool_info
from ipo_prompts.metrics.device import one_for_numpy

def threads(api):
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == api}

torch.set_num_threads(2)
print(threads("blas"), threads("openmp"))
with one_for_numpy():
    print(threads("blas"), threads("openmp"))
print(threads("blas"), threads("openmp"))
"""


def test_numpy_multiplies_in_one_thread_inside_and_torch_in_as_many_as_before() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.splitlines() == ["{2} {2}", "{1} {2}", "{2} {2}"]
