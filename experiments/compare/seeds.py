"""The same job over many seeds: what one run shows may be luck, the mean over seeds with its interval is not.

Each seed draws its own pictures and its own replies, and is an ordinary run directory that a killed sweep goes on from.

    python -m ipo.experiments.compare.seeds OUT --seeds 10    # the job
    python -m ipo.experiments.compare.seeds OUT --seeds 10 history_size=0    # its control
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipo.experiments.compare.text_table import code, text_table
from ipo.experiments.run.config import is_begun, load_config
from ipo.metrics.errors import InputError


def run_seeds(folder: Path, seeds: int, words: Sequence[str]) -> list[dict[str, Any]]:
    """Run seeds 0 … `seeds` - 1 in `folder/seed-N`; finished ones are read, begun ones resumed.

    Returns:
        The content of each `result.json`, in the order of the seeds.

    Raises:
        InputError: see `optimize`, or a folder of another configuration.
    """
    from ipo.experiments.run.live_view import Ui
    from ipo.experiments.run.pipeline import optimize

    results = []
    for seed in range(seeds):
        config = load_config(None, [*words, f"seed={seed}"])
        run = folder / f"seed-{seed}"
        begun = is_begun(config, run)
        if not (run / "result.json").exists():
            optimize(config, run, Ui(config.steps, quiet=True), resume=begun)
        results.append(json.loads((run / "result.json").read_text(encoding="utf-8")))
        gain = results[-1]["scores"]["test"]["difference"]["mean"]
        print(f"seed {seed}: {100 * gain:+.2f}  {results[-1]['template']}", file=sys.stderr)
    return results


def table(results: Sequence[dict[str, Any]]) -> str:
    """Word results of several seeds as Markdown: each seed, the mean gain with its interval, what was kept."""
    from ipo.metrics.statistics import mean_over_seeds

    rows = []
    for result in results:
        test = result["scores"]["test"]
        low, high = test["difference"]["ci95"]
        rows.append(
            [
                str(result["seed"]),
                code(result["template"]),
                f"{100 * test['initial']['accuracy']:.2f}",
                f"{100 * test['optimised']['accuracy']:.2f}",
                f"{100 * test['difference']['mean']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                f"{result['seconds']['total']:.0f}",
            ]
        )
    gains = mean_over_seeds([100 * result["scores"]["test"]["difference"]["mean"] for result in results])
    search = mean_over_seeds([100 * result["scores"]["search"]["difference"]["mean"] for result in results])
    minutes = sum(result["seconds"]["total"] for result in results) / 60 / len(results)
    kept = sum(result["template"] == result["initial_template"] for result in results)
    head = ["seed", "template", "initial", "optimised", "gain on the sealed test", "seconds"]
    return (
        f"{text_table(head, rows)}\n\n"
        f"Mean gain on the sealed test over {gains.n} seeds: {gains.mean:+.2f} points "
        f"[{gains.low:+.2f}, {gains.high:+.2f}] (95 % t interval over seeds; the test pictures are the same ones). "
        f"On the search pictures it looked like {search.mean:+.2f}. The initial template was kept by {kept} of "
        f"{gains.n}. {minutes:.1f} minutes a run, {gains.mean / minutes:+.2f} points a minute."
    )


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the run directories")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds")
    parser.add_argument("words", nargs="*", help="settings, key=value")
    arguments = parser.parse_intermixed_args()
    try:
        print(table(run_seeds(arguments.out, arguments.seeds, arguments.words)))
    except InputError as error:
        print(f"ipo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
