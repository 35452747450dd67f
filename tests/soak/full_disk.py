"""A disk that is really full: runs on a small tmpfs that is filled to the brim. Mounting it takes root's rights."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.openai_server import OpenAIServer
from support.runs import Ended, answered, arguments, check_whole, ipo, is_begun, resuming

KILOBYTES = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""That are left on it."""


@pytest.fixture()
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("cached", [False, True], ids=["run directory", "cache too"])
@pytest.mark.parametrize("kilobytes", KILOBYTES)
def test_a_full_disk_is_one_sentence_and_the_run_can_be_resumed_when_there_is_room(
    run: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    images: Path,
    server: OpenAIServer,
    disk: Path,
    kilobytes: int,
    cached: bool,
) -> None:
    if cached:
        monkeypatch.setenv("IPO_CACHE_DIR", str(disk / "cache"))
    out, filler = disk / "run", disk / "filler"
    with filler.open("wb") as file:
        file.write(b"x" * (32 * 1024 - kilobytes) * 1024)
    ended = ipo(capfd, *arguments(images, server, "--out", str(out)))
    assert ended.code in (0, 2)
    assert ended.code == 0 or ended.sentence
    filler.unlink()
    words = resuming(out)[1:] if is_begun(out) else [*arguments(images, server)[1:], "--out", str(out)]
    assert ipo(capfd, "optimize", *words).code == 0
    check_whole(out)
    replies = answered(out)
    assert len(server.asked) <= len(replies) + 1, "only the reply that found no room is asked for again"
