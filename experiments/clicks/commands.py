"""The commands that test a run without labels by clicks."""

from __future__ import annotations

import shlex
from pathlib import Path

from ipo_prompts.experiments.run.result import RunResult

PROGRAM, MEAN_OFF = "program.json", "mean-off.json"
"""The program of the run, and that of the initial template with the mean picture taken off."""


def commands_to_test(result: RunResult, folder: Path, data: str) -> list[str]:
    """Return the commands that test a run without labels: what it found, and its rival, by clicks."""
    pictures = data.removeprefix("folder:")
    programs = [str(folder / name) for name in (PROGRAM, MEAN_OFF)]
    rival = shlex.join(["ipo", "label", *programs, "--data", pictures, "--out", f"{folder}-rival"])
    kept = result.template == result.initial_template
    return [rival] if kept else [shlex.join(["ipo", "label", str(folder)]), rival]
