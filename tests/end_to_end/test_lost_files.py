"""Files of a run that were lost, damaged, or could never be written: one sentence, and --resume makes them again."""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.openai_server import OpenAIServer, running
from support.runs import (
    KEY,
    Ended,
    answered,
    arguments,
    copy_images,
    ipo,
    is_begun,
    program,
    result,
    resuming,
)

MADE = ("analysis.json", "environment.json", "program.json", "result.json", "search.svg", "report.html")

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_images(tmp_path_factory.mktemp("lost") / "images")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of features and replies for all tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture()
def run(clip: Any, kept: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("IPO_CACHE_DIR", str(kept))
    return lambda *words: ipo(capfd, *words)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture()
def finished(run: Run, whole: Path, server: OpenAIServer, images: Path, tmp_path: Path) -> Path:
    """A finished run that the test may change."""
    if not whole.exists():
        assert run(*arguments(images, server, "--quiet", "--out", str(whole), steps=1)).code == 0
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("name", "harm"),
    [*zip(MADE, ["lost", "cut short", "a flipped letter", "a flipped letter", "cut short", "lost"], strict=True)],
)
def test_what_is_missing_or_damaged_of_a_finished_run_is_made_again(
    run: Run, finished: Path, server: OpenAIServer, name: str, harm: str
) -> None:
    asked, then = len(server.asked), {made: (finished / made).read_bytes() for made in MADE}
    expected = result(finished), program(finished)
    file = finished / name
    if harm == "lost":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data if harm == "a flipped letter" else data[: len(data) // 2])
    ended = run(*resuming(finished))
    assert ended.code == 0 and name in ended.err
    assert (result(finished), program(finished)) == expected
    again = {made: (finished / made).read_bytes() for made in MADE}
    assert all(again[made] == then[made] for made in ("search.svg", "program.json", "analysis.json"))
    assert len(server.asked) == asked, "nothing is asked again"
    (said,) = run(*resuming(finished)).err.splitlines()
    assert said.startswith("the run had finished, and this is its result"), "now nothing is missing"


def test_a_damaged_reply_is_refused_in_a_replay_and_in_a_resumed_run(run: Run, finished: Path, tmp_path: Path) -> None:
    file = finished / "replies.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"tokens_in": ', b'"tokens_in": -', 1)
    file.write_bytes(b"".join(lines))
    (finished / "result.json").unlink()
    for words in (resuming(finished)[1:], ["--lm", f"replay/{finished}", "--out", str(tmp_path / "again")]):
        ended = run("optimize", *words)
        assert ended.code == 2
        assert "replies.jsonl is damaged in line 2; " in ended.sentence and "paid for again" in ended.sentence
    assert file.read_bytes() == b"".join(lines)


class Disk:
    """A disk below one folder that is full from the n-th write on; it counts writes, renames and new files."""

    def __init__(self, folder: Path, full_at: int | None) -> None:
        self.folder = str(folder)
        self.full_at = full_at
        self.written: list[str] = []

    def holds(self, file: Any) -> bool:
        return isinstance(file, (str, os.PathLike)) and os.fspath(file).startswith(self.folder)

    def take(self, name: str) -> None:
        self.written.append(name)
        if self.full_at is not None and len(self.written) > self.full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        if not self.holds(file) or not set(mode) & set("wax+"):
            return real_open(file, mode, buffering, *args, **options)
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                disk.take(os.fspath(file))
                return super().write(data)

        raw = File(file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **options)

    def replace(self, source: Any, target: Any, **options: Any) -> None:
        if self.holds(target):
            self.take(os.fspath(target))
        real_replace(source, target, **options)


real_open, real_replace = io.open, os.replace


def test_a_disk_that_is_full_at_any_write_is_one_sentence_and_the_run_can_be_resumed(
    run: Run, finished: Path, server: OpenAIServer, images: Path, tmp_path: Path, record_property: Any
) -> None:
    def on(disk: Disk, *words: str) -> Ended:
        with pytest.MonkeyPatch.context() as patch:
            for module in (io, builtins):
                patch.setattr(module, "open", disk.open)
            patch.setattr(os, "replace", disk.replace)
            return run(*words)

    def begin(out: Path) -> list[str]:
        return arguments(images, server, "--quiet", "--out", str(out), steps=1)

    disk = Disk(tmp_path / "counted", None)
    assert on(disk, *begin(tmp_path / "counted")).code == 0
    names = [Path(name).name for name in disk.written]
    assert {*MADE, "config.yaml", "journal.jsonl", "replies.jsonl"} <= {*names}, "all are written through this disk"
    ends = {*{name: at for at, name in enumerate(names)}.values(), *map(names.index, names)}
    record_property("tried", len(ends))
    for full_at in sorted(ends):  # the first and the last write of each file
        name = names[full_at]
        out = tmp_path / f"full-{full_at}"
        ended = on(Disk(out, full_at), *begin(out))
        assert ended.code == 2, (full_at, name)
        assert "No space left on device" in ended.sentence and "make room" in ended.sentence, (full_at, name)
        assert not list(out.glob("*.part")), (full_at, name)
        words = [*resuming(out), "--quiet"] if is_begun(out) else begin(out)
        assert run(*words).code == 0, (full_at, name)
        expected, found = result(finished), result(out)
        del expected["lm"], found["lm"]  # a reply that found no room was paid for twice
        assert (found, program(out)) == (expected, program(finished)), (full_at, name)
        assert all((out / made).stat().st_size for made in MADE)
        replies = answered(out)
        assert len({reply.key for reply in replies}) == len(replies), "no reply is recorded twice"
