"""Executors: the same outcomes in the same order, dead workers retried, nothing left running."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.executors import DIED, Executor, Failure, Here, Ray, make_executor
from ipo_prompts.metrics.errors import InputError
from support.cells import cell, sums, threads, visible


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Ray on this machine with two workers, started the way the executor starts it, once for all tests here.

    Its two GPUs are in name alone: Ray counts them, and tells a worker which it has.
    """
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # `support` is not installed
        patch.setattr(ray, "init", partial(ray.init, num_gpus=2))
        Ray(None, 1)._connect()
        assert ray.cluster_resources()["CPU"] >= 2
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same number of threads for all: what makes outcomes equal to the last bit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield


def items(tmp_path: Path, name: str, *, deaths: bool = True) -> list[dict[str, Any]]:
    log, mark = str(tmp_path / f"{name}.log"), str(tmp_path / f"{name}.mark")
    made: list[dict[str, Any]] = [{"value": value, "log": log} for value in range(8)]
    made[0]["sleep"] = 0.3  # finishes after others
    made[2]["do"] = "raise"
    made[4]["do"] = "bad input"
    if deaths:
        made[1] |= {"do": "die once", "mark": mark}
        made[6]["do"] = "die"
    return made


def attempts(tmp_path: Path, name: str) -> list[int]:
    return sorted(int(line) for line in (tmp_path / f"{name}.log").read_text().split())


WANTED: list[Any] = [0, 1, Failure("ValueError", "no 2"), 9, Failure("InputError", "fix it."), 25, 36, 49]


def run(executor: Executor, function: Any, work: Sequence[Any]) -> list[Any]:
    """Return the outcomes in the order of the items."""
    told = dict(executor.run(function, work))
    return [told[index] for index in range(len(work))]


def test_here(tmp_path: Path) -> None:
    outcomes = run(make_executor("here"), cell, items(tmp_path, "here", deaths=False))
    assert outcomes == WANTED
    assert "in cell" in outcomes[2].trace
    assert outcomes[4].trace == ""


def test_the_same_outcomes_in_other_processes_and_a_dead_worker_costs_only_its_own_item(
    tmp_path: Path, local_ray: None
) -> None:
    outcomes = run(make_executor("ray"), cell, items(tmp_path, "there"))
    dead = outcomes.pop(6)
    assert (dead.kind, "died 3 times" in dead.message) == (DIED, True)
    assert outcomes == WANTED[:6] + WANTED[7:]
    assert attempts(tmp_path, "there") == [0, 1, 1, 2, 3, 4, 5, 6, 6, 6, 7]


def test_outcomes_are_equal_to_the_last_bit(local_ray: None) -> None:
    here = run(make_executor("here"), sums, [0, 1, 2])
    assert here == run(make_executor("ray"), sums, [0, 1, 2])
    assert len(set(map(str, here))) == 3


def test_items_compute_with_the_threads_that_were_asked_for() -> None:
    import torch

    before = torch.get_num_threads()
    assert run(make_executor("here"), threads, [0]) == [("1", 1)]
    assert run(Here(2), threads, [0]) == [("2", 2)]
    assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("1", before)


@pytest.mark.parametrize("spec", ["", "there", "pool:2", "ray:", "here:2"])
def test_an_unknown_executor_is_one_sentence(spec: str) -> None:
    with pytest.raises(InputError, match="there is no executor"):
        make_executor(spec)


def test_ray_gives_each_cell_a_gpu_or_the_share_that_is_asked_for(local_ray: None) -> None:
    work = [{"value": value} for value in range(3)]
    assert set(run(make_executor("ray"), visible, work)) <= {"0", "1"}
    assert "2 cells at once, each with 1 cores and 1 GPU; " in make_executor("ray").places()
    cores = os.cpu_count() or 1
    assert f"{min(8, cores)} cells at once, each" in make_executor("ray", gpus=0.25).places()
    assert f"{cores} cells at once, each with 1 cores, without GPU" in make_executor("ray", gpus=0).places()
