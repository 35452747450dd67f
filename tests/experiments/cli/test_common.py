"""Expected errors become one sentence, whatever they were raised from."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from dspy.utils.exceptions import LMError

from ipo_prompts.experiments.cli.app import main, tell_error


def test_a_full_disk_behind_another_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("a library's own")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "result.json")
    assert tell_error(error) == 2
    assert "cannot write result.json: No space left on device" in capsys.readouterr().err


def test_what_a_server_said_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_error(LMError("no \x1b[2J\x1b]0;owned\x07\u202e")) == 1
    told = capsys.readouterr().err
    assert "no \\x1b[2J" in told and told.rstrip("\n").isprintable()


def test_a_list_on_a_full_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["data", "list"]) == 2
    assert "cannot write: No space left on device; make room" in capsys.readouterr().err
