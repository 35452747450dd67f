"""`--lm replay/RUN_DIR`: the same result from the record alone, with every socket cut."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.openai_server import OpenAIServer, Reply, good, listed, templates
from support.runs import KEY, Ended, answered, arguments, check_whole, ipo, program, result, scored

Replay = Callable[..., Ended]


@pytest.fixture()
def replay(
    cache: Path, light: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], out: Path
) -> Replay:
    """Replay a run into `out`, its configuration with more words; any use of the network is an error."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def cut(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("a replay used the network")

    def start(recorded: Path, *words: str) -> Ended:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("connect", "connect_ex", "sendto"):
                patch.setattr(socket.socket, name, cut)
            patch.setattr(socket, "create_connection", cut)
            patch.setattr(socket, "getaddrinfo", cut)
            config = str(recorded / "config.yaml")
            return ipo(capfd, "optimize", config, "--lm", f"replay/{recorded}", "--out", str(out), *words)

    return start


@pytest.fixture(scope="module")
def recorded(running_server: OpenAIServer, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a multimodal describer, and answers that needed a second question."""
    from ipo_prompts.experiments.cli.app import main

    folder = tmp_path_factory.mktemp("recorded")
    server = running_server.fresh()
    server.script.extend([good, good, Reply("I would rather not."), good])
    server.script.append(lambda asked: Reply(listed(asked, [*templates(asked, 2), "no slot"])))
    words = arguments(
        *(images, server, "--out", str(folder / "run"), "--describer=openai/vision-model"),
        *(f"describer_api_base={server.base}", "described_images=2"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
        assert main(words) == 0
    assert len(server.asked) == 6
    return folder / "run"


def test_a_replay_gives_the_same_result_without_a_network(replay: Replay, recorded: Path, out: Path) -> None:
    ended = replay(recorded)
    assert ended.code == 0, ended.err
    assert result(out) == result(recorded)
    assert program(out) == program(recorded)
    assert scored(out) == scored(recorded)
    check_whole(out)


def test_a_replayed_describer_leaves_the_optimizer_free_to_ask(
    run: Callable[..., Ended], server: OpenAIServer, recorded: Path, out: Path
) -> None:
    ended = run("--describer", f"replay/{recorded}", "described_images=2", "candidates_per_step=2")
    assert ended.code == 0, ended.err
    assert not any(asked.images for asked in server.asked)
    assert "A flat image with the look" in server.asked[0].text
    assert len(server.asked) == 2


@pytest.mark.parametrize("word", ["task=other images", "--seed=1", "--steps=3"])
def test_a_request_that_was_not_recorded_is_one_sentence(replay: Replay, recorded: Path, out: Path, word: str) -> None:
    ended = replay(recorded, word)
    assert ended.code == 2
    assert "the recorded run has no reply to this request of the" in ended.sentence
    assert not (out / "result.json").exists()


def test_a_run_of_the_local_model_is_replayed(
    small_weights: None,
    replay: Replay,
    cache: Path,
    images: Path,
    tmp_path: Path,
    out: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    live = tmp_path / "live"
    words = ["--lm=local/small", "shots=1", "val_shots=1", "steps=1", "candidates_per_step=1"]
    assert ipo(capfd, "optimize", f"--data=folder:{images}", *words, "--out", str(live)).code == 0
    assert answered(live)
    ended = replay(live)
    assert ended.code == 0, ended.err
    assert result(out) == result(live)
