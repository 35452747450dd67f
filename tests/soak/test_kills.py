"""kill -9 in each phase of a run, then --resume: the same result, and no recorded reply is asked for again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end import test_kill_and_resume as kill_and_resume
from end_to_end.test_kill_and_resume import Bench, Whole, check_resumed, moody, words_for

from support import soak
from support.runs import events

PHASES = ("search", "choice", "test", "publishing")
killed_in: Counter[str] = Counter()
"""Each kill is aimed at the phase with the fewest so far."""


bench = kill_and_resume.bench


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Whole:
    return bench.whole("whole", strategy="compose")


def phase_of(folder: Path, searched: int) -> str:
    """Return the phase after the last event of a journal; `searched`: how many steps the search has."""
    found = events(folder)
    if any(event["type"] == "test" for event in found):
        return "publishing"
    kinds = Counter(event["kind"] for event in found if event["type"] == "scores")
    return "test" if kinds["val"] else "choice" if kinds["train"] == searched else "search"


def aim(whole: Whole, phase: str, searched: int, rng: random.Random) -> tuple[int, float]:
    """Choose the line of the journal after which to kill, and how many seconds later."""
    lines = events(whole.folder)
    seconds = [event["seconds"] for event in lines]
    ends = {
        "search": [i for i, event in enumerate(lines) if event.get("kind") == "train"][searched - 1],
        "choice": next(i for i, event in enumerate(lines) if event.get("kind") == "val"),
        "test": next(i for i, event in enumerate(lines) if event["type"] == "test"),
        "publishing": len(lines) - 1,
    }
    first = 0 if phase == "search" else ends[PHASES[PHASES.index(phase) - 1]]
    line = rng.randrange(first, ends[phase])
    return line + 1, rng.uniform(0, seconds[line + 1] - seconds[line])


@pytest.mark.parametrize("number", range(soak.count(len(PHASES), by_hand=200)))
def test_killed_in_any_phase_and_resumed_it_ends_as_if_nothing_had_happened(
    bench: Bench, whole: Whole, record_property: Callable[[str, object], None], number: int
) -> None:
    searched = sum(event.get("kind") == "train" for event in events(whole.folder))
    rng = random.Random(f"{soak.SEED} {number}")
    phase = min(PHASES, key=lambda one: killed_in[one])
    for attempt in range(20):  # a run that ended first was not killed
        name = f"{number}-{attempt}"
        out = bench.folder / "killed" / name / "run"
        bench.server.fresh().behave = moody
        line, later = aim(whole, phase, searched, rng)
        process = bench.start(words_for(whole, out), name)
        journal = out / "journal.jsonl"
        while process.is_alive() and (not journal.exists() or journal.read_bytes().count(b"\n") < line):
            time.sleep(0.001)
        time.sleep(later)
        process.kill()
        process.join()
        if process.exitcode == -9 and events(out)[-1]["type"] != "end":
            break
    assert process.exitcode == -9, bench.log(name).read_text()
    killed_in[phase_of(out, searched)] += 1
    record_property("note", phase_of(out, searched))
    assert bench.run(words_for(whole, out), name) == 0, bench.log(name).read_text()
    assert "Traceback" not in bench.log(name).read_text()
    check_resumed(bench, whole, out, under_way=1)
