"""The examples from the command line: several seeds, the controls, one table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from ipo.experiments.tasks.example import CANDIDATES_PER_STEP, Settings, Task, run
from ipo.metrics.errors import InputError

METHOD = "ipo"
CONTROLS: dict[str, dict[str, Any]] = {"no-history": {"history_size": 0}, "no-description": {"describer": "none"}}
"""Each makes as many proposals as the method and lacks one thing."""

Results = dict[str, list[dict[str, Any]]]


def run_all(
    prepare: Callable[[Settings], Task], settings: Settings, seeds: int, controls: bool, folder: Path
) -> Results:
    """Run seeds 0 … `seeds` - 1 of the method and its controls, each in `folder/ARM/seed-N`.

    Finished runs are read back, begun ones go on.

    Returns:
        For each arm the content of every `result.json`, in the order of the seeds.

    Raises:
        InputError: the folder cannot be written, or holds runs with other settings.
        NothingUsable, dspy.LMError: see `example.run`.
    """
    arms = {METHOD: {}, **(CONTROLS if controls else {})}
    results: Results = {arm: [] for arm in arms}
    for seed in range(seeds):
        task = None
        for arm, changes in arms.items():
            chosen = replace(settings, seed=seed, **changes)
            place = folder / arm / f"seed-{seed}"
            result = _finished(place, chosen)
            if result is None:
                _make(place)
                task = task or prepare(chosen)
                result = run(task, chosen, place, f"{arm}, seed {seed}, ")
            results[arm].append(result)
    return results


def _finished(folder: Path, settings: Settings) -> dict[str, Any] | None:
    """Return the result of a finished run, or None when there is none."""
    file = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found = dict(result["settings"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; choose another OUT.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no result of this example; choose another OUT.") from error
    wanted = asdict(settings)
    key = next((key for key in wanted if found.get(key) != wanted[key]), None)
    if key:
        raise InputError(
            f"{folder} holds a run with {key} {found.get(key)!r}, not {wanted[key]!r}; choose another OUT."
        )
    return result


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the run directory {folder}: {error.strerror}; choose another OUT.") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"ipo: {message}; see `{self.prog} --help`.\n")


def main(name: str, about: str, unit: str, prepare: Callable[[Settings], Task], arguments: Sequence[str] | None) -> int:
    """Run an example from the command line.

    Returns:
        The exit code: 0 done, 1 the language model failed, 2 bad input, 130 interrupted.
    """
    default = Settings()
    parser = _Parser(prog=f"python -m ipo.experiments.tasks.{name}", description=about)
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path("runs") / name,
        metavar="OUT",
        help="folder of the runs; the same command again goes on there (default: %(default)s)",
    )
    parser.add_argument("--data", default=default.data, help="pictures, as for ipo optimize (default: %(default)s)")
    parser.add_argument("--lm", default=default.lm, help="optimizer LLM, as for ipo optimize (default: %(default)s)")
    proposals = f"how often it is asked for {CANDIDATES_PER_STEP} templates (default: %(default)s)"
    parser.add_argument("--steps", type=_count, default=default.steps, metavar="N", help=proposals)
    parser.add_argument(
        "--seeds", type=_count, default=1, metavar="N", help="run seeds 0 to N - 1 (default: %(default)s)"
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also run without scored history, and without a description",
    )
    given = parser.parse_args(arguments)
    settings = Settings(given.data, given.lm, given.steps)
    try:
        results = run_all(prepare, settings, given.seeds, given.controls, given.out)
        from ipo.experiments.tasks.summary import summary

        print(summary(results, unit))
    except InputError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail(f"interrupted; what was done is kept in {given.out}, the same command goes on.", 130)
    except Exception as error:
        if not _language_model(error):
            raise
        return _fail(f"the language model failed: {error}; the same command goes on.", 1)
    return 0


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _language_model(error: Exception) -> bool:
    import dspy

    from ipo.programs.optimizer import NothingUsable

    return isinstance(error, (NothingUsable, dspy.LMError))


def _fail(message: str, code: int) -> int:
    from ipo.programs.record.journal import redact

    print(f"ipo: {redact(' '.join(message.split()))}", file=sys.stderr)
    return code
