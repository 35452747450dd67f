"""kill -9 at any moment, then --resume: the same result, and nothing that was answered is asked again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.programs.lm.ledger import read_questions
from ipo_prompts.programs.trust import resume_command
from support.killing import ForkServer
from support.openai_server import Asked, OpenAIServer, Reply, good, listed, running, templates
from support.runs import (
    KEY,
    Ended,
    answered,
    arguments,
    copy_images,
    events,
    ipo,
    is_begun,
    program,
    result,
    resuming,
    scored,
)

RUNS = 3
"""One of each whole run; `tests/soak/test_kills.py` kills more, and in each phase."""
DESCRIBED = 3
"""Images that the describer is asked about, all at once: so many requests may be under way at a kill."""


def moody(asked: Asked) -> Reply:
    """Answer well, but refuse to be useful at times: a second question or a JSON one must then be asked."""
    if asked.images:
        return good(asked)
    mood = random.Random(asked.same).random()
    if mood < 0.3:
        return Reply(listed(asked, [*templates(asked, 2), "no slot"]))
    return Reply("I would rather not.") if mood > 0.8 else good(asked)


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    words: list[str]
    folder: Path
    requests: Counter[str]

    @property
    def lines(self) -> int:
        """Length of its journal, and how many replies it has."""
        return _progress(self.folder)


@dataclass
class Bench:
    """What the tests of this file share."""

    server: OpenAIServer
    forks: ForkServer
    images: Path
    folder: Path

    def start(self, words: list[str], name: str) -> BaseProcess:
        """Start a run with a cache of its own: a cached reply would not be a request."""
        return self.forks.start(words, self.log(name), **self._environment(name))

    def run(self, words: list[str], name: str) -> int:
        return self.forks.run(words, self.log(name), **self._environment(name))

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def whole(self, name: str, *more: str, strategy: str) -> Whole:
        words = arguments(self.images, self.server.fresh(), *more, steps=3, strategy=strategy)
        self.server.behave = moody
        out = self.folder / name
        assert self.run([*words, "--out", str(out)], name) == 0, self.log(name).read_text()
        asked = self.server.asked
        assert len(asked) == len(answered(out))
        return Whole(words, out, Counter(request.same for request in asked))

    def _environment(self, name: str) -> dict[str, str]:
        return {"OPENAI_API_KEY": KEY, "IPO_CACHE_DIR": str(self.folder / "caches" / name)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("kills")
    with running() as server:
        yield Bench(server, ForkServer(), copy_images(folder / "images"), folder)


@pytest.fixture(scope="module")
def plain(bench: Bench) -> Whole:
    return bench.whole("plain", strategy="compose")


@pytest.fixture(scope="module")
def describing(bench: Bench) -> Whole:
    """A run with a multimodal describer."""
    return bench.whole(
        "describing",
        "describer=openai/vision-model",
        f"describer_api_base={bench.server.base}",
        f"described_images={DESCRIBED}",
        strategy="history",
    )


@pytest.fixture(scope="module")
def shown(bench: Bench) -> Whole:
    """A run whose language model is shown the history, and phrases that score best."""
    return bench.whole("shown", strategy="history")


@pytest.mark.parametrize("number", range(RUNS))
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(
    bench: Bench, plain: Whole, describing: Whole, shown: Whole, number: int
) -> None:
    whole = (plain, describing, shown)[number % 3]
    under_way = DESCRIBED if whole is describing else 1
    name = f"killed-{number}"
    out = bench.folder / name
    bench.server.fresh().behave = moody
    rng = random.Random(number)
    middle = whole.lines // 2
    halves = ((0, middle), (middle, whole.lines - 1))
    for first, last in halves if whole is plain else (halves[number % 2],):
        process = bench.start(words_for(whole, out), name)
        _kill(bench.server, process, out, rng, rng.randrange(first, last))
        process.join()
        assert process.exitcode == -9, bench.log(name).read_text()
    assert bench.run(words_for(whole, out), name) == 0, bench.log(name).read_text()

    check_resumed(bench, whole, out, len(halves) * under_way)


def check_resumed(bench: Bench, whole: Whole, out: Path, under_way: int) -> None:
    """Check that a killed run has ended as the whole one did; `under_way`: requests that the kills can have lost."""
    assert result(out) == result(whole.folder)
    assert program(out) == program(whole.folder)
    assert scored(out) == scored(whole.folder)
    assert len(answered(out)) == sum(whole.requests.values())
    asked = Counter(asked.same for asked in bench.server.asked)
    assert asked.keys() == whole.requests.keys()
    again = asked.total() - whole.requests.total()
    assert 0 <= again <= under_way, "only what was under way at a kill is asked again"
    assert asked.total() <= len(read_questions(out)), "a question was sent that was not booked"


def words_for(whole: Whole, out: Path) -> list[str]:
    """Return the words that start a run like the whole one, or resume it; what that one encoded is in its cache.

    In the soak, whose runs are deeper in the folder, each has a cache of its own.
    """
    caches = whole.folder.parent / "caches"
    if caches.exists() and not (caches / out.name).exists():
        shutil.copytree(caches / whole.folder.name, caches / out.name, ignore=shutil.ignore_patterns("replies"))
    return resuming(out) if is_begun(out) else [*whole.words, "--out", str(out)]


def _progress(folder: Path) -> int:
    lines = folder / "replies.jsonl"
    replies = lines.read_bytes().count(b"\n") // 2 if lines.exists() else 0
    return sum(event["type"] != "start" for event in events(folder)) + replies + 1


def _kill(server: OpenAIServer, process: BaseProcess, out: Path, rng: random.Random, point: int) -> None:
    """Kill when the journal has `point` events, a moment later, or at the next request before it is answered."""
    asking = threading.Event()
    dead = threading.Event()
    at_request = rng.random() < 0.35
    delay = rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.2))) if point else rng.uniform(0, 1)

    def hold(asked: Asked) -> None:
        if at_request and _progress(out) >= point:
            asking.set()
            dead.wait(30)

    server.on_request = hold
    reached = None
    while process.is_alive():
        if asking.is_set():
            break
        if _progress(out) >= point and reached is None and (point != 1 or (out / "journal.jsonl").exists()):
            reached = time.monotonic()
        # No request may follow: do not wait for it for ever.
        if reached is not None and time.monotonic() - reached >= (0.1 if at_request else delay):
            break
        time.sleep(0.002)
    process.kill()
    process.join()
    dead.set()
    server.on_request = lambda asked: None


def test_killed_while_loading_the_same_command_starts_again(bench: Bench, plain: Whole) -> None:
    out = bench.folder / "early"
    bench.server.fresh().behave = moody
    process = bench.start(words_for(plain, out), "early")
    while not out.exists():
        time.sleep(0.001)
    process.kill()
    process.join()
    (out / "config.yaml").unlink(missing_ok=True)  # as if killed before it: between the lock and the first line
    (out / ".lock").touch()
    (out / "journal.jsonl").write_bytes(b"")
    assert bench.run(resuming(out), "early-resumed") == 2
    assert "repeat the command that began it" in _sentence(bench.log("early-resumed"))
    assert bench.run(words_for(plain, out), "early") == 0, bench.log("early").read_text()
    assert result(out) == result(plain.folder)


@pytest.mark.parametrize(
    ("describes", "how"),
    [(False, signal.SIGINT), (True, signal.SIGINT), (False, signal.SIGTERM)],
    ids=["proposing", "describing", "by a scheduler"],
)
def test_interrupted_it_says_how_to_go_on(
    bench: Bench, plain: Whole, describing: Whole, describes: bool, how: signal.Signals
) -> None:
    whole, name = describing if describes else plain, f"interrupted-{describes}-{how}"
    out, asking, go = bench.folder / name, threading.Event(), threading.Event()
    bench.server.fresh().behave = moody
    bench.server.on_request = lambda asked: (asking.set(), go.wait(3))  # type: ignore[func-returns-value]
    process = bench.start(words_for(whole, out), name)
    assert asking.wait(60)
    os.kill(process.pid or 0, how)
    process.join(60)
    go.set()
    assert process.exitcode == 130, bench.log(name).read_text()
    assert f"what was done is kept in {out}: {resume_command(out)}" in _sentence(bench.log(name))
    assert bench.run(words_for(whole, out), name) == 0
    assert result(out) == result(whole.folder)


def test_a_second_process_is_refused_and_the_first_goes_on(bench: Bench, plain: Whole) -> None:
    out, words = bench.folder / "double", []
    go = threading.Event()
    bench.server.fresh().behave = moody
    bench.server.on_request = lambda asked: words.append(asked.number) or go.wait(60)  # type: ignore[func-returns-value]
    first = bench.start(words_for(plain, out), "double")
    while not words:
        time.sleep(0.01)
    assert bench.run(resuming(out), "second") == 2
    assert bench.run([*plain.words, "--out", str(out)], "third") == 2
    go.set()
    first.join(60)
    assert first.exitcode == 0
    assert "another process is working in" in _sentence(bench.log("second"))
    assert "already holds a run" in _sentence(bench.log("third"))
    assert result(out) == result(plain.folder)


def _sentence(log: Path) -> str:
    ended = Ended(2, "", log.read_text())
    assert "Traceback" not in ended.err
    return ended.sentence


@pytest.fixture()
def here(cache: Path, light: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return lambda *words: ipo(capfd, *words)


def test_a_finished_run_is_resumed_without_a_request(bench: Bench, plain: Whole, here: Any) -> None:
    bench.server.fresh()
    before = result(plain.folder), program(plain.folder)
    assert here(*resuming(plain.folder)).code == 0
    assert (result(plain.folder), program(plain.folder)) == before
    assert not bench.server.asked
    assert len(events(plain.folder, "test")) == 1, "the test images were opened once"


def test_a_changed_image_is_refused(bench: Bench, plain: Whole, here: Any, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(plain.folder, unfinished)
    journal = unfinished / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    victim = sorted((bench.images / "cat").iterdir())
    data = [path.read_bytes() for path in victim]
    try:
        for path in victim:
            path.write_bytes(data[0] if path is not victim[0] else data[1])
        ended = here(*resuming(unfinished))
    finally:
        for path, content in zip(victim, data, strict=True):
            path.write_bytes(content)
    assert ended.code == 2
    assert "train and validation images" in ended.sentence


def test_a_torn_last_line_is_dropped(bench: Bench, plain: Whole, here: Any, tmp_path: Path) -> None:
    bench.server.fresh().behave = moody
    out = tmp_path / "torn"
    out.mkdir()
    (out / "config.yaml").write_bytes((plain.folder / "config.yaml").read_bytes())
    lines = (plain.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][: len(lines[3]) // 2])
    replies = (plain.folder / "replies.jsonl").read_bytes()
    (out / "replies.jsonl").write_bytes(replies[:-20])
    assert here(*resuming(out)).code == 0
    assert result(out) == result(plain.folder)
    assert len(bench.server.asked) == 1, "only the torn reply is asked for again"
