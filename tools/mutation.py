"""Measures how many changes in the core its tests notice: random mutants, the share killed, and each survivor.

    python -m tools.mutation --seed 0 --count 200 [--only PART_OF_A_FILE_NAME]

A mutant is one small change in one core file: another operator, a number one larger, a condition turned around. The
tests that guard the file (`GUARDS`) should fail on it. A mutant that passes them all survives: it shows code that no
test checks, or changes nothing that matters.

COUNT places are drawn with SEED, all equally likely, and for each place one of the changes that cosmic-ray offers
there. Cosmic-ray's executor is not used: it starts a Python for each mutant, with ten seconds of imports. Here one
process imports the libraries, but never `ipo`, and forks for each mutant. The child imports `ipo` from a copy of the
checkout with the one change.

Left out are changes that no test can notice: of annotations, under `if TYPE_CHECKING`, and `==` for `is`; and changes
that do not compile. Some of the other changes mean nothing either, so 100 % is no goal: the share is for comparing
revisions.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

STRATEGIES = (
    "tests/programs/strategies/test_controls.py",
    "tests/programs/strategies/test_writer.py",
)
EVIDENCE = ("tests/metrics/test_evidence.py", "tests/metrics/test_verdict.py", "tests/metrics/test_coverage.py")
OPTIMIZER = ("tests/programs/test_optimizer.py",)
CLASSIFIER = ("tests/programs/test_classifier.py",)
GUARDS = {
    "programs/optimizer.py": OPTIMIZER,
    "programs/running.py": (
        "tests/programs/test_running.py",
        "tests/programs/test_blending.py",
        "tests/end_to_end/test_one_runner.py",
    ),
    "programs/classifier.py": CLASSIFIER,
    "programs/for_dspy.py": ("tests/programs/test_dspy_optimizers.py", *CLASSIFIER),
    "programs/domain.py": ("tests/programs/test_domain.py",),
    "programs/journal.py": ("tests/programs/test_journal.py",),
    "programs/scoring.py": ("tests/programs/test_scoring.py",),
    "programs/bench.py": ("tests/programs/test_search.py",),
    "programs/selection.py": ("tests/programs/test_selection.py", "tests/programs/test_search.py"),
    "programs/history.py": ("tests/programs/test_history.py", "tests/programs/test_search.py"),
    "programs/strategies/writer.py": STRATEGIES,
    "programs/strategies/base.py": (
        *STRATEGIES,
        "tests/programs/test_search.py",
        "tests/end_to_end/test_own_classes.py",
    ),
    "programs/strategies/compose.py": (
        "tests/programs/strategies/test_compose.py",
        "tests/programs/strategies/test_synthetic_searches.py",
    ),
    "programs/phrases.py": (
        "tests/programs/test_phrases.py",
        "tests/programs/test_wording.py",
        "tests/programs/strategies/test_compose.py",
    ),
    "metrics/reward.py": (
        "tests/metrics/test_reward.py",
        "tests/metrics/test_own_rewards.py",
    ),
    "programs/naming.py": ("tests/programs/test_choosing_names.py", "tests/programs/test_naming.py"),
    "metrics/sampling.py": (
        "tests/metrics/test_sampling.py",
        "tests/metrics/test_over_classes.py",
        "tests/metrics/test_statistics.py",
        "tests/metrics/test_evidence.py",
    ),
    "metrics/evidence.py": EVIDENCE,
    "metrics/verdict.py": (*EVIDENCE, "tests/metrics/test_over_classes.py", "tests/experiments/run/test_steps.py"),
    "experiments/run/final_test.py": ("tests/experiments/run/test_steps.py",),
}
"""Core file → the tests that guard it, with the file's own tests first."""
PRELOADED = ("numpy", "torch", "dspy", "open_clip", "scipy.stats", "scipy.optimize", "hypothesis")


def mutants(folder: Path, files: Collection[str], rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield a mutant of each place in random order: the file, the file's new source, and file:line, old → new."""
    kinds = [get_operator(name) for name in sorted(operator_names()) if not name.endswith(("Is_Eq", "IsNot_NotEq"))]
    operators = [kind() for kind in kinds if not kind.arguments()]
    sources = {file: (folder / file).read_text("utf-8") for file in files}
    places: defaultdict[tuple[Any, ...], list[tuple[Any, int]]] = defaultdict(list)
    for file, source in sources.items():
        nodes = list(ast_nodes(get_ast(source)))
        for operator in operators:
            found = [(node, place) for node in nodes for place in operator.mutation_positions(node)]
            for i, (node, place) in enumerate(found):
                # The bare `*` of a signature is taken for a multiplication.
                if not _for_types_only(node) and node.parent.type != "parameters":
                    places[(file, *place)].append((operator, i))
    for (file, (line, _), _), changes in rng.sample(list(places.items()), len(places)):
        old = sources[file]
        for operator, occurrence in rng.sample(changes, len(changes)):
            new = mutate_code(old, operator, occurrence)
            with suppress(SyntaxError):
                if ast.dump(ast.parse(old)) != ast.dump(ast.parse(new)):
                    after = "(removed)" if new.count("\n") < old.count("\n") else new.splitlines()[line - 1].strip()
                    yield file, new, f"{file}:{line}  {old.splitlines()[line - 1].strip()}  →  {after}"
                    break


def _for_types_only(node: Any) -> bool:
    """Whether a node of parso's tree lies in an annotation or under `if TYPE_CHECKING`."""
    while parent := node.parent:
        annotation = {"tfpdef": 2, "annassign": 1}.get(parent.type)
        if (annotation and node is parent.children[annotation]) or getattr(parent, "annotation", None) is node:
            return True
        if parent.type == "if_stmt" and "TYPE_CHECKING" in parent.children[1].get_code():
            return True
        node = parent
    return False


def copy_checkout(folder: Path) -> None:
    """Copy what git would keep, and make it importable as `ipo_prompts`."""
    listed = subprocess.run(["git", "ls-files", "-zco", "--exclude-standard"], capture_output=True, check=True).stdout
    for name in filter(os.path.lexists, listed.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name, follow_symlinks=False)


def passes(folder: Path, tests: Sequence[str], seconds: float, first: bool = False) -> bool:
    """Return whether test files of a copy pass, run in a fork; too slow is a failure.

    The first run keeps its bytecode and its output.
    """
    if (child := os.fork()) == 0:
        try:
            os._exit(_pytest(folder, tests, first))
        finally:
            os._exit(1)
    end = time.monotonic() + seconds
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    return ended[1] == 0


def _pytest(folder: Path, tests: Sequence[str], first: bool) -> int:
    os.setsid()
    os.chdir(folder)
    said = os.open("output" if first else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ["IPO_CACHE_DIR"] = tempfile.mkdtemp(dir=folder)  # no other mutant may find this cache
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)  # for tests that start a Python
    sys.dont_write_bytecode = not first
    options = ["-xq", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={folder / 'tmp'}"]
    status = int(pytest.main([*options, "-o", "addopts=--import-mode=importlib", *tests]))
    files = [
        module.__file__ for name, module in sys.modules.items() if name.startswith("ipo_prompts.") and module.__file__
    ]
    return status or any(not file.startswith(str(folder)) for file in files)


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description="Change the core at random and see what its tests notice.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", default="", help="change only files whose name holds this")
    given = parser.parse_args()
    guarded = {file: tests for file, tests in GUARDS.items() if given.only in file}
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", LITELLM_LOCAL_MODEL_COST_MAP="True")
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # forks share objects that are never collected
    tried, killed, limits = Counter[str](), Counter[str](), dict[str, float]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        copy_checkout(folder)
        for file, tests in guarded.items():
            began = time.monotonic()
            if not passes(folder, tests, 900, first=True):
                sys.exit(f"{(folder / 'output').read_text()}\n{' '.join(tests)} must pass before anything is changed.")
            limits[file] = 30 + 5 * (time.monotonic() - began)
        for file, source, change in islice(mutants(folder, guarded, random.Random(given.seed)), given.count):
            place = folder / file
            original = place.read_text("utf-8")
            for compiled in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
                compiled.unlink()  # Python compares it with a changed source by size and whole seconds only
            place.write_text(source, "utf-8")
            survived = passes(folder, guarded[file], limits[file])
            place.write_text(original, encoding="utf-8")
            tried[file] += 1
            killed[file] += not survived
            if survived:
                print(change, flush=True)
    for file in guarded:
        print(f"{killed[file]} of {tried[file]} killed in {file}")
    print(f"{killed.total()} of {tried.total()} killed, {killed.total() / tried.total():.1%} (seed {given.seed})")


if __name__ == "__main__":
    main()
