"""The soak, by hand: `python -m tests.soak`. Prints one table; ends with 1 if anything broke.

Each part is a file of tests. A few of its cases run among all other tests; here they run in numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

GRID = "tests/end_to_end/test_benchmark.py"
LOST_FILES, FEATURES = "tests/end_to_end/test_lost_files.py", "tests/metrics/test_features.py"
PARTS = {
    "faults": ["tests/soak/test_faults.py"],
    "kills": ["tests/soak/test_kills.py"],
    "replies": ["tests/soak/test_replies.py"],
    "disk": [
        f"{LOST_FILES}::test_a_disk_that_is_full_at_any_write_is_one_sentence_and_the_run_can_be_resumed",
        f"{LOST_FILES}::test_a_disk_that_is_full_for_a_store_is_one_sentence",
        "tests/soak/full_disk.py",  # mounts one, which only root can
    ],
    "cache": [f"{FEATURES}::test_a_killed_process_and_others_at_once_leave_the_same_bits"],
    "grid": [
        f"{GRID}::test_killed_and_resumed_it_makes_the_same_table_and_asks_nothing_twice",
        f"{GRID}::test_a_worker_that_is_killed_costs_only_its_own_cell",
    ],
}


@dataclass
class Row:
    """A row of the table."""

    tried: int = 0
    broke: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Table:
    """A pytest plugin that counts. A test that tries more than one thing says how many with the property `tried`."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.broken: list[str] = []
        self.commands: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test."""
        if report.when != "call" and report.passed:
            return
        part = next(name for name, places in PARTS.items() if report.nodeid.startswith(tuple(places)))
        row = self.rows.setdefault(part, Row())
        said = dict(report.user_properties)
        row.tried += int(str(said.get("tried", 1)))
        row.seconds += report.duration
        self.commands += [f"| {said['row']} | {report.outcome} |"] if "row" in said else []
        row.notes.update([str(said["note"])] if "note" in said else [])
        if not report.passed:
            row.broke += 1
            self.broken.append(f"{report.nodeid}\n{report.longreprtext}")
        print("." if report.passed else f"\nBROKE: {report.nodeid}\n", end="", file=sys.stderr, flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Show what could not be read."""
        if report.failed:
            self.broken.append(f"{report.nodeid}\n{report.longreprtext}")

    def __str__(self) -> str:
        """Return Markdown."""
        lines = ["| part | tried | held | broke | seconds | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
        for part, row in self.rows.items():
            notes = ", ".join(f"{times} {note}" for note, times in sorted(row.notes.items()))
            held = row.tried - row.broke
            lines.append(f"| {part} | {row.tried:,} | {held:,} | {row.broke:,} | {row.seconds:,.0f} | {notes} |")
        if self.commands:
            head = "| command | exit code | asked, started or written elsewhere | MB | seconds | |"
            lines += ["", head, "| --- | ---: | ---: | ---: | ---: | --- |", *self.commands]
        return "\n".join(lines)


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="one part; may be repeated; default all")
    parser.add_argument("--count", type=int, help="kills, replies, or processes on a cache; each part has a default")
    parser.add_argument("--seed", type=int, default=0, help="of kills and replies")
    given = parser.parse_args()
    os.environ |= {"SOAK": "1", "SOAK_SEED": str(given.seed)}
    if given.count is not None:
        os.environ["SOAK_COUNT"] = str(given.count)
    table, started = Table(), time.monotonic()
    places = [place for part in given.part or PARTS for place in PARTS[part]]
    quiet = [
        "-o",
        "addopts=--import-mode=importlib",
        *(f"-pno:{name}" for name in ("terminal", "xdist", "cacheprovider")),
    ]
    code = pytest.main([*quiet, *places], plugins=[table])
    print(f"\n{table}\n\n{time.monotonic() - started:,.0f} seconds, seed {given.seed}")
    for text in table.broken:
        print(f"\nBROKE: {text}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
