"""What is changed under a run that goes on: its pictures, its directory, and a run that begins in the same second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipo_prompts.experiments.run import files
from support.openai_server import Asked, OpenAIServer
from support.runs import Ended, arguments, check_whole, copy_pictures, events, ipo, result, resuming


def test_exchanged_pictures_are_refused_before_the_test_is_opened(
    run: Callable[..., Ended], server: OpenAIServer, out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = copy_pictures(tmp_path / "pictures")
    cats, cars = (sorted((pictures / name).iterdir()) for name in ("cat", "car"))
    data = [cat.read_bytes() for cat in cats]

    def exchange(asked: Asked) -> None:
        for cat, car in zip(cats, cars, strict=True):
            cat.write_bytes(car.read_bytes())

    server.on_request = exchange
    words = arguments(pictures, server)
    ended = ipo(capfd, *words, "--out", str(out))
    assert ended.code == 2
    assert "was exchanged: it is not what was read before; put it back" in ended.sentence
    assert not events(out, "test", "opened", "end")
    server.on_request = lambda asked: None
    for cat, content in zip(cats, data, strict=True):
        cat.write_bytes(content)
    asked = len(server.asked)
    assert ipo(capfd, *resuming(out)).code == 0
    assert len(server.asked) == asked, "what was paid is paid"
    assert ipo(capfd, *words, "--out", str(tmp_path / "again")).code == 0
    assert result(out)["data"]["fingerprint"] == result(tmp_path / "again")["data"]["fingerprint"]


def test_a_run_whose_directory_is_moved_asks_nothing_more_and_goes_on_when_it_is_back(
    run: Callable[..., Ended], resume: Callable[..., Ended], server: OpenAIServer, out: Path, tmp_path: Path
) -> None:
    server.on_request = lambda asked: out.rename(tmp_path / "moved") and None
    ended = run()
    assert ended.code == 2
    assert "was moved or deleted while the run went on, so nothing more is asked" in ended.sentence
    assert len(server.asked) == 1
    server.on_request = lambda asked: None
    (tmp_path / "moved").rename(out)
    assert resume().code == 0
    assert len(server.asked) == 2, "the reply that came meanwhile was kept"
    check_whole(out)


def test_runs_of_one_second_have_directories_of_their_own(
    run: Callable[..., Ended],
    server: OpenAIServer,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "default_folder", lambda config: Path("runs/20260101-120000-pets"))
    words = arguments(pictures, server, "--quiet", steps=1)
    assert ipo(capfd, *arguments(tmp_path / "nowhere", server)).code == 2
    assert not list(Path("runs").glob("*")), "what was refused leaves nothing"
    for _ in range(2):
        assert ipo(capfd, *words).code == 0
    assert sorted(folder.name for folder in Path("runs").iterdir()) == [
        "20260101-120000-pets",
        "20260101-120000-pets-2",
    ]
