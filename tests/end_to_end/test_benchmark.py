"""`ipo benchmark` over a real grid: killed and resumed, spread over processes, failing in part, stopped by a budget."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.run import prepared
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.lm.ledger import Question, read_questions
from support import soak
from support.killing import ForkServer
from support.openai_server import Asked, OpenAIServer, Reply, error, good, running
from support.runs import KEY, Ended, comparable, ipo

METHODS = ("baseline", "best-of-80", "prototype", "no-history", "ipo-paper")
SEARCHES = 2
SEEDS = 2
CELLS = len(METHODS) * SEEDS
CLASSES = ("bed", "bread", "carrot", "cheese", "chicken", "key", "lock", "mouse")
"""Hard to tell apart in domain c, so that templates differ in what they score."""
KILLS = 4
WORKER = b"ray::_attempt_on_ray"
"""What the command of a worker holds that is at an item."""
Here = Callable[..., Ended]


@dataclass
class Bench:
    """What the tests of this file share: a server, a fork server, a few images, a folder."""

    server: OpenAIServer
    forks: ForkServer
    images: Path
    folder: Path

    def words(
        self, name: str, *more: str, lm: str = "openai/test-model", methods: str = ",".join(METHODS)
    ) -> list[str]:
        """Return the words of a small grid whose cells go to the folder `name`."""
        grid = self.folder / "grid.yaml"
        grid.write_text("title: A small grid\nprotocol: base-to-new\nsettings: {describer: none, clip: embedded}\n")
        return [
            *("benchmark", str(grid), f"--out={self.folder / name}", f"data=folder:{self.images}"),
            *(f"methods={methods}", f"seeds={SEEDS}", f"lm={lm}", f"lm_api_base={self.server.base}"),
            *("shots=2", "val_shots=1", "steps=2", "candidates_per_step=3", *more),
        ]

    def start(self, name: str, *more: str) -> BaseProcess:
        """Start the grid in a process of its own, with a cache of its own: a cached reply would be no request."""
        return self.forks.start(self.words(name, *more), self.log(name), **self.environment(name))

    def run(self, name: str, *more: str) -> int:
        return self.forks.run(self.words(name, *more), self.log(name), **self.environment(name))

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def environment(self, name: str) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "IPO_CACHE_DIR": str(self.folder / "caches" / name),
            "OMP_NUM_THREADS": "1",
        }

    def tables(self, name: str) -> dict[str, bytes]:
        return {form: (self.folder / name / f"table.{form}").read_bytes() for form in ("md", "csv", "json")}

    def cells(self, name: str) -> list[Path]:
        # `rglob` ends with an error where a folder goes meanwhile, as those do in which files are made.
        places = os.walk(self.folder / name)
        return sorted(Path(place, "result.json") for place, _, files in places if "result.json" in files)

    def questions(self, name: str) -> list[Question]:
        """Return the questions of all cells of a grid."""
        runs = [file.parent for file in (self.folder / name).rglob("replies.jsonl")]
        return [question for run in runs for question in read_questions(run)]


@dataclass(frozen=True)
class Whole:
    """A grid that nobody disturbed: its tables, and how often it made each request."""

    tables: dict[str, bytes]
    requests: Counter[str]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("grids")
    with running() as server:
        yield Bench(server, ForkServer(), _copy_images(folder / "images"), folder)


def _copy_images(folder: Path) -> Path:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for image in sorted((IMAGES_DIR / "c" / name).iterdir())[:6]:
            shutil.copy(image, folder / name)
    return folder


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Whole:
    bench.server.fresh()
    assert bench.run("whole") == 0, bench.log("whole").read_text()
    assert len(bench.cells("whole")) == CELLS
    return Whole(bench.tables("whole"), Counter(asked.same for asked in bench.server.asked))


def test_a_whole_grid_asks_once_and_says_what_it_did(bench: Bench, whole: Whole) -> None:
    assert len(bench.questions("whole")) == sum(whole.requests.values()) >= 2 * SEARCHES * SEEDS
    log = bench.log("whole").read_text()
    for number in range(1, CELLS + 1):
        assert f"\n{number}/{CELLS}  " in f"\n{log}"
    assert whole.tables["md"].decode() in log
    assert whole.tables["md"].startswith(b"## A small grid\n")
    content = json.loads(whole.tables["json"])
    assert content["title"] == "A small grid" and content["ablations"] == []
    rows = [line for line in content["lines"] if not line["over"] and line["column"] == "base"]
    assert [row["seeds"] for row in rows] == [SEEDS] * len(METHODS)
    values = {row["method"]: row["value"] for row in rows}
    assert set(values) == set(METHODS) and len(set(values.values())) > 2, "the images tell the methods apart"


@pytest.mark.parametrize("seed", range(-(-soak.count(KILLS, 100) // KILLS)))
def test_killed_and_resumed_it_makes_the_same_table_and_asks_nothing_twice(
    bench: Bench, whole: Whole, record_property: Callable[[str, object], None], seed: int
) -> None:
    record_property("tried", KILLS)
    record_property("note", f"grid x{KILLS}")
    name, rng = f"killed-{seed}", random.Random(soak.SEED + seed)
    bench.server.fresh()
    for point in sorted(rng.sample(range(CELLS - 3), KILLS)):  # so late that three cells still ask, and no later
        process = bench.start(name)
        _kill(bench, process, name, point, rng)
        assert process.exitcode == -signal.SIGKILL, bench.log(name).read_text()
    assert not (bench.folder / name / "table.md").exists()
    assert bench.run(name) == 0, bench.log(name).read_text()

    check_resumed(bench, whole, name, KILLS)


def check_resumed(bench: Bench, whole: Whole, name: str, kills: int) -> None:
    """Check that it ended as if nothing had happened, and what was asked again."""
    assert bench.tables(name) == whole.tables
    for ours, theirs in zip(bench.cells(name), bench.cells("whole"), strict=True):
        assert comparable(ours.parent) == comparable(theirs.parent)
    questions = bench.questions(name)
    assert sum(question.state == "answered" for question in questions) == whole.requests.total()
    asked = Counter(asked.same for asked in bench.server.asked)
    assert asked.keys() == whole.requests.keys()
    assert 0 <= asked.total() - whole.requests.total() <= kills, "only what was under way at a kill is asked again"
    assert asked.total() <= len(questions), "a question was sent that was not booked"


def _kill(bench: Bench, process: BaseProcess, name: str, point: int, rng: random.Random) -> None:
    """Kill when `point` cells are done, a moment later, or at the next request before it is answered."""
    asking, dead = threading.Event(), threading.Event()
    at_request, delay = rng.random() < 0.5, rng.choice((0.0, rng.uniform(0, 0.05), rng.uniform(0, 0.3)))

    def hold(asked: Asked) -> None:
        if at_request and len(bench.cells(name)) >= point:
            asking.set()
            dead.wait(60)

    bench.server.on_request = hold
    reached = None
    while process.is_alive() and not asking.is_set():
        if reached is None and len(bench.cells(name)) >= point:
            reached = time.monotonic()
        if reached is not None and not at_request and time.monotonic() - reached >= delay:
            break
        time.sleep(0.005)
    process.kill()
    process.join()
    dead.set()
    bench.server.on_request = lambda asked: None


@pytest.mark.parametrize("number", range(soak.count(1, 100) // 10 or 1))
def test_a_worker_that_is_killed_costs_only_its_own_cell(
    bench: Bench, whole: Whole, record_property: Callable[[str, object], None], number: int
) -> None:
    record_property("note", "ray worker")
    server, name = bench.server.fresh(), f"ray-{number}"
    dead: list[int] = []

    def kill_one(asked: Asked) -> None:
        workers = _workers_of(process.pid or 0, WORKER)
        if not dead and len(bench.cells(name)) >= 2 + number % 4 and workers:
            dead.append(workers[asked.number % len(workers)])
            os.kill(dead[0], signal.SIGKILL)

    server.on_request = kill_one
    process = bench.start(name, "--executor=ray")
    process.join(240)
    assert process.exitcode == 0 and dead, bench.log(name).read_text()
    check_resumed(bench, whole, name, kills=1)


def _workers_of(ancestor: int, called: bytes) -> list[int]:
    """Return the processes below one that answer items now, by their command; the resource tracker is none of them."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])

    def is_below(pid: int) -> bool:
        return pid in parents and (parents[pid] == ancestor or is_below(parents[pid]))

    found = []
    for pid in filter(is_below, parents):
        with suppress(OSError):
            found += [pid] if called in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


def test_a_second_process_is_refused_and_the_first_goes_on(bench: Bench, here: Here) -> None:
    go, asked = threading.Event(), threading.Event()
    bench.server.fresh().on_request = lambda request: (asked.set(), go.wait(60))  # type: ignore[func-returns-value]
    first = bench.start("double", "seeds=1", "methods=baseline,ipo-default")
    assert asked.wait(60)
    ended = here("double", "seeds=1", "methods=baseline,ipo-default")
    go.set()
    first.join(60)
    assert first.exitcode == 0, bench.log("double").read_text()
    assert ended.code == 2 and ended.out == ""
    assert "another process works on the grid in " in ended.sentence


@pytest.fixture()
def here(
    bench: Bench,
    cache: Path,
    light: None,
    quick: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Here:
    """Run the grid in this process, with the cache of its name."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def run(name: str, *more: str, **given: str) -> Ended:
        monkeypatch.setenv("IPO_CACHE_DIR", bench.environment(name)["IPO_CACHE_DIR"])
        return ipo(capfd, *bench.words(name, *more, **given))

    return run


def test_a_cell_that_fails_stops_no_other_and_the_same_command_runs_it_again(
    bench: Bench, whole: Whole, here: Here
) -> None:
    rows = "baseline,no-history,prototype"
    shutil.copytree(bench.folder / "whole" / "cells", bench.folder / "unspoilt" / "cells")
    bench.server.fresh()
    assert here("unspoilt", methods=rows).code == 0 and not bench.server.asked, "the cells are those of the whole grid"
    server, out = bench.server.fresh(), bench.folder / "spoilt"

    def behave(asked: Asked) -> Reply:
        """Fail in the second seed of no-history."""
        begun = list(out.glob("cells/*/no-history/seed-1/replies.jsonl"))
        return error(500, f"no luck, {KEY} | <b>") if begun else good(asked)

    server.behave = behave
    ended = here("spoilt", methods=rows)
    assert ended.code == 1
    assert "no-history  seed 1 failed (LM" in ended.sentence
    assert "the same command runs the failed cells again" in ended.err
    assert ended.out == (out / "table.md").read_text()
    assert KEY not in ended.out + ended.err
    lines = json.loads((out / "table.json").read_text())["lines"]
    row = next(line for line in lines if line["method"] == "no-history")
    assert row["seeds"] == 1 and row["remark"].startswith("failed: ")
    assert re.search(r"\(note \d\) failed: .*&lt;b>", ended.out)
    (trace,) = out.rglob("failure.txt")
    assert "Traceback" in trace.read_text() and KEY not in trace.read_text()
    assert len(bench.cells("spoilt")) == 5

    asked = len(server.fresh().asked)
    ended = here("spoilt", methods=rows)
    assert ended.code == 0, ended.err
    assert ended.err.startswith("6/6  ") and asked < len(server.asked) <= 3, "only the failed cell was done"
    assert bench.tables("spoilt") == bench.tables("unspoilt")
    assert not trace.exists()


PRICED = "openai/gpt-4o-mini"


def test_a_budget_stops_the_grid_and_a_larger_one_goes_on(bench: Bench, here: Here) -> None:
    rows = "baseline,no-history"
    server = bench.server.fresh()
    assert here("unlimited", methods=rows, lm=PRICED).code == 0
    requests = Counter(asked.same for asked in server.asked)
    server.fresh()
    ended = here("limited", "--budget-usd=0.0001", "--json", methods=rows, lm=PRICED)
    assert ended.code == 3
    assert len(bench.cells("limited")) == 2, "the first cell that costs money reaches it"
    content = json.loads(ended.out)
    ours = [line for line in content["lines"] if not line["over"]]
    assert {line["method"]: line["remark"] for line in ours} == {"baseline": "not run yet", "no-history": "not run yet"}
    assert {line["seeds"] for line in ours} == {1}
    assert "of $0.0001 spent, 2 of 4 are left; resume with the same command and a larger --budget-usd" in ended.err
    asked = len(server.asked)
    assert here("limited", "--budget-usd=0.0001", methods=rows, lm=PRICED).code == 3
    assert len(server.asked) == asked, "what is spent is remembered"
    assert here("limited", "--budget-usd=1", methods=rows, lm=PRICED).code == 0
    assert bench.tables("limited") == bench.tables("unlimited")
    assert Counter(asked.same for asked in server.asked) == requests


def test_another_grid_in_the_same_folder_is_refused_and_leaves_it_as_it_was(bench: Bench, here: Here) -> None:
    assert here("same", "seeds=1", methods="baseline,class-name").code == 0
    before = (bench.folder / "same" / "grid.yaml").read_text()
    ended = here("same", "seeds=1", "shots=1", methods="baseline,class-name")
    assert ended.code == 2 and "holds another cell; choose another folder" in ended.sentence
    assert (bench.folder / "same" / "grid.yaml").read_text() == before
    assert here("same", "seeds=2", methods="baseline,class-name,best-of-80").code == 0, (
        "more rows and seeds are welcome"
    )


def test_a_dry_run_counts_and_touches_nothing(bench: Bench, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(LazyImage, "bytes", lambda image: opened.append(image.name))
    monkeypatch.setattr(prepared, "loaded", lambda *_: pytest.fail("no model is needed"))
    server = bench.server.fresh()
    ended = here("dry", "--dry-run", "--json", lm=PRICED)
    forecast = json.loads(ended.out)
    assert ended.code == 0
    assert (forecast["cells"], forecast["calls"]) == (CELLS, 2 * SEARCHES * SEEDS)
    assert forecast["tokens"] > 1000 and 0 < forecast["usd"] < 0.1 and forecast["minutes"] > 0
    text = here("dry", "--dry-run").out
    assert f"together: {CELLS} cells, 8 calls, " in text and "price unknown" in text and "minutes" in text
    assert not (bench.folder / "dry").exists()
    assert server.asked == [] and opened == []
