"""From what stands behind `--data` to a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ipo.experiments.data.assemble import Gathered, assemble
from ipo.experiments.data.benchmarks import registered
from ipo.experiments.data.benchmarks.registry import REGISTRY
from ipo.experiments.data.dataset import DataSet
from ipo.experiments.data.sources import folder, hub, shipped, table
from ipo.metrics.errors import InputError
from ipo.metrics.nearest import did_you_mean

SOURCES: dict[str, Callable[[str], Gathered]] = {
    "embedded": shipped.gather,
    "folder": folder.gather,
    "csv": table.gather,
    "parquet": hub.gather_parquet,
    "hf": hub.gather_hf,
}
"""What stands before the first colon of a spec → what reads the rest of it; registered names come beside these."""

FORMS = ("embedded[:NAME]", "folder:PATH", "csv:PATH", "parquet:PATH", "hf:NAME[:CONFIG]", "a name of `ipo data list`")


def load_data(spec: str, *, seed: int, task: str | None = None) -> DataSet:
    """Load a data set; pictures are found, not opened.

    Args:
        spec: `embedded`, `embedded:NAME`, `folder:PATH`, `csv:PATH`, `parquet:PATH`, `hf:NAME[:CONFIG]`, or a
            registered name: `eurosat` (below `IPO_DATA_ROOT`), `eurosat:PATH_OF_ROOT`, `eurosat:hf`.
        seed: cuts the parts that the source lacks (split.py); without effect when it has train, val and test.
        task: what the pictures are, for the language model; None takes the registered words, or words it from a few
            class names.

    Raises:
        InputError: an unknown spec, or what is wrong with the source, in one sentence.

    >>> load_data("foldr:pictures", seed=0)
    Traceback (most recent call last):
    ...
    ipo.metrics.errors.InputError: unknown data 'foldr:pictures' (did you mean folder?); use embedded[:NAME], \
folder:PATH, csv:PATH, parquet:PATH, hf:NAME[:CONFIG] or a name of `ipo data list`.
    """
    kind, _, rest = spec.strip().partition(":")
    if kind in REGISTRY:
        return registered.load(REGISTRY[kind], rest.strip(), seed, task)
    if kind not in SOURCES:
        raise InputError(f"unknown data {spec!r}{_hint(spec, kind)}; use {', '.join(FORMS[:-1])} or {FORMS[-1]}.")
    return assemble(SOURCES[kind](rest.strip()), seed, task)


def _hint(spec: str, kind: str) -> str:
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return f" (did you mean folder:{spec}?)"
    if spec and path.is_file():
        return f" (did you mean {'parquet' if path.suffix == '.parquet' else 'csv'}:{spec}?)"
    return did_you_mean(kind, [*SOURCES, *REGISTRY])
