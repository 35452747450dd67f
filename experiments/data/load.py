"""From what stands behind `--data` to a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ipo.experiments.data import folder, hub, shipped, table
from ipo.experiments.data.assemble import Gathered, assemble
from ipo.experiments.data.dataset import DataSet
from ipo.experiments.data.suggest import nearest
from ipo.metrics.errors import InputError

SOURCES: dict[str, Callable[[str], Gathered]] = {
    "embedded": shipped.gather,
    "folder": folder.gather,
    "csv": table.gather,
    "parquet": hub.gather_parquet,
    "hf": hub.gather_hf,
}
"""What stands before the first colon of a spec → what reads the rest of it."""

FORMS = ("embedded[:NAME]", "folder:PATH", "csv:PATH", "parquet:PATH", "hf:NAME[:CONFIG]")


def load_data(spec: str, *, seed: int, task: str | None = None) -> DataSet:
    """Load a data set; pictures are found, not opened.

    Args:
        spec: `embedded`, `embedded:NAME`, `folder:PATH`, `csv:PATH`, `parquet:PATH` or `hf:NAME[:CONFIG]`.
        seed: cuts the parts that the source lacks (split.py); without effect when it has train, val and test.
        task: what the pictures are, for the language model; None words it from a few class names.

    Raises:
        InputError: an unknown spec, or what is wrong with the source, in one sentence.

    >>> load_data("foldr:pictures", seed=0)
    Traceback (most recent call last):
    ...
    ipo.metrics.errors.InputError: unknown data 'foldr:pictures' (did you mean folder?); use embedded[:NAME], \
folder:PATH, csv:PATH, parquet:PATH or hf:NAME[:CONFIG].
    """
    kind, _, rest = spec.strip().partition(":")
    if kind not in SOURCES:
        raise InputError(f"unknown data {spec!r}{_hint(spec, kind)}; use {', '.join(FORMS[:-1])} or {FORMS[-1]}.")
    return assemble(SOURCES[kind](rest.strip()), seed, task)


def _hint(spec: str, kind: str) -> str:
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return f" (did you mean folder:{spec}?)"
    if spec and path.is_file():
        return f" (did you mean {'parquet' if path.suffix == '.parquet' else 'csv'}:{spec}?)"
    return nearest(kind, SOURCES)
