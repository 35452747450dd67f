"""Counts how often one call returns to a file that it had left, for `python -m tools.size --walk`.

A small `ipo optimize` without a language model is followed from the call of `START` to the first call in `SEARCH`. A
stay is a maximal run of calls within one file of the package; calls of other libraries do not end a stay. A reader
reads a loop once, so a call from a line that made the same call before is skipped, with all below it. Other threads,
and code that runs while a module is imported, are skipped, too.

Each stay that is not the first in its file is a return. A return comes from a call that ends, or by another call. The
former are the price of any call; the latter show a matter that is told in several visits. The returns among the first
`STAYS` stays are reported, too; they are `STAYS` less the number of files, so large files increase them.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

WALKED = "optimize embedded:a --clip embedded --lm none describer=none steps=1 --quiet"
START = (("experiments/pipeline.py", "run_job"), ("experiments/run/pipeline.py", "optimize"))
"""The function that runs a job, now and in revision 234ff7b."""
SEARCH = "programs/search.py"
STAYS = 110


def package_of(folder: Path) -> str:
    """Return the name of the package that holds the folders of a checkout when it is installed."""
    found = re.search(r'"(\w+)": "package"', (folder / "setup.py").read_text(encoding="utf-8"))
    return found[1] if found else sys.exit("setup.py does not say what the folder `package` is installed as.")


def walk(folder: Path) -> str:
    """Return the counts for the checkout in a folder, in Markdown."""
    package = package_of(folder)
    with tempfile.TemporaryDirectory() as temporary:
        site, folder = Path(temporary).resolve(), folder.resolve()
        (site / package).mkdir()
        for place in (*(each for each in folder.iterdir() if each.is_dir()), *(folder / "package").iterdir()):
            (site / package / place.name).symlink_to(place)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            stays = pool.submit(follow, site, package).result()
    if not stays:
        sys.exit(f"`ipo {WALKED}` calls no {' and no '.join(' of '.join(one[::-1]) for one in START)}.")
    return f"\n**The first {STAYS} stays of a job: {_told(stays[:STAYS])}\n\n**Until it searches: {_told(stays)}"


def _told(stays: Sequence[tuple[str, bool]]) -> str:
    visits = Counter(name for name, _ in stays)
    returns, back = len(stays) - len(visits), sum(back for _, back in stays)
    most = ", ".join(f"{name} {count}" for name, count in visits.most_common(8))
    return (
        f"{len(stays)} stays in {len(visits)} files, {returns} returns.** From a call: {back}; by another call: "
        f"{returns - back}. Most often: {most}"
    )


class _Enough(BaseException):
    """Ends the run; a `BaseException`, so that no code handles it as an error."""


def follow(site: Path, package: str) -> list[tuple[str, bool]]:
    """Run the command. Call this in a process of its own, because it leaves imports and settings behind.

    Returns:
        Each stay in order: its file, and whether it began with the end of a call.
    """
    inside, followed, stays = list[FrameType](), set[tuple[object, ...]](), list[tuple[str, bool]]()
    skipped, starts = 0, {(str(site / package / file), name) for file, name in START}

    def seen(frame: FrameType, event: str, _: object) -> None:
        nonlocal skipped
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(f"{site / package}{os.sep}"):
            return
        call = (inside[-1].f_code, inside[-1].f_lineno, code) if inside else ()
        if skipped or code.co_name == "<module>" or (event == "call" and call in followed):
            skipped += 1 if event == "call" else -1
        elif inside or (code.co_filename, code.co_name) in starts:
            followed.add(call)
            inside.append(frame) if event == "call" else inside.pop()
            if not inside or _file(inside[-1]) == SEARCH:
                raise _Enough
            if not stays or stays[-1][0] != _file(inside[-1]):
                stays.append((_file(inside[-1]), event == "return"))

    def _file(frame: FrameType) -> str:
        return Path(frame.f_code.co_filename).relative_to(site / package).as_posix()

    sys.path.insert(0, str(site))
    os.environ.update(IPO_CACHE_DIR=str(site / "cache"), HF_HUB_OFFLINE="1", LITELLM_LOCAL_MODEL_COST_MAP="True")
    with redirect_stdout(io.StringIO()), suppress(_Enough):
        command = import_module(f"{package}.experiments.cli.app").main
        sys.setprofile(seen)
        command([*WALKED.split(), "--out", str(site / "run")])
    sys.setprofile(None)
    return stays
