"""Command line: ``python -m tools.embedded --work DIR [--stage STAGE]``."""

import argparse
import os
from pathlib import Path
from typing import Final

STAGES: Final = ("fetch", "pictures", "train", "card")
STEPS: Final = 1800
SEEDS: Final = (0, 1, 2)


def main() -> None:
    """Runs the wanted stages in order."""
    parser = argparse.ArgumentParser(prog="recipe", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, kept out of git")
    parser.add_argument("--out", type=Path, help="default: the installed experiments/embedded")
    parser.add_argument("--stage", choices=STAGES, action="append", help="default: all, in order")
    parser.add_argument("--seed", type=int, action="append", help=f"default: {SEEDS}")
    parser.add_argument("--steps", type=int, default=STEPS, help="a few make a smoke run")
    arguments = parser.parse_args()
    # Before torch is imported: spinning threads starve a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from tools.embedded import stages

    seeds = tuple(arguments.seed or SEEDS)
    run = stages.Run(arguments.work, arguments.out or stages.OUT, seeds, arguments.steps)
    for stage in arguments.stage or STAGES:
        run.stage(stage)


if __name__ == "__main__":
    main()
