"""Tables on a terminal fit its width, begin with the answer and say where the rest is; a pipe gets Markdown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.documents import pack
from ipo_prompts.experiments.compare.grid import GridConfig, entries
from ipo_prompts.experiments.compare.printing import in_short
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import verdicts
from support.scored_cells import SKILLS, gain_of, make_cells

DATA = ("a1", "a2", "a3")


@pytest.mark.parametrize("data", [DATA, DATA[:1]])
def test_the_short_form_has_the_gains_in_few_columns_and_all_verdicts(data: tuple[str, ...]) -> None:
    table = build_table(make_cells(data, {**SKILLS, "history": 0.4}))
    text = in_short(table)
    scope = "average" if len(data) > 1 else "a1"
    verdict = gain_of(table, scope, "ipo-default", "baseline", "H")
    (row,) = [line for line in text.splitlines() if line.startswith("| ipo-default ")]
    assert f"{100 * verdict.mean:+.2f}" in row and len(row) <= 110
    assert all(sentence in text for sentence in verdicts(table))


def on_a_terminal(width: int, *words: str) -> str:
    """Run the command with a terminal of some columns as its standard output."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, width))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    run = subprocess.Popen(
        [sys.executable, "-m", "ipo_prompts", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    pieces = []
    with suppress(OSError):  # Linux's way to say that the other end is closed
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    os.close(ours)
    assert run.wait() == 0
    return b"".join(pieces).decode().replace("\r\n", "\n")


def test_the_command_shows_the_answer_on_a_terminal_and_all_of_it_to_a_pipe(tmp_path: Path) -> None:
    grid = GridConfig(title="any", protocol="few-shot", data=[*DATA], methods=[*SKILLS], seeds=1)
    made = [cell.done for cell in make_cells(DATA, seeds=1, sides=["test"], protocol="few-shot")]
    file = tmp_path / "cells.jsonl.gz"
    file.write_bytes(pack(grid, entries(grid, tmp_path), made))
    seen = on_a_terminal(100, "report", str(file), "--out", str(tmp_path / "out"))
    assert "| --- |" not in seen
    assert "IPO shows a gain over the baseline template" in " ".join(seen.split())
    assert "out/table.md" in "".join(seen.split()) and "the whole table:" in seen
    piped = subprocess.run(
        [sys.executable, "-m", "ipo_prompts", "report", file],
        capture_output=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert piped.stdout == (tmp_path / "out" / "table.md").read_bytes()
