"""Threads of numerical libraries leave the cores to others."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from ipo.metrics.threads import SPINS, one_for_numpy


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
    script = f"import sys, ipo, os; print(*map(os.environ.get, {names}), 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.split() == [*expected, "False"]


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_numpy_multiplies_in_one_thread_inside_and_in_as_many_as_before_outside() -> None:
    np.ones((8, 8)) @ np.ones((8, 8))
    before = blas_threads()
    with one_for_numpy():
        assert blas_threads() == {1}
    assert blas_threads() == before
