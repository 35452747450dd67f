"""The address of a language model is typed, or that of a run which was begun here; never a stranger's."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from ipo_prompts.programs.record.journal import last
from ipo_prompts.programs.record.trust import own_settings, resume_command, seal, secret_file
from support.openai_server import OpenAIServer, running
from support.runs import Ended, ipo, result

Run = Callable[..., Ended]
NEVER = "an address is never taken from a run directory"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPO_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture()
def own(run: Run, server: OpenAIServer, out: Path) -> Path:
    """A run that ends before it is done."""
    assert run("budget_tokens=1").code == 3
    server.fresh()
    return out


@pytest.fixture()
def stopped(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same where it was not begun, as a stranger may send one."""
    monkeypatch.setenv("IPO_STATE_DIR", str(tmp_path / "elsewhere"))
    return own


def test_a_replay_needs_no_address(run: Run, server: OpenAIServer, out: Path, tmp_path: Path) -> None:
    assert run("steps=1").code == 0
    server.fresh()
    again = run("steps=1", "--out", str(tmp_path / "again"), "lm_api_base=null", lm=f"replay/{out}")
    assert again.code == 0
    assert not server.asked
    assert result(tmp_path / "again")["template"] == result(out)["template"]


def test_a_run_that_was_begun_here_is_resumed_where_it_asked(
    own: Path, server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    moved = own.rename(tmp_path / "moved run")
    (tmp_path / "config.yaml").write_text("lm_api_base: http://127.0.0.1:1\n")
    assert resume_command(moved) == f"ipo optimize --resume '{moved}'"
    assert ipo(capfd, "optimize", "--resume", str(moved), "budget_tokens=100000").code == 0
    assert len(server.asked) == 2


def test_resuming_a_strangers_run_asks_nobody_until_a_person_says_so(
    stopped: Path, server: OpenAIServer, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["optimize", "--resume", str(stopped), "budget_tokens=100000"]
    ended = ipo(capfd, *words)
    assert ended.code == 2
    shown = f"would use data=folder:{pictures}, lm=openai/test-model, lm_api_base={server.base}; nothing of this"
    assert shown in ended.sentence and "add `--trust`" in ended.sentence
    ended = ipo(capfd, *words, f"lm_api_base={server.base}", "lm=openai/test-model")
    assert ended.code == 2 and f"would use data=folder:{pictures}; nothing" in ended.sentence
    assert not server.asked
    assert ipo(capfd, *words, "--trust").code == 0
    assert len(server.asked) == 2


def test_another_address_is_refused(own: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str]) -> None:
    with running() as other:
        for address in (other.base, "null"):
            ended = ipo(capfd, "optimize", "--resume", str(own), f"lm_api_base={address}")
            assert ended.code == 2
            assert f"has lm_api_base={server.base!r}" in ended.sentence and "leave it out" in ended.sentence
        assert not other.asked
    assert not server.asked


def test_the_secret_is_the_users_alone(own: Path) -> None:
    assert secret_file().stat().st_mode & 0o777 == 0o600
    secret_file().chmod(0o644)
    assert own_settings(last(own, "start")) is None
    assert seal({"a": 1}) and secret_file().stat().st_mode & 0o777 == 0o600
    assert own_settings(last(own, "start")) is None, "another secret took the place of one that was read"


def test_the_settings_file_of_a_run_brings_no_address(
    own: Path, server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["optimize", str(own / "config.yaml"), f"--out={tmp_path / 'new'}", "budget_tokens=null"]
    ended = ipo(capfd, *words)
    assert ended.code == 2 and NEVER in ended.sentence
    assert not server.asked and not (tmp_path / "new").exists()
    assert ipo(capfd, *words, *shlex.split(ended.sentence.split("`")[1])).code == 0
    assert server.asked
