"""How long `ipo --help` takes, in starts of an empty Python; and that it imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.common import alternate, arguments, report

EMPTY = [sys.executable, "-c", "pass"]
IPO = [sys.executable, "-c", "import sys; from ipo_prompts.experiments.cli.app import main; sys.exit(main())"]
HEAVY = ("torch", "dspy", "litellm", "datasets", "wandb", "open_clip", "scipy", "numpy")
"""Modules that help and listings do not need."""


COMMANDS = ("--help", "data list")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    repeats = 1 if options.small else max(options.repeats, 9)
    heavy = {words: _heavy(words.split()) for words in COMMANDS}
    commands = {words: partial(_run, [*IPO, *words.split()]) for words in COMMANDS}
    seconds = alternate(repeats, empty=partial(_run, EMPTY), **commands)
    report(
        "startup",
        over_empty={words: round(seconds[words] / seconds["empty"], 2) for words in COMMANDS},
        heavy_imports=heavy,
        seconds={name: round(value, 4) for name, value in seconds.items()},
        repeats=repeats,
        python=sys.version.split()[0],
    )


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _heavy(words: list[str]) -> list[str]:
    """Return the heavy modules that a command imports."""
    command = [sys.executable, "-X", "importtime", *IPO[1:], *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return sorted(loaded & set(HEAVY))


if __name__ == "__main__":
    main()
