"""Executors: the same outcomes in the same order, dead workers retried, nothing left running."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.executors import DIED, Executor, Failure, Ray, make_executor
from ipo_prompts.metrics.errors import InputError, to_install
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


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(InputError, match="cannot reach Ray at nowhere"):
        run(make_executor("ray:nowhere"), cell, [{"value": 1}])


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
    assert run(make_executor("here", threads=2), threads, [0]) == [("2", 2)]
    assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("1", before)


@pytest.mark.parametrize("spec", ["", "there", "pool:2", "ray:", "here:2"])
def test_an_unknown_executor_is_one_sentence(spec: str) -> None:
    with pytest.raises(InputError, match="there is no executor"):
        make_executor(spec)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=re.escape(to_install("ray"))):
        make_executor("ray")


def test_a_task_that_no_machine_can_hold_does_not_wait_for_ever(local_ray: None) -> None:
    with pytest.raises(InputError, match="asks for 1000 cores and 1 GPU and no machine of the Ray cluster has that"):
        run(make_executor("ray", threads=1000), cell, [{"value": 1}])


def test_ray_gives_each_cell_a_gpu_or_the_share_that_is_asked_for(local_ray: None) -> None:
    work = [{"value": value} for value in range(3)]
    assert set(run(make_executor("ray"), visible, work)) <= {"0", "1"}
    assert "2 cells at once, each with 1 cores and 1 GPU: 2 on " in make_executor("ray").places()
    cores = os.cpu_count() or 1
    assert f"{min(8, cores)} cells at once, each" in make_executor("ray", gpus=0.25).places()
    assert f"{cores} cells at once, each with 1 cores, without GPU" in make_executor("ray", gpus=0).places()


def test_a_share_where_there_is_no_gpu_is_refused(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    nodes = [{**node, "Resources": {"CPU": 4.0}} for node in ray.nodes()]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert "4 cells at once, each with 1 cores, without GPU" in make_executor("ray").places()
    with pytest.raises(InputError, match=r"1 cores and 0.5 GPU and no machine .* 0 GPUs\); lower .* or --gpu-share"):
        run(make_executor("ray", gpus=0.5), cell, [{"value": 1}])


@pytest.mark.parametrize(("spec", "gpus"), [("here", 1.0), ("ray", -1.0), ("ray", 2.0)])
def test_what_is_no_share_of_a_gpu_is_one_sentence(spec: str, gpus: float) -> None:
    with pytest.raises(InputError, match="--gpu-share is for the executor ray, and from 0 to 1"):
        make_executor(spec, gpus=gpus)
