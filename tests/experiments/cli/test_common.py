"""Expected errors become one sentence, whatever they were raised from."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from dspy.utils.exceptions import LMError

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.cli.common import tell_error
from ipo_prompts.metrics.errors import InputError


def test_a_full_disk_behind_another_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("a library's own")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "result.json")
    assert tell_error(error) == 2
    assert "cannot write result.json: No space left on device" in capsys.readouterr().err


def test_errors_that_cause_each_other_are_followed_once(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert tell_error(first) is None
    assert tell_error(InputError("fix it.")) == 2
    assert capsys.readouterr().err == "ipo: fix it.\n"


def test_what_a_server_said_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_error(LMError("no \x1b[2J\x1b]0;owned\x07\u202e")) == 1
    told = capsys.readouterr().err
    assert "no \\x1b[2J" in told and told.rstrip("\n").isprintable()


@pytest.mark.parametrize("command", [["data", "list"], ["models"], ["predict", "gone", "gone"], ["doctor"]])
def test_a_closed_stdout_is_told_at_once(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "ipo: stdout is closed, so the answer cannot be printed; send it to a file, or to /dev/null.\n"
    )


def test_what_is_told_does_not_get_among_the_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["nothing"]) == 2
    sys.stderr.close()
    assert capsys.readouterr().out == ""


def test_a_list_on_a_full_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["data", "list"]) == 2
    assert "cannot write: No space left on device; make room" in capsys.readouterr().err


def test_what_has_no_end_is_cut_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_error(InputError(f"the class {'x' * 200_000!r} is odd; rename it.")) == 2
    told = capsys.readouterr().err
    assert told.startswith("ipo: the class 'xx") and told.endswith("xx' is odd; rename it.\n")
    assert " … (196,031 characters) … " in told and len(told) < 4_100
