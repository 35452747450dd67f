"""Expected errors become one sentence, whatever they were raised from."""

from __future__ import annotations

import errno

import pytest

from ipo.experiments.cli.errors import explain
from ipo.metrics.errors import InputError


def test_a_full_disk_behind_another_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("a library's own")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "result.json")
    assert explain(error) == 2
    assert "cannot write result.json: No space left on device" in capsys.readouterr().err


def test_errors_that_cause_each_other_are_followed_once(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert explain(first) is None
    assert explain(InputError("fix it.")) == 2
    assert capsys.readouterr().err == "ipo: fix it.\n"
