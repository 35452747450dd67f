"""Readers of data: folders, tables, the Hugging Face hub, and the pictures that ship with us.

A new source is its file, with a function from what stands behind the colon to a `Gathered`, and its line below. The
file is imported when such data are first read.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from ipo_prompts.experiments.data.assemble import Gathered


class Source(NamedTuple):
    """Where a source is read, `file:function`, and how a person writes its data."""

    home: str
    form: str

    def gather(self, rest: str) -> Gathered:
        """Read what `rest` names, which stands behind the colon.

        Raises:
            InputError: what is wrong with it.
        """
        file, _, function = self.home.partition(":")
        read: Callable[[str], Gathered] = getattr(importlib.import_module(f"{__name__}.{file}"), function)
        return read(rest)


SOURCES = {
    "embedded": Source("shipped:gather", "embedded[:NAME or :OP+OP]"),
    "folder": Source("folder:gather", "folder:PATH"),
    "csv": Source("table:gather", "csv:PATH"),
    "parquet": Source("hub:gather_parquet", "parquet:PATH"),
    "hf": Source("hub:gather_hf", "hf:NAME[:CONFIG]"),
}
"""What stands before the first colon of a spec → what reads the rest; the names of `REGISTRY` come on top."""

FORMS = ", ".join(source.form for source in SOURCES.values())
"""All of them, as messages list them."""
