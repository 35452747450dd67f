"""A store of 1.3 million features: what opening it and reading 64 of them costs, beside reading all (Linux)."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import alternate, arguments, report
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.decoding import AS_STORED
from ipo_prompts.metrics.features import BATCH, STAMPS, FeatureStore, VectorFile
from ipo_prompts.metrics.files import checksum
from ipo_prompts.metrics.pictures import Picture


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__, pictures={"type": int, "default": 1_300_000}, width={"type": int, "default": 512, "help": "features"}
    )
    count = 2_000 if options.small else options.pictures
    clip = load_clip("embedded")
    with tempfile.TemporaryDirectory() as folder:
        path = FeatureStore(clip, Path(folder)).path
        width = clip.width
        clip.__dict__["width"] = options.width
        _fill(path, count, options.width)
        pictures = [Picture(str(i), _opened, str(i), AS_STORED) for i in range(count)]  # their key is the digest alone
        few = pictures[count // 2 : count // 2 + BATCH]
        before = _memory("VmRSS")
        seconds = alternate(
            1 if options.small else options.repeats, few=lambda: FeatureStore(clip, Path(folder)).encode(few)
        )
        grown = _memory("VmHWM") - before
        started = time.perf_counter()
        everything = FeatureStore(clip, Path(folder)).encode(pictures)
        whole = time.perf_counter() - started
        size = path.stat().st_size
    clip.__dict__["width"] = width
    items = load_data("embedded", seed=0).val
    with tempfile.TemporaryDirectory() as folder:  # the second start on real pictures
        real = [item.picture for item in items]
        FeatureStore(clip, Path(folder)).encode(real)
        second = FeatureStore(clip, Path(folder))
        second.encode([Picture(one.name, _opened, one.stamp, one.background, one.place) for one in real])
    report(
        "features",
        features=count,
        megabytes_on_disk=round(size / 1e6),
        seconds={f"open and read {BATCH}": round(seconds["few"], 4), "read all": round(whole, 2)},
        ratio=round(whole / seconds["few"]),
        microseconds_per_feature=round(1e6 * whole / count, 2),
        megabytes_grown_by_opening=round(grown / 1e6, 1),
        megabytes_of_all=round(everything.nbytes / 1e6),
        pictures_opened_at_the_second_start=second.encoded,
        repeats=options.repeats,
    )


def _opened() -> bytes:
    raise AssertionError("a picture whose features are kept was opened")


def _fill(path: Path, count: int, width: int) -> None:
    rng = np.random.default_rng(0)
    file = VectorFile(path, STAMPS)

    def fill(database: sqlite3.Connection) -> None:
        for start in range(0, count, 10_000):
            names = [str(i) for i in range(start, min(start + 10_000, count))]
            file.put(database, names, rng.standard_normal((len(names), width), dtype=np.float32))
            with database:
                stamps = [(name, name, checksum(name, name.encode())) for name in names]
                database.executemany("INSERT INTO stamps VALUES (?, ?, ?)", stamps)

    file.use(fill)


def _memory(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", status)[0])


if __name__ == "__main__":
    main()
