"""Parts of a grid, and claims on its cells: each cell in one part, done by one process, taken over from the dead."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.cell import Cell
from ipo_prompts.experiments.compare.grid import GridCell
from ipo_prompts.experiments.compare.runner import check_free
from ipo_prompts.experiments.compare.sharing import DEAD_AFTER, claimed, holder, part_of
from ipo_prompts.metrics.errors import InputError

GONE = 2**22 + 1
"""The number of no process: above the largest that Linux gives."""


def cells_of(data: int, seeds: int, rows: int = 3) -> list[GridCell]:
    numbers = product(range(seeds), range(data), range(rows))
    return [
        GridCell(f"row {r}", Path(f"{d}/{r}/{s}"), Cell("few-shot", f"set {d}", "baseline", s)) for s, d, r in numbers
    ]


@pytest.mark.parametrize(
    ("data", "seeds", "parts"), [(11, 3, 4), (11, 3, 11), (4, 3, 2), (1, 5, 5), (2, 3, 6), (3, 1, 1)]
)
def test_each_cell_is_in_one_part_beside_the_other_rows_of_its_data_and_seed(data: int, seeds: int, parts: int) -> None:
    whole = cells_of(data, seeds)
    divided = [part_of(whole, f"{i}/{parts}") for i in range(1, parts + 1)]
    shares = [share for share, of in divided if of == parts]
    assert sorted(whole.index(entry) for share in shares for entry in share) == list(range(len(whole)))
    sizes = [len({(entry.cell.data, entry.cell.seed) for entry in share}) for share in shares]
    assert sum(sizes) == data * seeds and min(sizes) >= 1, "no pair is in two parts, no part is empty"
    assert max(sizes) - min(sizes) <= 1 + (data % parts == 0)
    for share in shares:
        most = Counter(entry.cell.data for entry in share if entry.label == "row 0").most_common(1)[0][1]
        assert most <= -(-seeds // min(parts, seeds)) + (parts < seeds), "a slow data set is in several parts"


@pytest.mark.parametrize("spec", ["", "0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4"])
def test_what_is_no_part_is_one_sentence(spec: str) -> None:
    with pytest.raises(InputError, match="is no part; write I/N"):
        part_of(cells_of(2, 2), spec)


def test_more_parts_than_pairs_of_data_and_seed_are_refused() -> None:
    with pytest.raises(InputError, match="at most 4 parts, not 5"):
        part_of(cells_of(2, 2), "1/5")


def claim(folder: Path, process: int, place: str, *, silent: float = 0) -> Path:
    """Leave the first claim on a cell, as another process would."""
    folder.mkdir(exist_ok=True)
    file = folder / "claim-1.json"
    file.write_text(json.dumps({"place": place, "process": process, "session": "other"}))
    os.utime(file, (file.stat().st_mtime - silent,) * 2)
    return file


def own_place() -> str:
    return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"


def test_a_cell_is_had_by_one_and_let_go_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broke"), claimed(tmp_path / "cell", "a") as first:
        assert first and holder(tmp_path / "cell") == f"process {os.getpid()} on {platform.node()}"
        with claimed(tmp_path / "cell", "b") as second:
            assert not second
        raise ValueError("it broke")
    assert holder(tmp_path / "cell") is None and not list((tmp_path / "cell").iterdir())


@pytest.mark.parametrize(
    ("process", "place", "silent", "free"),
    [
        (1, "elsewhere", 0, False),
        (1, "elsewhere", DEAD_AFTER - 60, False),
        (1, "elsewhere", DEAD_AFTER + 60, True),
        (GONE, "elsewhere", 0, False),
        (GONE, own_place(), 0, True),
        (os.getpid(), own_place(), 0, False),
        (GONE, f"{platform.node()} pid:[1]", 0, False),  # another container of this machine
    ],
    ids=["new", "silent", "too silent", "dead elsewhere", "dead here", "alive here", "another container"],
)
def test_a_cell_is_taken_from_the_dead_alone(
    tmp_path: Path, process: int, place: str, silent: float, free: bool
) -> None:
    claim(tmp_path / "cell", process, place, silent=silent)
    entry = GridCell("row", tmp_path / "cell", Cell("few-shot", "set", "baseline", 0))
    if free:
        check_free([entry])
    else:
        with pytest.raises(InputError, match=rf"another process works on the grid \(process {process} on "):
            check_free([entry])
    with claimed(tmp_path / "cell", "mine") as ours:
        assert ours == free
    assert bool(list((tmp_path / "cell").iterdir())) != free, "what was taken over is let go with the rest"


def test_a_dead_worker_of_the_same_session_does_not_hold_its_own_cell(tmp_path: Path) -> None:
    claim(tmp_path / "cell", 1, "elsewhere")
    with claimed(tmp_path / "cell", "other") as ours:
        assert ours


def take(folder: Path, ready: threading.Barrier, over: threading.Barrier, had: list[bool]) -> None:
    """Try to get the cell when all others do, and keep it until all have tried."""
    ready.wait()
    with claimed(folder, threading.current_thread().name) as ours:
        had.append(ours)
        over.wait()


def test_of_many_that_take_over_at_once_one_has_the_cell(tmp_path: Path) -> None:
    for number in range(20):
        folder, ready, over = tmp_path / str(number), threading.Barrier(8), threading.Barrier(8)
        claim(folder, GONE, own_place())
        had: list[bool] = []
        threads = [threading.Thread(target=take, args=(folder, ready, over, had)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(had) == [False] * 7 + [True]


def test_a_file_that_is_just_being_written_is_a_claim(tmp_path: Path) -> None:
    claim(tmp_path / "cell", 1, "elsewhere").write_text("")
    with claimed(tmp_path / "cell", "mine") as ours:
        assert not ours
